"""D5: the divergence does not decrease in its order, is skew symmetric, and is a minimum attained at the escort."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
from sympy import Integer, log

from rdml_theory import escort, renyi_divergence, renyi_gradient, symbolic
from rdml_theory.symbolic.divergence.entries import D, power_mean
from rdml_theory.symbolic.divergence.order import (
    ASSUMPTIONS,
    HIGHER,
    MIRROR,
    ORDER,
    Order,
    order_targets,
    relative_entropy,
    v,
)
from rdml_theory.symbolic.expression import RenyiDivergence, divergence
from rdml_theory.symbolic.notation import C, alpha, i, p, q, w
from verify.checks import Worst, at_least, curve, kernel_check, panel, reference
from verify.checks.formulas import value
from verify.claim import Claim, Comparison, Context, Control, Found, Panel, Source, Statement, check
from verify.names import divergence_of, leibler, named

ORDERS = (0.1, 0.25, 0.5, 0.75, 0.95)


def statement(sides: Order) -> Statement:
    words = (
        "For all distributions p, q and v, let {divergence} be D_α(p‖q). Then {slope}; {rising}; and {skew}, with {M} "
        "= D_(1-α)(q‖p), a divergence for α < 1. It is a minimum: {mixture}, so that {least}, attained at v = w, "
        "{attained}. Of two orders α < γ, {growth}, and {mean} lies between: {below} for α < 1, and {above} for α > 1"
    )
    names = ("slope", "rising", "skew", "mixture", "least", "attained", "growth", "below", "above")
    targets = {name: told.relation() for name, told in zip(names, order_targets(sides), strict=True)}
    at, higher = (divergence_of(order, log(power_mean(order)) / (order - 1)) for order in (alpha, HIGHER))
    names = {"divergence": at, "higher": higher, "short": named(at.lhs, D), "mean": leibler("p", "q")}
    names |= {first + second: leibler(first, second) for first, second in ("vp", "vq", "vw", "wp", "wq")}
    return Statement(words, {"M": MIRROR, **targets}, names)


def _entropy(first: list[Any], second: list[Any]) -> Any:
    return mp.fsum(x * mp.log(x / y) for x, y in zip(first, second, strict=True))


def _mixture(any_one: list[Any], p: list[Any], s: list[Any], alpha: Any) -> Any:
    return alpha * _entropy(any_one, p) + (1 - alpha) * _entropy(any_one, s)


def _stated(side: Any, p: list[Any], s: list[Any], any_one: list[Any], alpha: Any) -> Any:
    return value(side, len(p), p=p, q=s, v=any_one, w=reference.escort(p, s, alpha), alpha=alpha)


def _relative(one: Any, other: Any) -> float:
    return float(abs(one - other) / abs(other))


@check("numeric", cost=3.0)
def numeric(sides: Order, context: Context) -> Found:
    """Do the identities hold at 60 digits, for random v too, and does the NumPy core satisfy them?"""
    pairs = reference.sample_pairs(context.rng("pairs"), context.pick(quick=40, full=1_000), ORDERS, most_classes=4)
    others = context.rng("others")
    beside = reference.beside_limits(context.rng("beside"), context.pick(quick=2, full=40))
    worst, excesses = Worst(), []
    for pair in worst.over(context.each(pairs)):
        with mp.workdps(reference.DIGITS):
            p, s = pair.exact()
            any_one = reference.softmax(list(2 * others.standard_normal(len(p))))
            a = mp.mpf(pair.alpha)
            exact = context.shared(_slope, p, s, a)
            scaled, mixed = (1 - a) * reference.divergence(p, s, a), _mixture(any_one, p, s, a)
            for name, side, truth, allowed in (
                ("∂D/∂α against differences of the definition (60 digits), relative", sides.slope, exact, 1e-20),
                ("skew symmetry at 60 digits, relative", sides.skew, scaled, 1e-40),
                ("the variational identity at 60 digits, relative", sides.mixture, mixed, 1e-40),
            ):
                worst.see(name, _relative(_stated(side, p, s, any_one, a), truth), allowed)
            excesses.append(float((mixed - scaled) / abs(scaled)))
    yield at_least("least excess of the mixture over (1-α) D, relative", min(excesses), 0.0, samples=len(excesses))
    core = _core(sides, [*pairs, *(x for x in beside if x.alpha < 1)])
    yield from worst.comparisons()
    yield from core
    yield from _panels(sides)


def _slope(p: list[Any], s: list[Any], a: Any) -> Any:
    return mp.diff(lambda x: reference.divergence(p, s, x), a)


def _core(sides: Order, pairs: list[reference.Pair]) -> tuple[Comparison, ...]:
    """The NumPy core against the formulas, evaluated at 60 digits."""
    worst, rounding = Worst(), reference.ROUNDING
    alphas = np.array([0.0, *ORDERS, 1.0, 1.5, 3.0, np.inf])
    for pair in worst.over(pairs):
        a = pair.alpha
        values = renyi_divergence(pair.teacher, pair.student, alphas, domain="logits")
        own = float(renyi_divergence(pair.teacher, pair.student, a, domain="logits"))
        weights = np.log(escort(pair.teacher, pair.student, a, domain="logits"))
        parts = [float(renyi_divergence(weights, x, 1.0, domain="logits")) for x in (pair.teacher, pair.student)]
        rate = float(renyi_gradient(pair.teacher, pair.student, a, wrt="alpha", domain="logits"))
        with mp.workdps(reference.DIGITS):
            p, s = pair.exact()
            e, exact = reference.escort(p, s, a), mp.mpf(a)
            slope = _relative(mp.mpf(rate), _stated(sides.slope, p, s, e, exact))
            skew = _relative((1 - exact) * own, _stated(sides.skew, p, s, e, exact))
            mixed = exact * parts[0] + (1 - exact) * parts[1]
            # The rounding of the escort's logarithms moves each part to first order.
            size = exact * abs(parts[0]) + (1 - exact) * abs(parts[1]) + rounding
            mixture = float(abs(mixed - _stated(sides.mixture, p, s, e, exact)) / size)
        worst.see("∂D/∂α by renyi_gradient, relative", slope, rounding)
        worst.see("(1-α) D by renyi_divergence against its mirror image, relative", skew, rounding)
        worst.see("the mixture at the computed escort, relative", mixture, rounding)
        fall = float(np.max((values[:-1] - values[1:]) / values[1:]))
        worst.see("greatest relative fall of renyi_divergence in the order", fall, 16 * 2.0**-53)
    return worst.comparisons()


def _panels(sides: Order) -> tuple[Panel, ...]:
    with mp.workdps(reference.DIGITS):
        p, s = ([mp.mpf(x) / 10 for x in row] for row in ((7, 2, 1), (2, 3, 5)))
        fine, coarse = np.linspace(0.01, 0.99, 60), np.linspace(0.05, 0.95, 10)
        mirrored = [float(_stated(sides.skew, p, s, s, mp.mpf(a))) for a in fine]
        scaled = [float((1 - mp.mpf(a)) * reference.divergence(p, s, a)) for a in coarse]
        alpha = mp.mpf(7) / 10
        between = [reference.escort(p, s, float(t)) for t in fine]
        stated = [float(_stated(sides.mixture, p, s, x, alpha)) for x in between]
        mixed = [float(_mixture(reference.escort(p, s, float(t)), p, s, alpha)) for t in coarse]
        least = float((1 - alpha) * reference.divergence(p, s, alpha))
        alphas = np.linspace(0.05, 4.0, 25)
        rising = [float(reference.divergence(p, s, a)) for a in alphas]
    first = panel(
        "divergence against order", "order $\\alpha$", "$D_\\alpha(p\\Vert q)$ (nats)",
        curve("definition", alphas, rising, style="both"), log="",
    )  # fmt: skip
    left = panel(
        "skew symmetry", "order $\\alpha$", "$(1-\\alpha) D_\\alpha(p\\Vert q)$ (nats)",
        curve("mirror image, $\\alpha D_{1-\\alpha}(q\\Vert p)$", fine, mirrored, "statement"),
        curve("definition", coarse, scaled, style="markers"), log="",
    )  # fmt: skip
    right = panel(
        "least at the escort of order 0.7", "order of the escort that is $v$",
        "$\\alpha KL(v\\Vert p) + (1-\\alpha) KL(v\\Vert q)$ (nats)",
        curve("statement", fine, stated, "statement"),
        curve("definition", coarse, mixed, style="markers"),
        curve("$(1-\\alpha) D_\\alpha(p\\Vert q)$", (float(fine[0]), float(fine[-1])), least, "reference"), log="",
    )  # fmt: skip
    return first, left, right


_unmirrored = RenyiDivergence(p[i], q[i], 1 - alpha, (i, 1, C))

CLAIM = Claim(
    id="D5",
    title="The order",
    message="The divergence never falls when the order rises",
    meaning=(
        "How fast it rises is stated too, and below order one exchanging the two distributions is the same as "
        "exchanging α and 1 - α, up to a factor. It is also a minimum: the escort is the distribution that "
        "compromises best between the two."
    ),
    matters=(
        "This is why the order acts as a dial for how strongly students are pulled, and why nothing is gained by "
        "trying both directions of the divergence separately below order one."
    ),
    direction="equality",
    subject=ORDER,
    statement=statement,
    assumptions=(
        *ASSUMPTIONS,
        "p, q and v positive, α and γ in (0, ∞); for α > 1 the second term of the mixture counts negatively",
    ),
    source=Source("van Erven & Harremoës 2014, derived here", "1206.2459"),
    checks=(kernel_check(symbolic.order_theorem, cost=3.0), numeric),
    controls=(
        Control(
            "skew-factor", "1 - α in place of α", ORDER._replace(skew=ORDER.skew * (1 - alpha) / alpha), drawn=True
        ),
        Control("skew-arguments", "p and q not exchanged", ORDER._replace(skew=alpha * _unmirrored)),
        Control(
            "remainder",
            "KL(w‖v) in place of KL(v‖w)",
            ORDER._replace(mixture=relative_entropy(w, v) + (1 - alpha) * divergence),
        ),
        Control("factor", "1 - α dropped", ORDER._replace(mixture=relative_entropy(v, w) + divergence), drawn=True),
        Control("exponent", "1 - α to the power 1", ORDER._replace(slope=ORDER.slope * (1 - alpha))),
        Control("constant", "a constant slope", ORDER._replace(slope=Integer(1))),
    ),
    caption=(
        "Left: the divergence rises with the order. Middle: the scaled divergence and its mirror image, "
        "α D_{1-α}(q‖p). Right: the mixture of two relative entropies for v on the geometric path from q to p, least "
        "where v is the escort of the mixture's own order."
    ),
    in_code="rdml_theory.renyi_divergence",
)
