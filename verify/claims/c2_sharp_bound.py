"""C2: the sharp bound, valid up to h = 2, whose floor is attained."""

from __future__ import annotations

from sympy import Abs, Integer, sqrt

from convergence import sharp_bound
from rdml_theory.symbolic.sgd import bounds as sgd
from rdml_theory.symbolic.sgd import descent, setting
from verify.checks import kernel_check
from verify.checks.bounds import BOUND_CHECK, BoundSubject, extremal_check, nonconvex_check
from verify.claim import Claim, Control, Source, Statement


def statement(subject: BoundSubject) -> Statement:
    formulas = {"bound": sgd.sharp_target(subject.right_side).relation(), "h": descent.h}
    return Statement("For every {h} in (0, 2): {bound}", formulas)


def _subject(right_side: object = descent.SHARP, **product: object) -> BoundSubject:
    return BoundSubject(right_side, 1, 2.0, sharp_bound, **product)  # type: ignore[arg-type]


_WRONG_SIGN = descent.SHARP.subs(Abs(1 - descent.h), 1 - descent.h)
_BIAS_UNDER_ROOT_ONLY = sqrt(
    descent.Z**2 + (2 - descent.h) * (2 * descent.gap / (descent.eta * descent.horizon) + descent.h * descent.sigma**2)
) / (2 - descent.h)

CLAIM = Claim(
    id="C2",
    title="Sharp bound",
    message="The sharp bound cannot be lowered, and holds for steps twice as long",
    meaning=(
        "This is the classical bound made as small as it can be, and valid for steps up to twice as large. Without "
        "noise, a long run pays for a bias with its square up to h = 1, and with more and more from there to h = 2."
    ),
    matters=(
        "It tells how far from a stationary point mutual learning can hold a student, in numbers that can be measured."
    ),
    direction="tight",
    subject=_subject(product=sharp_bound),
    statement=statement,
    assumptions=setting.assumptions(*setting.AVERAGED, "h < 2"),
    source=Source("this toolkit; the setting is that of Ajalloeian & Stich 2020", "2008.00051", own=True),
    checks=(
        kernel_check(lambda subject: sgd.sharp_bound(subject.right_side)),
        BOUND_CHECK,
        extremal_check(
            [
                (0.25, 0.0, 1.0, "orthogonal", 500),
                (1.0, 0.0, 1.0, "orthogonal", 500),
                (1.5, 0.0, 1.0, "orthogonal", 500),
                (1.8, 0.0, 1.0, "orthogonal", 1000),
                (0.5, 1.0, 1.0, "orthogonal", 500),
                (1.5, 1.0, 1.0, "orthogonal", 500),
                (0.25, 1.0, 0.0, "gaussian", 100),
                (1.0, 1.0, 0.0, "gaussian", 100),
                (1.5, 1.0, 0.0, "gaussian", 100),
            ],
            attained=True,
            cost=0.5,
        ),
        nonconvex_check([0.1, 0.5, 1.0, 1.5], noise=0.02, bias=0.04, cost=2.0),
    ),
    controls=(
        Control("no-bias", "the bias term dropped", _subject(descent.SHARP.subs(descent.Z, Integer(0)))),
        Control("no-noise", "the noise term dropped", _subject(descent.SHARP.subs(descent.sigma, Integer(0)))),
        Control("sign", "1-h in place of |1-h|", _subject(_WRONG_SIGN)),
        Control("no-cross-term", "the cross term |1-h|Z dropped", _subject(_BIAS_UNDER_ROOT_ONLY), drawn=True),
    ),
    caption=(
        "Left: the floor against the step size; the extremal quadratic attains it, beyond h = 1 too. "
        "Middle and right: on a nonconvex problem the measured average falls to a plateau at the squared bias and "
        "stays below the bound, at a small step and beyond the classical limit."
    ),
    in_code="convergence.sharp_bound",
)
