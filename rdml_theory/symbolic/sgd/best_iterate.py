"""The best iterate of gradient descent with a biased gradient: the exact worst case of min_t ‖∇f(x_t)‖²."""

from __future__ import annotations

from sympy import Rational, Symbol, sqrt

from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.notation import Formula, Named
from rdml_theory.symbolic.relations import at_least, at_most, equal
from rdml_theory.symbolic.sgd.descent import bias, eta, gap, h, horizon
from rdml_theory.symbolic.sgd.setting import smoothness

__all__ = ["BEST", "DECREASE", "best_iterate"]

BEST = Named("W", "W")
"""min over t < T of ‖∇f(x_t)‖²."""

DECREASE: Formula = (1 - h / 4) * BEST - (1 - h / 2) * bias * sqrt(BEST) - h / 4 * bias**2
"""What a step lowers the value by, over η, at least, while both gradients are at least √W ≥ ζ."""


def best_iterate(decrease: Formula | None = None) -> Derivation:
    """``(T-1)η[(1-h/4)W - (1-h/2)ζ√W - (h/4)ζ²] + W/(2Λ) ≤ Δ`` without noise, for 0 < h ≤ 1 and ζ² ≤ 2ΛΔ.

    An explicit function attains it: its slope is √W at every iterate and dips in between as fast as Λ allows.

    Parameters
    ----------
    decrease : Formula, optional
        The asserted decrease of a step over η.

    Examples
    --------
    >>> best_iterate().verify(), best_iterate(DECREASE + h / 4 * bias**2).verify()
    (True, False)
    """
    asserted = DECREASE if decrease is None else decrease
    # Inner products of the gradients g, g₊ at both ends of a step and of the bias b: d = g + b, x₊ = x - ηd.
    gg, pp, bb = (Symbol(f"{s}²", nonnegative=True) for s in ("g", "g_+", "b"))
    gp, gb, pb = (Symbol(s, real=True) for s in ("gg_+", "gb", "g_+b"))
    moved = gg + 2 * gb + bb  # ‖d‖²
    along = gg + gb, gp + pb  # <g, d>, <g₊, d>
    # F = f + Λ‖x‖²/2 is convex and 2Λ-smooth, with gradients G = g + Λx; x - x₊ = ηd.
    turned = gg + pp - 2 * gp + 2 * smoothness * eta * (along[0] - along[1]) + smoothness**2 * eta**2 * moved
    cocoercive = eta * along[1] - smoothness * eta**2 / 2 * moved + turned / (4 * smoothness)
    interpolated = eta / 2 * (along[0] + along[1]) + (gg + pp - 2 * gp) / (4 * smoothness)
    interpolated -= smoothness * eta**2 / 4 * moved
    x, y, zeta = (Symbol(s, nonnegative=True) for s in ("x", "y", "zeta"))
    w: Formula = Symbol("w", nonnegative=True)
    least = (Rational(1, 2) + 1 / (4 * h) - h / 4) * x**2 + y**2 / (4 * h) - (1 / (2 * h) - Rational(1, 2)) * x * y
    least += -(Rational(1, 2) - h / 2) * x * zeta - y * zeta / 2 - h / 4 * zeta**2
    in_norms = {gg: x**2, pp: y**2, bb: zeta**2, gp: x * y, gb: -x * zeta, pb: -y * zeta}
    stated = asserted.subs({sqrt(BEST): w, BEST: w**2, bias: zeta})
    more, even_more, above, small = (Symbol(n, nonnegative=True) for n in ("u", "v", "s", "ε"))
    excess = (zeta + (3 - h) / 2 * above) * more + above * even_more / 2
    excess += (even_more - (1 - h) * more) ** 2 / (4 * h) + (1 - h / 2) * more**2
    d = w - zeta
    steps = (
        Step(
            "F = f + Λ‖x‖²/2 is convex and 2Λ-smooth, so F(x) - F(x₊) ≥ <G₊, x - x₊> + ‖G - G₊‖²/(4Λ); for f this says",
            equal(cocoercive, interpolated),
        ),
        Step(
            "with Λη = h, its inner products have the factors that follow, those of <g, g₊> ≤ 0 for h ≤ 1",
            equal(interpolated.subs(smoothness, h / eta).subs(in_norms), eta * least),
        ),
        Step(
            "which, for gradients x, y ≥ w ≥ ζ along each other and a bias ζ against them, exceeds the stated "
            "decrease by",
            equal(least - stated, excess),
            (equal(x, w + more), equal(y, w + even_more), equal(w, zeta + above)),
        ),
        Step("for h ≤ 1 not negative", at_least(excess, 0), (equal(h, 1 / (1 + small)),)),
        Step(
            "the statement's left side increases in W ≥ ζ², where its slope in √W is",
            equal(2 * (1 - h / 4) * w - (1 - h / 2) * zeta, zeta + (2 - h / 2) * above),
            (equal(w, zeta + above),),
        ),
        Step(
            "for h ≤ 1 not negative: W is at most its root",
            at_least(zeta + (2 - h / 2) * above, 0),
            (equal(h, 1 / (1 + small)),),
        ),
        Step(
            "which is not below ζ², for ζ² ≤ 2ΛΔ: at W = ζ² the decrease vanishes",
            equal((1 - h / 4) * zeta**2 - (1 - h / 2) * zeta**2 - h / 4 * zeta**2, Rational(0)),
        ),
        Step(
            "a slope of w at both ends of a step of length ηd, d = w - ζ, dipping as fast as Λ allows, attains "
            "the decrease",
            equal(eta * w * d - smoothness * (eta * d / 2) ** 2, eta * stated),
            (equal(smoothness, h / eta),),
        ),
        Step(
            "and after the last iterate Λ allows no less than W/(2Λ) to the minimum",
            equal(w * (w / smoothness) - smoothness / 2 * (w / smoothness) ** 2, w**2 / (2 * smoothness)),
        ),
    )
    return Derivation(at_most((horizon - 1) * eta * asserted + BEST / (2 * smoothness), gap), steps)
