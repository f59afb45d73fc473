"""C2b: the sharp bound with ζ² and σ² multiplied by 1 - 1/T."""

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import sqrt

from convergence import Assumptions, problems, refined_bound, sharp_bound, simulate
from rdml_theory.symbolic.sgd import descent, refinements
from rdml_theory.symbolic.sgd.bounds import sharp_target
from verify.checks import at_most, kernel_check
from verify.checks.bounds import BOUND_CHECK, BoundSubject
from verify.checks.worst import Setting, horizon_panel, worst_case_check
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

AT_ONE = tuple(Setting(1.0, t, bias=1.0, slack=1e-5) for t in (1, 2, 4, 8, 12))
SETTINGS = (
    *AT_ONE,
    Setting(1.0, 3, bias=0.3, noise=0.5, slack=1e-5),
    *(Setting(h, t, bias=b) for h in (0.3, 0.8, 1.5) for t in (2, 8) for b in (0.1, 2.0)),
)


def statement(subject: BoundSubject) -> Statement:
    words = "For every {h} in (0, 2): {bound}, which at h = 1 is attained for every T"
    return Statement(words, {"h": descent.h, "bound": sharp_target(subject.right_side).relation()})


def _subject(right_side: Any, **product: Any) -> BoundSubject:
    return BoundSubject(right_side, 1, 2.0, refined_bound, **product)


def _with(factor: Any, transient: Any = 1) -> Any:
    """The sharp bound with ζ² and σ² times a factor, and another of the transient term."""
    s = descent
    return s.SHARP.subs({s.Z: s.Z * sqrt(factor), s.sigma: s.sigma * sqrt(factor), s.gap: s.gap * transient})


@check("numeric", cost=0.5)
def quadratic(subject: BoundSubject, context: Context) -> Found:
    """Is the bound attained at h = 1, at every horizon?"""
    eps = float(np.finfo(float).eps)
    for steps in (1, 2, 5, 40):
        for noise, bias in ((0.0, 0.7), (0.4, 0.0), (0.4, 0.7)):
            problem = problems.get("quadratic", radius=2.0, noise=noise, bias=bias)
            run = simulate(problem, step=1.0, steps=steps, replicas=1, seed=context.seed_for(steps, noise, bias))
            at = Assumptions(smoothness=1.0, gap=2.0, noise=noise, bias=bias)
            measured = float(run.mean_squared_gradient[-1, 0])
            name = f"|stated/A² - 1| on the quadratic, h = 1, T = {steps}, σ² = {noise:g}, ζ² = {bias:g}"
            yield at_most(name, abs(subject.squared(at, 1.0, steps) / measured - 1), 64 * eps)


CLAIM = Claim(
    id="C2b",
    title="Last step",
    message="The bias of the last step does no harm",
    meaning=(
        "It acts only after the last gradient of the average has been taken, and so its share of the bound is saved. "
        "At h = 1 the result is exact for every length of run."
    ),
    matters="It closes the gap between the sharp bound and the exact worst case at the step size that matters most.",
    direction="tight",
    subject=_subject(refinements.REFINED, product=refined_bound),
    statement=statement,
    assumptions=refinements.LAST_STEP,
    source=Source("this toolkit; the setting is that of Ajalloeian & Stich 2020", "2008.00051", own=True),
    checks=(
        kernel_check(lambda subject: refinements.refined_bound(subject.right_side)),
        BOUND_CHECK,
        quadratic,
        worst_case_check(
            BoundSubject.at,
            SETTINGS,
            cost=1.0,
            panel=horizon_panel("$h$ = 1, $\\zeta^2$ = 1", AT_ONE, BoundSubject.at, "sharp bound (C2)", sharp_bound),
        ),
    ),
    controls=(
        Control("squared", "the factor (1 - 1/T)²", _subject(_with(refinements.REFINED_FACTOR**2))),
        Control("two-steps", "the factor 1 - 2/(T + 1)", _subject(_with(1 - 2 / (descent.horizon + 1))), drawn=True),
        Control(
            "transient",
            "the transient term multiplied as well",
            _subject(_with(refinements.REFINED_FACTOR, refinements.REFINED_FACTOR)),
        ),
    ),
    caption=(
        "At h = 1 the exact worst case over all smooth functions, a semidefinite program, lies on the bound at every "
        "horizon; the sharp bound lies above it by the last step's bias."
    ),
    in_code="convergence.refined_bound",
)
