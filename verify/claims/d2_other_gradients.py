"""D2: the gradients that D1 is not: in the probabilities, in the peer's logits and in the order, with order one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mpmath as mp
import numpy as np
from sympy import Sum, log

from rdml_theory import renyi_gradient, symbolic
from rdml_theory.symbolic.divergence.derivatives import ASSUMPTIONS, DERIVATIVES, Derivatives, derivative_targets
from rdml_theory.symbolic.divergence.entries import ORDER_ONE, in_entries
from rdml_theory.symbolic.notation import C, alpha, i, k, l, p, q, w
from verify.checks import Worst, curve, kernel_check, losses, panel, reference
from verify.checks.formulas import differences, entries, value
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check
from verify.names import along, escort_at, leibler

ORDERS = (0.25, 0.5, 0.9, 1.0, 1.001, 1.5, 2.0, 5.0)
NAMES = ("∂D/∂q", "∂D/∂p", "∂D/∂u", "∂D/∂α")


def statement(sides: Derivatives) -> Statement:
    words = (
        "For every number C of classes and every direction v:\n"
        "The component of ∂D/∂q at class k is {student}: along q = exp(z + s·v), of velocity q·v, {along_q}, where "
        "{by_q}.\n"
        "That of ∂D/∂p is {teacher}: along p = exp(u + s·v), {along_p}, where {by_p}.\n"
        "That of ∂D/∂u, p = softmax(u), is {logits}: along u + s·v, {along_u}, where {by_u}.\n"
        "In the order, {along_order}, where {by_order}.\n"
        "At order one these have limits: {teacher_at_one}; {logits_at_one}; {order_at_one}, where {mean}"
    )
    names = ("along_q", "along_p", "along_u", "along_order", "teacher_at_one", "logits_at_one", "order_at_one")
    targets: dict[str, Any] = dict(zip(names, derivative_targets(sides), strict=True))
    entries_of = {name: in_entries(getattr(sides, name)) for name in ("student", "teacher", "logits")}
    slopes = {f"by{name[5:]}": along(targets[name].left) for name in names[:4]}
    short = {"mean": leibler("p", "q")} | {f"w_{index}": escort_at(index) for index in (i, k, l)}
    return Statement(words, entries_of | {name: told.relation() for name, told in targets.items()}, slopes | short)


def _stated(sides: Derivatives, p: list[Any], s: list[Any], alpha: float) -> tuple[list[Any], ...]:
    """The four gradients as the formulas have them; at order one the second only up to a constant."""
    size = len(p)
    known = {"p": p, "q": s, "w": reference.escort(p, s, alpha), "alpha": mp.mpf(alpha)}
    student = entries(sides.student, size, **known)
    if alpha != 1:
        teacher, logits = entries(sides.teacher, size, **known), entries(sides.logits, size, **known)
        return student, teacher, logits, [value(sides.order, size, **known)]
    gaps = differences(sides.teacher_at_one, size, **known)
    # Entry k less the mean under p: what is left of the gradient along the simplex.
    teacher = [mp.fsum(p[l] * gaps[l][k] for l in range(size)) for k in range(size)]  # noqa: E741
    return student, teacher, entries(sides.logits_at_one, size, **known), [value(sides.order_at_one, size, **known)]


def _measured(pair: reference.Pair, p: list[Any], s: list[Any]) -> tuple[list[Any], ...]:
    """The same by differences of the definition."""
    size = range(len(p))

    def along(vector: list[Any], index: int, f: Any) -> Any:
        def moved(x: Any) -> Any:
            return f([x if n == index else y for n, y in enumerate(vector)])

        return mp.diff(moved, vector[index])

    u = [mp.mpf(x) for x in pair.teacher]
    alpha = mp.mpf(pair.alpha)
    student = [along(s, n, lambda v: reference.divergence(p, v, alpha)) for n in size]
    teacher = [along(p, n, lambda v: reference.divergence(v, s, alpha)) for n in size]
    logits = [along(u, n, lambda v: reference.divergence(reference.softmax(v), s, alpha)) for n in size]
    with mp.workdps(4 * reference.DIGITS):
        # Beside order one, what Σp misses of 1 is divided by α - 1 and by the step.
        exact = pair.exact()
        step = mp.mpf(10) ** -reference.DIGITS
        slope = mp.diff(lambda a: reference.divergence(*exact, a), alpha, h=step)
    return student, teacher, logits, [slope]


def _on_simplex(gradient: list[Any], at: list[Any]) -> list[Any]:
    """The gradient in the logarithms of the entries, of the function of normalised entries."""
    mean = mp.fsum(g * x for g, x in zip(gradient, at, strict=True))
    return [x * (g - mean) for g, x in zip(gradient, at, strict=True)]


def _computed(pair: reference.Pair) -> list[list[float]]:
    """What the core returns: the gradients in q, in p, in the teacher's logits and in the order."""
    probabilities = {"domain": "probs", "normalise": True}
    calls: list[Any] = [(wrt, pair.rounded()[0], probabilities) for wrt in "qp"]
    calls += [(wrt, [pair.teacher, pair.student], {"domain": "logits"}) for wrt in ("p", "alpha")]
    gradients = (renyi_gradient(*given, pair.alpha, wrt=wrt, **how) for wrt, given, how in calls)  # type: ignore[arg-type]
    return [np.atleast_1d(gradient).tolist() for gradient in gradients]


