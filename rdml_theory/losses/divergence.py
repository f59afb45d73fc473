"""The Rényi divergence of softmax distributions as a differentiable function of both logits and of the order."""

from __future__ import annotations

import torch
from torch import Tensor

from rdml_theory.losses import _checks as checks
from rdml_theory.losses._pairs import once_if_compiled, pairwise


def renyi_divergence(teacher_logits: Tensor, student_logits: Tensor, alpha: float | Tensor, *, dim: int = -1) -> Tensor:
    r"""Return the Rényi divergence D_alpha(p || q) of p = softmax(teacher_logits) from q = softmax(student_logits).

    D_alpha(p || q) = log(sum_i p_i^alpha q_i^(1 - alpha)) / (alpha - 1), in nats, with its limits: D_0 = -log q(p > 0),
    which is zero for finite logits, D_1 = KL(p || q), and D_inf = log max p/q. It is never negative, and exact to a few
    roundings at consensus and for orders next to 1, where the formula loses all digits.

    With the escort w_i proportional to p_i^alpha q_i^(1 - alpha) the derivatives are dD/dstudent = q - w, dD/dteacher =
    alpha (w - p) / (alpha - 1) and dD/dalpha = KL(w || p) / (alpha - 1)^2, all regular at 1. They are differentiable
    again, to any order. `torch.func` transforms, forward mode, autocast and ``torch.compile(fullgraph=True)`` work;
    second derivatives of compiled functions and forward mode over itself are refused. At
    alpha = inf the student's gradient is q minus the indicator of argmax p/q (a subgradient, uniform over ties).

    The setting, peers that learn from each other by this divergence, is that of Huang et al. 2023, arXiv 2209.05732;
    for the divergence see van Erven and Harremoës 2014, arXiv 1206.2459.

    Parameters
    ----------
    teacher_logits : Tensor
        Logits of the first argument, shape (..., C), any floating type; -inf excludes a class, and any constant may be
        added to a row. Detach it if no gradient should flow.
    student_logits : Tensor
        Logits of the second argument, the same C; batch shapes broadcast.
    alpha : float or Tensor
        Order in [0, inf]: a number, a 0-d tensor, or one order per row (broadcasts against the batch). A tensor that
        requires a gradient gets one.
    dim : int
        The class axis of both.

    Returns
    -------
    Tensor
        Divergences in nats, shape (...): the type of the logits. All types are computed in float64 and rounded once.
        Under autocast half types give float32, as ``kl_div`` does. Infinite where the student excludes a class that the
        teacher allows and alpha >= 1, or where they share no class.

    Raises
    ------
    TypeError
        Arguments that are not floating-point tensors, or an order that is not real.
    ValueError
        Different class counts, batch shapes that do not broadcast, an axis out of range, or an order below 0 or NaN.

    Examples
    --------
    >>> import torch
    >>> from rdml_theory.losses import renyi_divergence
    >>> teacher, student = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0], requires_grad=True)
    >>> loss = renyi_divergence(teacher, student, 2.0)
    >>> loss.backward()
    >>> round(loss.item(), 6), student.grad
    (0.193552, tensor([-0.3808,  0.3808]))
    """
    teacher = checks.checked_logits("teacher_logits", teacher_logits)
    student = checks.checked_logits("student_logits", student_logits)
    order = checks.checked_alpha(alpha)
    dim = checks.checked_integer("dim", dim)
    for name, x in (("teacher_logits", teacher), ("student_logits", student)):
        if not -x.ndim <= dim < x.ndim:
            raise ValueError(f"dim = {dim}: expected an axis of {name}, which has shape {tuple(x.shape)}")
    teacher, student = teacher.movedim(dim, -1), student.movedim(dim, -1)
    if teacher.shape[-1] != student.shape[-1]:
        raise ValueError(
            f"teacher_logits has {teacher.shape[-1]} classes and student_logits {student.shape[-1]} along dim={dim}: "
            "expected the same classes"
        )
    if teacher.shape[-1] == 0:
        raise ValueError("the class axis has length 0: expected at least one class")
    if isinstance(order, Tensor):
        order = order.to(device=student.device, dtype=torch.float64)
    else:
        order = torch.full((), order, dtype=torch.float64, device=student.device)
    try:
        torch.broadcast_shapes(teacher.shape[:-1], student.shape[:-1], order.shape)
    except RuntimeError:
        raise ValueError(
            f"batch shapes are {tuple(teacher.shape[:-1])} for teacher_logits, {tuple(student.shape[:-1])} for "
            f"student_logits and {tuple(order.shape)} for alpha: expected shapes that broadcast"
        ) from None
    value = pairwise(teacher, student, order).to(checks.result_dtype(teacher, student))
    return once_if_compiled(value, teacher_logits, student_logits, alpha)
