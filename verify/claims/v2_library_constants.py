"""V2: the smoothness constants of the library's problems, which every experiment's bound is made with."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Integer, Le, Mul, Rational, Symbol

from convergence import problems
from convergence.probes import largest_curvature
from verify.checks import at_least, at_most, curve, panel
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

ROUNDED = 1e-7
"""What differences of gradients may exceed a curvature by."""

TIGHT = 0.98
"""A Λ of which a search reaches this part is judged from both sides, so that one 5% low is found to be false."""


REACHED = {name: problems.factory(name).tightness for name in problems.available()}
"""What part of its Λ each problem of the library says that a search reaches."""

NAMES = sorted(REACHED, key=lambda name: REACHED[name] < TIGHT)
COUNT = sum(part >= TIGHT for part in REACHED.values())


@dataclass(frozen=True)
class Subject:
    """What is stated of the gradient's Lipschitz constant: a multiple of the declared Λ."""

    factor: float = 1.0


def statement(subject: Subject) -> Statement:
    change, distance, lam = (Symbol(name, positive=True) for name in ("g", "d", "Lambda"))
    factor = Integer(1) if subject.factor == 1 else Rational(str(subject.factor))
    return Statement(
        "For every problem of the library, two points at distance {d} have gradients that differ by {bound}, where {L} "
        "is the problem's constant; for {n} of them differences come within 2% of that",
        {"d": distance, "bound": Le(change, Mul(factor, lam, distance)), "L": lam, "n": Integer(COUNT)},
    )


def _found(name: str, context: Context) -> float:
    budget = 6_000 if name == "mutual_learning" else context.pick(quick=60_000, full=1_000_000)
    return largest_curvature(problems.get(name), context.rng(name), budget=budget).value


@check("numeric", id="search", cost=1)
def attained(subject: Subject, context: Context) -> Found:
    """Does a search find a larger curvature, and nearly that?"""
    ratios: list[float] = []
    for name in context.each(NAMES):
        ratio = context.shared(_found, name, context) / (subject.factor * problems.get(name).smoothness)
        ratios.append(ratio)
        yield at_most(f"{name}: found over stated", ratio, 1 + ROUNDED)
        if REACHED[name] >= TIGHT:
            yield at_least(f"{name}: found over stated", ratio, min(REACHED[name], 0.999))
    x = tuple(float(n) for n in range(1, len(NAMES) + 1))
    yield panel(
        "curvature found over curvature stated", "problem", "ratio",
        curve("largest found", x, ratios, style="markers"),
        curve("stated", (x[0], x[-1]), subject.factor, "statement"), log="",
        x_names=[name.replace("_", " ") for name in NAMES],
    )  # fmt: skip


CLAIM = Claim(
    id="V2",
    title="Constants of the problems",
    message="No problem declares a constant that is too small",
    meaning=(
        "Each test problem declares a smoothness constant, and a search tries to find a larger curvature. It finds "
        f"none, and for {COUNT} problems it comes within two percent of the constant."
    ),
    matters="A bound tested with too large a constant would hold for the wrong reason.",
    direction="tight",
    subject=Subject(),
    statement=statement,
    assumptions=("the problems of convergence.problems, with their default parameters",),
    source=Source("this toolkit", own=True),
    checks=(attained,),
    controls=(
        Control("low", "constants 5% too small", Subject(0.95), drawn=True),
        Control("high", "constants 5% too large", Subject(1.05)),
    ),
    caption=(
        "The largest curvature that a search finds, over the constant that each problem declares. Of matrix "
        "factorisation and the sigmoid loss only an upper bound is known."
    ),
    in_code="convergence.problems.get",
)
