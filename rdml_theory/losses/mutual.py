"""The mutual loss of K students: each learns from all others, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rdml_theory.losses import _checks as checks
from rdml_theory.losses._module import LossModule
from rdml_theory.losses._pairs import once_if_compiled
from rdml_theory.losses._stored import loss
from rdml_theory.losses.order import LearnableOrder, OrderSchedule

# made once, since a step between small students is over in a tenth of a millisecond
NAMES = [f"logits[{k}]" for k in range(8)]


def mutual_loss(
    logits: Tensor | Sequence[Tensor],
    alpha: float | Tensor,
    *,
    beta: float | Tensor = 1.0,
    temperature: float = 1.0,
    reduction: str = "mean",
    mask: Tensor | None = None,
    targets: Tensor | None = None,
    ignore_index: int = -100,
    dim: int | None = None,
) -> Tensor:
    r"""Return the Rényi mutual loss of each of K students.

    loss_k = beta temperature^2 / (K - 1) sum over j != k of mean over x of D_alpha(p_j(x) || p_k(x)), in nats, with
    p_k = softmax(logits[k] / temperature). The peers p_j are held constant: student k receives only the gradient of its
    own loss, beta temperature / (K - 1) sum over j of (p_k - w_jk), w_jk proportional to p_j^alpha p_k^(1 - alpha), so
    ``losses.sum().backward()`` trains all students at once. One student has no peers: its loss and gradient are zero.

    All pairs come from exponentials of each student's logits and two batched products; the gradient is computed with
    the value, and the backward pass stores one array per student. Everything is computed in float64 over blocks of rows
    and rounded once. Float64 logits, per-row orders, orders 0 and inf, `torch.func` transforms and forward mode take
    the exact formulas of `renyi_divergence`, which are slower. Differentiable to any order (the second time by those
    formulas), with peers that are constants in every derivative; compiled, once, as `torch.compile` is.

    The objective is that of Huang et al. 2023, arXiv 2209.05732.

    Parameters
    ----------
    logits : Tensor or sequence of Tensor
        Logits of the K students, shape (K, B, C) or (K, B, S, C), any leading axes between K and C; or K tensors
        (B, C), (B, S, C), which may come from different networks but must have the same shape.
    alpha : float or Tensor
        Order in [0, inf]: a number, a 0-d tensor (gets a gradient if it requires one), or one order per row,
        shape (B,) or (B, S).
    beta : float or Tensor
        Weight, at least 0 and at most 1e35; a tensor (K,) weighs the students separately.
    temperature : float
        Logits are divided by it; the factor temperature^2 keeps gradients comparable between temperatures. From 1e-100
        to 1e100.
    reduction : str
        ``"mean"``: mean over the rows that count, one row being one distribution, i.e. all axes but classes.
        ``"batchmean"``: sum over rows, divided by B as in `nn.KLDivLoss`; the same if B is the only axis and no row is
        masked. ``"sum"``: sum over rows. ``"none"``: one value per student and row. (`nn.KLDivLoss` divides ``"mean"``
        by C, too.)
    mask : Tensor, optional
        Boolean, shape (B,) or (B, S): True where a row counts. Other rows are left out of sums and means, get a zero
        gradient, and may hold anything.
    targets : Tensor, optional
        Class indices, shape (B,) or (B, S), as in `torch.nn.functional.cross_entropy`. Only the positions of
        `ignore_index` in them matter: those rows are masked, too.
    ignore_index : int
        The target of rows that do not count.
    dim : int, optional
        The class axis of one student's logits: 1 for images (B, C, H, W), also where K of them are stacked; masks,
        targets and orders then have the shape (B, H, W). Default: the last, with a warning if a student's logits have
        more than three axes.

    Returns
    -------
    Tensor
        Losses, shape (K,), or (K, B) or (K, B, S) for ``"none"``, in the type of the logits; float32 for half types
        under autocast. Zero, with a zero gradient, if no row counts (where `cross_entropy` would give NaN).

    Raises
    ------
    TypeError
        Logits that are not dense tensors of float64, float32, float16 or bfloat16,
        a mask that is not boolean, targets that are not integers, a number
        that is not real.
    ValueError
        No students, fewer than two axes per stacked input, shapes or classes that differ, an order below 0 or NaN,
        a temperature that is not positive (from 1e-100 to 1e100), a weight that is negative or above 1e35,
        weights of another shape, an axis out of range,
        an unknown reduction, or probabilities instead of logits.

    Examples
    --------
    >>> import torch
    >>> from rdml_theory.losses import mutual_loss
    >>> logits = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]], [[0.0, 1.0]]], requires_grad=True)
    >>> losses = mutual_loss(logits, 0.5)
    >>> losses.detach()
    tensor([0.3428, 0.1259, 0.2751])
    >>> losses.sum().backward()
    >>> logits.grad[:, 0]
    tensor([[ 0.2040, -0.2040],
            [-0.0543,  0.0543],
            [-0.2311,  0.2311]])
    """
    order = checks.checked_alpha(alpha)
    temperature = checks.checked_temperature(temperature)
    weight = beta if isinstance(beta, Tensor) else checks.checked_weight(beta)
    checks.checked_reduction(reduction)
    parts, names = _students(logits, checks.checked_axis(dim))
    students, sample = len(parts), parts[0]
    batch = sample.shape[:-1]
    if isinstance(weight, Tensor):
        checks.check_weights(weight, students)
    mask = checks.kept_rows(mask, targets, ignore_index, batch)
    kind = checks.result_dtype(*([parts] if isinstance(parts, Tensor) else parts))
    scale = temperature * temperature * (1.0 if isinstance(weight, Tensor) else weight)
    if students == 1:
        # no peers: zero, but part of the graph, so that backward() works in code written for K students
        checks.refuse_probabilities(names[0], sample)
        shape = (1, *batch) if reduction == "none" else (1,)
        out = torch.zeros(shape, dtype=torch.float64, device=sample.device) + sample.reshape(-1)[:0].double().sum()
    else:
        out = loss(
            parts,
            order,
            temperature=temperature,
            scale=scale,
            reduction=reduction,
            mask=mask,
            # a weight of each student multiplies before the one rounding
            kind=torch.float64 if isinstance(weight, Tensor) else kind,
            names=names,
        )
    if isinstance(weight, Tensor):
        out = out * (weight if weight.ndim == 0 else weight.reshape(-1, *(1 for _ in out.shape[1:])))
    return once_if_compiled(out.to(kind), alpha, *([logits] if isinstance(logits, Tensor) else logits))


def _students(logits: Any, dim: int | None) -> tuple[Tensor | list[Tensor], list[str]]:
    """Return checked logits, and what messages call those of each student."""
    if isinstance(logits, Tensor):
        x = checks.checked_logits("logits", logits)
        if x.ndim < 3:
            raise ValueError(
                f"logits has shape {tuple(x.shape)}: expected (K, B, C) or (K, B, S, C); "
                "stack the students along a new first axis, or pass a list of them"
            )
        x = checks.classes_last("logits", x, dim, students=1)
        if x.shape[0] == 0 or x.shape[-1] == 0:
            raise ValueError(f"logits has shape {tuple(x.shape)}: expected at least one student and one class")
        return x, ["logits"] * x.shape[0]
    if not isinstance(logits, Sequence) or isinstance(logits, str):
        raise TypeError(f"logits has type {type(logits).__name__}: expected a tensor (K, B, C) or a list of K tensors")
    if not logits:
        raise ValueError("logits is empty: expected at least one student")
    students = len(logits)
    names = NAMES[:students] if students <= len(NAMES) else [f"logits[{k}]" for k in range(students)]
    parts = checks.checked_students(logits, names, dim)
    if parts[0].ndim < 2:
        raise ValueError(f"{names[0]} has shape {tuple(parts[0].shape)}: expected (B, C) or (B, S, C)")
    return parts, names


class MutualLoss(LossModule):
    r"""The Rényi mutual loss of K students as a module; formulas and conventions are those of `mutual_loss`.

    Parameters
    ----------
    alpha : float, Tensor or OrderSchedule
        Order in [0, inf]. With a schedule the loss always uses its current value; call ``schedule.step()`` after the
        optimizer's step.
    beta : float
        Weight of the loss, at least 0.
    temperature : float
        Divides the logits; positive.
    learn_alpha : bool
        Train the order, starting from `alpha`, with a `LearnableOrder` (range 0.05 to 20). Its parameter is among
        ``parameters()``: pass it to an optimizer.
    reduction : str
        As in `mutual_loss`.
    ignore_index : int
        As in `mutual_loss`, for the `targets` of a call.
    dim : int, optional
        As in `mutual_loss`: 1 for images (B, C, H, W).

    Raises
    ------
    TypeError, ValueError
        As `mutual_loss`, when the module is built; ``learn_alpha`` with a schedule or a tensor.

    Examples
    --------
    >>> import torch
    >>> from rdml_theory.losses import MutualLoss
    >>> criterion = MutualLoss(2.0, beta=0.5)
    >>> criterion([torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]])])
    tensor([0.1201, 0.0968])
    >>> [name for name, _ in MutualLoss(learn_alpha=True).named_parameters()]
    ['order.raw']
    """

    def __init__(
        self,
        alpha: float | Tensor | OrderSchedule = 1.0,
        *,
        beta: float = 1.0,
        temperature: float = 1.0,
        learn_alpha: bool = False,
        reduction: str = "mean",
        ignore_index: int = -100,
        dim: int | None = None,
    ) -> None:
        start = None
        if checks.checked_flag("learn_alpha", learn_alpha):
            if isinstance(alpha, (Tensor, OrderSchedule)):
                raise TypeError(
                    f"alpha has type {type(alpha).__name__}: expected a number from which learn_alpha starts"
                )
            start = checks.checked_positive("alpha", alpha)
        super().__init__(alpha, temperature=temperature, reduction=reduction, ignore_index=ignore_index, dim=dim)
        self.beta = checks.checked_weight(beta)
        if start is not None:
            self.order = LearnableOrder(start)

    def forward(
        self, logits: Tensor | Sequence[Tensor], mask: Tensor | None = None, *, targets: Tensor | None = None
    ) -> Tensor:
        """Return the losses of the K students, shape (K,) unless the reduction is ``"none"``."""
        return mutual_loss(
            logits,
            self.alpha,
            beta=self.beta,
            temperature=self.temperature,
            reduction=self.reduction,
            mask=mask,
            targets=targets,
            ignore_index=self.ignore_index,
            dim=self.dim,
        )

    def extra_repr(self) -> str:
        """Describe the settings in the module's repr."""
        return f"beta={self.beta}, {super().extra_repr()}"
