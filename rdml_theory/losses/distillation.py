"""The Rényi counterpart of `torch.nn.KLDivLoss`: one student, one teacher."""

from __future__ import annotations

from torch import Tensor

from rdml_theory.losses import _checks as checks
from rdml_theory.losses._module import LossModule
from rdml_theory.losses._pairs import once_if_compiled
from rdml_theory.losses._stored import loss

NAMES = ["student_logits", "teacher_logits"]


class RenyiDivLoss(LossModule):
    r"""Rényi divergence of the student from a teacher, with the arguments of `nn.KLDivLoss`: student first.

    loss = temperature^2 mean over rows of D_alpha(p || q), in nats, with p = softmax(teacher_logits / temperature) and
    q = softmax(student_logits / temperature). Both arguments are logits; `nn.KLDivLoss` wants log-probabilities and
    probabilities. At alpha = 1 it is that loss: ``RenyiDivLoss(1.0, reduction="batchmean")(z, u)`` equals
    ``nn.KLDivLoss(reduction="batchmean")(z.log_softmax(-1), u.softmax(-1))`` for inputs (B, C) and (B, S, C).

    The gradient in the student's logits is temperature (q - w), w proportional to p^alpha q^(1 - alpha). A teacher that
    requires a gradient gets one (`detach` it if it should not), by the exact formulas of `renyi_divergence`, which also
    serves second and higher derivatives. Compiled, the loss is differentiable once, as `torch.compile` is.

    The setting is that of Huang et al. 2023, arXiv 2209.05732.

    Parameters
    ----------
    alpha : float, Tensor or OrderSchedule
        Order in [0, inf], as in `renyi_divergence`; a tensor that requires a gradient gets one.
    temperature : float
        Divides both logits; the factor temperature^2 keeps gradients comparable between temperatures. From 1e-100 to
        1e100.
    reduction : str
        ``"mean"``: mean over the rows that count, one row being one distribution, i.e. all axes but classes.
        ``"batchmean"``: sum over rows, divided by B as in `nn.KLDivLoss`; the same if B is the only axis and no row is
        masked. ``"sum"``: sum over rows. ``"none"``: one value per row. (`nn.KLDivLoss` divides ``"mean"`` by C, too.)
    ignore_index : int
        The target of rows that do not count, for the `targets` of a call.
    dim : int, optional
        The class axis: 1 for images (B, C, H, W), whose masks and targets are (B, H, W). Default: the last, with a
        warning for logits of more than three axes.

    Raises
    ------
    TypeError, ValueError
        An order, temperature or reduction that does not fit.

    Examples
    --------
    >>> import torch
    >>> from rdml_theory.losses import RenyiDivLoss
    >>> student, teacher = torch.tensor([[0.0, 0.0], [1.0, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    >>> RenyiDivLoss(0.5)(student, teacher)
    tensor(0.0380)
    >>> RenyiDivLoss(0.5, reduction="none")(student, teacher)
    tensor([0.0583, 0.0177])
    """

    def forward(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        mask: Tensor | None = None,
        *,
        targets: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of logits (..., C), or with the classes on the axis `dim`.

        Parameters
        ----------
        student_logits : Tensor
            Logits of the student, shape (..., C).
        teacher_logits : Tensor
            Logits of the teacher, the same shape.
        mask : Tensor, optional
            Boolean, shape (...): True where a row counts; other rows may hold anything and get a zero gradient.
        targets : Tensor, optional
            Class indices, shape (...), as in `torch.nn.functional.cross_entropy`: rows with the target `ignore_index`
            are masked, too. Nothing else is taken from them.

        Returns
        -------
        Tensor
            A scalar, or shape (...) for the reduction ``"none"``, in the type of the logits; float32 for half types
            under autocast.

        Raises
        ------
        TypeError
            An argument that is not a floating-point tensor, a mask that is not boolean, targets that are not integers.
        ValueError
            Shapes or class counts that differ, or probabilities instead of logits.
        """
        parts = checks.checked_students([student_logits, teacher_logits], NAMES, self.dim)
        out = loss(
            parts,
            checks.checked_alpha(self.alpha),
            temperature=self.temperature,
            scale=self.temperature**2,
            reduction=self.reduction,
            mask=checks.kept_rows(mask, targets, self.ignore_index, parts[0].shape[:-1]),
            kind=checks.result_dtype(*parts),
            directed=True,
            names=NAMES,
        )[0]
        return once_if_compiled(out, student_logits, teacher_logits, self.alpha)