def _core(
    sides: Derivatives, pair: reference.Pair, computed: list[list[float]]
) -> Iterator[tuple[list[Any], list[Any]]]:
    """What the core returns, and the formulas at the same arguments."""
    first, second = pair.rounded()[1]
    stated = _stated(sides, first, second, pair.alpha)
    for part, at in enumerate((second, first)):
        scale = reference.SCALES[1 - part]
        got = [scale * mp.mpf(g) * x for g, x in zip(computed[part], at, strict=True)]
        yield got, _on_simplex(stated[part], at)
    stated = _stated(sides, *pair.exact(), pair.alpha)
    for part in (2, 3):
        yield [mp.mpf(g) for g in computed[part]], stated[part]


@check("numeric", cost=4.0)
def numeric(sides: Derivatives, context: Context) -> Found:
    """Do the formulas equal differences of the definition at 60 digits, and does `renyi_gradient` compute them?"""

    def missed(pair: reference.Pair) -> Iterator[tuple[str, float]]:
        p, s = pair.exact()
        stated, measured = list(_stated(sides, p, s, pair.alpha)), list(context.shared(_measured, pair, p, s))
        if pair.alpha == 1:
            stated[1], measured[1] = _on_simplex(stated[1], p), _on_simplex(measured[1], p)
        for name, one, other in zip(NAMES, stated, measured, strict=True):
            yield f"{name}, formula against differences of the definition (60 digits)", reference.distance(one, other)

    def core(pair: reference.Pair) -> Iterator[tuple[str, float]]:
        for name, (one, other) in zip(NAMES, _core(sides, pair, context.shared(_computed, pair)), strict=True):
            error = reference.distance(one, other) / reference.rounding(pair)
            yield f"{name}, renyi_gradient against the formula, in roundings", error

    pairs = reference.sample_pairs(context.rng("pairs"), context.pick(quick=32, full=800), ORDERS, most_classes=4)
    yield from reference.compared(context, pairs, missed, core, allowed=1e-20)
    yield from _panels(sides, context)


@check("numeric", id="losses", cost=5.0)
def torch_losses(sides: Derivatives, context: Context) -> Found:
    """Do the torch losses have these gradients in the teacher's logits and in the order, fixed or trained, next to
    orders 0, 1 and ∞ too? (Needs the extra torch, and is left out without it.)
    """
    import torch

    from rdml_theory.losses import MutualLoss, RenyiDivLoss, mutual_loss

    worst = Worst()

    def see(name: str, case: losses.Case, got: list[float], exact: list[Any], kind: str | None = None) -> None:
        words = f"{name} ({case.kind}) against the formula"
        worst.see(words, reference.distance(got, exact), losses.ALLOWED[kind or case.kind])

    count = sum(losses.KEPT)
    with mp.workdps(reference.DIGITS):
        for case in worst.over(losses.cases(context.rng("losses"))):
            (z, u, v), mask = losses.tensors(case)
            alpha = torch.tensor(case.alpha, dtype=torch.float64, requires_grad=True)
            loss = RenyiDivLoss(alpha, temperature=case.temperature)(z.detach(), u, mask)
            gradient, slope = torch.autograd.grad(loss, (u, alpha))
            fused = RenyiDivLoss(alpha, temperature=case.temperature)(z, u.detach(), mask)
            both = mutual_loss([z, u, v], alpha, temperature=case.temperature, mask=mask)[0]
            slopes = [slope, *(torch.autograd.grad(x, alpha)[0] for x in (fused, both))]
            totals = [mp.mpf(0)] * 2
            for row, (own, *others) in case.rows():
                _, _, logits, [first] = _stated(sides, others[0], own, case.alpha)
                see("RenyiDivLoss, ∂/∂u", case, gradient[row].tolist(), [case.temperature * x / count for x in logits])
                second = _stated(sides, others[1], own, case.alpha)[3][0]
                totals = [totals[0] + first, totals[1] + (first + second) / 2]
            totals = [x * case.temperature**2 / count for x in totals]
            names = ("RenyiDivLoss, ∂/∂α", "RenyiDivLoss, ∂/∂α", "mutual_loss, ∂/∂α")
            for name, got, exact in zip(names, slopes, (totals[0], *totals), strict=True):
                see(name, case, [got.item()], [exact])
        for case in worst.over(losses.cases(context.rng("trained"), (0.5, 2.0))):
            (z, u, _), mask = losses.tensors(case)
            criterion = MutualLoss(case.alpha, learn_alpha=True, temperature=case.temperature)
            order = float(torch.as_tensor(criterion.alpha).detach())
            criterion([z, u], mask)[0].backward()
            share = mp.log(mp.mpf(order) / mp.mpf("0.05")) / mp.log(400)
            total = mp.fsum(_stated(sides, others[0], own, order)[3][0] for _, (own, *others) in case.rows())
            chain = order * mp.log(400) * share * (1 - share) * case.temperature**2 / count
            (raw,) = criterion.parameters()
            assert raw.grad is not None
            # the trained parameter is float32, and so is its gradient
            see("trained α", case, [raw.grad.item()], [total * chain], "float32")
    yield from worst.comparisons()


