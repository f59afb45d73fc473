"""C1: the classical bound of constant-step SGD with biased gradients."""

from __future__ import annotations

from sympy import Integer, Rational

from convergence import classical_bound
from rdml_theory.symbolic.sgd import bounds as sgd
from rdml_theory.symbolic.sgd import descent, setting
from verify.checks import kernel_check
from verify.checks.bounds import BOUND_CHECK, BoundSubject, extremal_check, nonconvex_check
from verify.claim import Claim, Control, Source, Statement


def statement(subject: BoundSubject) -> Statement:
    formulas = {
        "bound": sgd.classical_target(subject.right_side).relation(),
        "h": descent.h,
        "last": Rational(subject.greatest_step),
    }
    return Statement("For every {h} in (0, {last}]: {bound}", formulas)


def _subject(right_side: object = descent.CLASSICAL, greatest_step: float = 1.0, **product: object) -> BoundSubject:
    return BoundSubject(right_side, 2, greatest_step, classical_bound, **product)  # type: ignore[arg-type]


CLAIM = Claim(
    id="C1",
    title="Classical bound",
    message="With a bias, SGD falls to a level set by the noise and the squared bias",
    meaning=(
        "Averaged over a run, the squared gradient of SGD with a biased gradient is at most what the start leaves, "
        "plus the noise times the step, plus the squared bias. The first vanishes with time and the second with the "
        "step, but the third stays."
    ),
    matters="This is the form in which the literature states that biased SGD converges up to a constant.",
    direction="upper bound",
    subject=_subject(product=classical_bound),
    statement=statement,
    assumptions=setting.assumptions(*setting.AVERAGED, "h ≤ 1"),
    source=Source("Ajalloeian & Stich 2020, constants derived here", "2008.00051"),
    checks=(
        kernel_check(
            lambda subject: sgd.classical_bound(subject.right_side, greatest_step=Rational(subject.greatest_step))
        ),
        BOUND_CHECK,
        extremal_check(
            [
                (0.25, 0.0, 1.0, "orthogonal", 500),
                (1.0, 0.0, 1.0, "orthogonal", 500),
                (1.5, 0.0, 1.0, "orthogonal", 500),
                (0.25, 1.0, 0.0, "gaussian", 100),
                (1.0, 1.0, 0.0, "gaussian", 100),
                (1.5, 1.0, 0.0, "gaussian", 100),
            ],
            attained=False,
            cost=0.5,
        ),
        nonconvex_check([0.1, 0.5, 1.0], noise=0.02, bias=0.04, cost=1.0),
    ),
    controls=(
        Control("step-1.5", "used up to h = 3/2", _subject(greatest_step=1.5), drawn=True),
        Control("no-bias", "the bias term dropped", _subject(descent.CLASSICAL.subs(descent.Z, Integer(0)))),
        Control("half-noise", "half the noise term", _subject(descent.CLASSICAL - descent.h * descent.sigma**2 / 2)),
    ),
    caption=(
        "Left: the bound's floor against the step size, with what the extremal quadratic attains; beyond h = 1 the "
        "formula is exceeded. Middle and right: the measured average on a nonconvex problem falls to a plateau at the "
        "squared bias and stays below the bound, at a small and at the largest step size."
    ),
    in_code="convergence.classical_bound",
)