def _panels(sides: Derivatives, context: Context) -> tuple[Panel, ...]:
    with mp.workdps(reference.DIGITS):
        teacher, student = np.log([0.7, 0.2, 0.1]), np.log([0.2, 0.5, 0.3])
        p, s = reference.softmax(list(teacher)), reference.softmax(list(student))
        fine = np.unique([*np.geomspace(0.05, 20, 60), 1.0])
        coarse = np.unique([*np.geomspace(0.05, 20, 12), 1.0])
        stated = [_stated(sides, p, s, float(a)) for a in fine]
        pairs = [reference.Pair(teacher, student, float(a)) for a in coarse]
        measured = [context.shared(_measured, pair, p, s) for pair in pairs]

    def of(part: int, title: str, label: str) -> Panel:
        return panel(
            title, "order $\\alpha$", label,
            curve("closed form", fine, [g[part][0] for g in stated], "statement"),
            curve("differences of the definition", coarse, [g[part][0] for g in measured], style="markers"), log="x",
        )  # fmt: skip

    return (
        of(3, "derivative in the order", "$\\partial D_\\alpha/\\partial\\alpha$ (nats)"),
        of(2, "derivative in a logit of the peer", "$\\partial D_\\alpha/\\partial u_1$ (nats)"),
    )


_reversed = Sum(p[i] * log(p[i] / w[i]), (i, 1, C)) / (1 - alpha) ** 2

CLAIM = Claim(
    id="D2",
    title="The other gradients",
    message="All other gradients have closed forms, and limits at the ends",
    meaning=(
        "These are the derivatives of the divergence in everything else it depends on: both distributions, the "
        "peer's logits and the order. At α = 1, where some of the formulas divide by zero, their limits are given."
    ),
    matters="They are what is needed to let gradients flow into the peer as well, or to learn the order.",
    direction="equality",
    subject=DERIVATIVES,
    statement=statement,
    assumptions=(
        *ASSUMPTIONS,
        f"at {ORDER_ONE.text()} the first formula, of KL(p‖q)",
        "p and q positive, α in (0, ∞)",
        "at α = 1 only differences of the entries of ∂D/∂p have a limit: they are all that matters on the simplex",
    ),
    source=Source("derived here; the loss is that of Huang et al. 2023", "2209.05732"),
    checks=(
        kernel_check(symbolic.derivatives),
        numeric,
        *losses.if_torch(torch_losses),
    ),
    controls=(
        Control("student-sign", "the sign of ∂D/∂q reversed", DERIVATIVES._replace(student=w[k] / q[k])),
        Control(
            "complement", "α and 1 - α exchanged in ∂D/∂u",
            DERIVATIVES._replace(logits=(1 - alpha) / -alpha * (w[k] - p[k])),
        ),
        Control(
            "factor", "1/(α - 1) in place of α/(α - 1) in ∂D/∂u",
            DERIVATIVES._replace(logits=(w[k] - p[k]) / (alpha - 1)), drawn=True,
        ),
        Control(
            "ratio", "w/q in place of w/p in ∂D/∂p",
            DERIVATIVES._replace(teacher=alpha / (alpha - 1) * w[k] / q[k]),
        ),
        Control("reversed", "KL(p‖w) in place of KL(w‖p)", DERIVATIVES._replace(order=_reversed), drawn=True),
        Control("exponent", "1 - α not squared", DERIVATIVES._replace(order=DERIVATIVES.order * (1 - alpha))),
        Control(
            "variance", "the whole variance at order one",
            DERIVATIVES._replace(order_at_one=2 * DERIVATIVES.order_at_one),
        ),
        Control(
            "mean", "p t, its mean left out, at order one",
            DERIVATIVES._replace(logits_at_one=p[k] * log(p[k] / q[k])),
        ),
    ),
    caption=(
        "Derivatives in the order (left) and in one of the peer's logits (right) against the order, for one pair of "
        "distributions: differences of the definition at 60 digits lie on the formulas and, at α = 1, on their limits."
    ),
    in_code="rdml_theory.renyi_gradient",
)  # fmt: skip
