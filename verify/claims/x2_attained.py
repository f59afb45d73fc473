"""X2: mutual learning itself reaches the floor of the composed theorem, for every order, range and step below 2/Λ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sympy import Eq, Expr, exp

from convergence import Assumptions, MutualLearning, cohort_bound, simulate
from rdml_theory import escort
from rdml_theory.symbolic import notation
from rdml_theory.symbolic.divergence import names
from rdml_theory.symbolic.mutual import resting as symbolic
from rdml_theory.symbolic.mutual.bias import jacobian
from rdml_theory.symbolic.mutual.plateau import beta
from verify.checks import Role, Worst, at_least, at_most, curve, function_of, kernel_check, panel
from verify.checks.mutual import resting, turning
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check

Array = NDArray[np.float64]

POINTS = tuple((a, rho) for a in (0.25, 1.0, 4.0) for rho in (0.5, 2.0, 6.0))
TURNS = tuple((a, rho, b) for a in (0.5, 1.0, 1.5) for rho in (0.05, 1.0) for b in (0.1, 0.3))
ROUNDING = 1e-9
"""What a game of logits and softmaxes may be off, relative; its label shares are as small as 1e-6."""

STEPS = 40


@dataclass(frozen=True)
class Subject:
    """‖∇L‖² of a student at rest, at rest with labels of one class, and of one that jumps."""

    resting: Expr = symbolic.RESTING
    saturated: Expr = symbolic.SATURATED
    turning: Expr = symbolic.TURNING

    def at(self, name: str, alpha: float, rho: float, weight: float) -> float:
        """One of them, at G = 1."""
        values = (weight, 1.0, float(np.tanh(alpha * rho / 4)), alpha, rho)
        return float(function_of(getattr(self, name), beta, jacobian, symbolic.tau, notation.alpha, names.rho)(*values))

    def greatest(self, alpha: float, rho: float, weight: float) -> float:
        """The greatest that students on one input reach: at rest, up to the greatest weight of it."""
        return self.at("resting" if weight <= limit(alpha, rho) else "saturated", alpha, rho, weight)


def limit(alpha: float, rho: float) -> float:
    """The greatest β for which the label's share is not negative: 1/(exp(αρ/2) - 1)."""
    return float(1 / np.expm1(alpha * rho / 2))


def statement(subject: Subject) -> Statement:
    words = (
        "For every order α, range ρ, Jacobian G and step with {h} ≤ 1 there are cohorts at rest with {resting} for "
        "every T, {tau} = tanh(αρ/4): the floor of X1, while β(exp(αρ/2) - 1) ≤ 1; beyond, students on one input reach "
        "at most {saturated}. For {h} > 1 students who jump between two points, with {step} and {turning} at every "
        "step, come as near to the floor of X1 as one likes for small αρ, at orders below 2"
    )
    resting = symbolic.resting_target(subject.resting).relation()
    step = Eq(symbolic.h * symbolic.tau * (2 + 4 * beta), notation.alpha * names.rho)
    return Statement(words, {
        "tau": symbolic.tau, "h": symbolic.h, "resting": resting, "saturated": subject.saturated, "step": step,
        "turning": subject.turning,
    })  # fmt: skip


def _logits(alpha: float, rho: float, students: int, classes: int) -> Array:
    """The student's log-odds are -αρ/2 and its peers' ρ(1 - α/2); other classes are out of reach, at e^-40."""
    odds = np.array([-alpha * rho / 2, *[rho * (1 - alpha / 2)] * (students - 1)])
    far = np.full((students, classes - 2), -40.0)
    return np.column_stack([odds / 2, -odds / 2, far])


def _floor(game: MutualLearning, h: float, rho: float) -> float:
    """The floor of X1 for the first student."""
    at = Assumptions(smoothness=game.student_smoothness[0], gap=0.0, noise=0.0, bias=0.0)
    return cohort_bound(
        at, h / at.smoothness, np.inf, alpha=game.alpha, beta=game.beta, jacobian=game.student_jacobian[0],
        log_ratio_range=rho,
    ).total  # fmt: skip


def _square(game: MutualLearning, x: Array) -> float:
    """‖∇L‖² of the first student."""
    return float(game.squares(game.gradient(x))[0])


def _moved(game: MutualLearning, x: Array, h: float, steps: int) -> Array:
    step = h / game.student_smoothness[0]
    final: Array = simulate(game, step=step, steps=steps, replicas=1, seed=0, record=1, start=x).final[0]
    return final


def _rests(alpha: float, rho: float) -> list[tuple[str, float, float, float, float]]:
    """Of cohorts at rest: name, β, ‖∇L‖², the floor of X1, and how far they move."""
    out = []
    # The peers' label shares too must be at most 1; with more of them each is pulled less.
    for students, classes, share, h in ((2, 2, 0.2, 0.3), (3, 2, 0.5, 1.0), (5, 3, 1.0, 1.0)):
        logits = _logits(alpha, rho, students, classes)
        weight = share * limit(alpha, rho)
        p, pulled = _peer(logits, alpha)
        weight = min(weight, (students - 1) * (1 - p) / pulled) * (1 - 1e-9)
        game, start = resting(logits, alpha, weight)
        # Beyond its limit of stability the cohort rests too, but roundings grow.
        fastest = float(np.linalg.eigvals(game.jacobian(start)).real.max())
        h = min(h, 1.8 * game.student_smoothness[0] / fastest)
        far = float(np.abs(_moved(game, start, h, STEPS) - start).max())
        out.append((f"K = {students}, C = {classes}", weight, _square(game, start), _floor(game, h, rho), far))
    return out


def _peer(logits: Array, alpha: float) -> tuple[float, float]:
    """A peer's p, and p - w' from the student."""
    q, p = (1 / (1 + np.exp(z[1] - z[0])) for z in logits[:2])
    own = escort(np.array([q, 1 - q]), np.array([p, 1 - p]), alpha)[0]
    return float(p), float(p - own)


@check("numeric", id="rest", cost=2.0)
def at_rest(subject: Subject, context: Context) -> Found:
    """Do such cohorts stand still in the simulator, at X1's floor?"""
    worst = Worst()
    for alpha, rho in POINTS:
        for name, weight, square, floor, far in context.shared(_rests, alpha, rho):
            stated = subject.at("resting", alpha, rho, weight)
            worst.see(f"|‖∇L‖²/stated - 1|, {name}", abs(square / stated - 1), ROUNDING)
            worst.see(f"|stated/floor of X1 - 1|, {name}", abs(stated / floor - 1), ROUNDING)
            worst.see(f"distance after {STEPS} steps, {name}", far, ROUNDING)
    steady = context.shared(_stability)
    lines = [
        at_least("stable for small steps: least eigenvalue of the game's Jacobian", steady[0], -1e-12),
        at_most("α = 1, ρ = 2, h = 1: distance from the rest left of 1e-3", steady[1] / 1e-3, 1e-3),
        at_least("not stable at every h ≤ 1: α = 20, ρ = 0.05, h = 1: of 1e-3", steady[2] / 1e-3, 10.0),
    ]
    yield from worst.comparisons()
    yield from lines


def _stability() -> tuple[float, float, float]:
    """The least real part of an eigenvalue at rest; the distance after 200 steps from 1e-3 away, for two cohorts."""
    least = np.inf
    for alpha, rho in POINTS:
        logits = _logits(alpha, rho, 2, 2)
        p, pulled = _peer(logits, alpha)
        game, start = resting(logits, alpha, min(limit(alpha, rho), (1 - p) / pulled) * (1 - 1e-9))
        least = min(least, float(np.linalg.eigvals(game.jacobian(start)).real.min()))
    away = []
    for alpha, rho in ((1.0, 2.0), (20.0, 0.05)):
        game, start = resting(_logits(alpha, rho, 2, 2), alpha, 0.9 * limit(alpha, rho))
        near = start + 5e-4 * np.array([0, 0, 1, -1, 0, 0, -1, 1])  # the log-odds of both
        away.append(float(np.linalg.norm(_moved(game, near, 1.0, 200) - start)))
    return least, away[0], away[1]


WEIGHTS = (0.05, 0.3, 1.0, 4.0)


def _searched(rng: np.random.Generator, alpha: float, rho: float, weight: float, count: int) -> tuple[float, float]:
    """The greatest ‖∇L‖² of students at rest on one input: random ones of 2 to 4 classes, and two classes in order.

    A random one rests in all its logits, and one whose logits have one direction only, rests along that.
    """
    found = [0.0, 0.0]
    q = np.linspace(1e-6, 1 - 1e-6, 40_001)
    ordered = np.column_stack([q, 1 - q])
    for place, own in ((1, ordered), *((0, rng.dirichlet(np.full(c, 0.5), count)) for c in (2, 3, 4))):
        pulls = []
        for _ in range(1 if place else int(rng.integers(1, 4))):
            ratio = np.array([rho, 0.0]) if place else rho * rng.choice([0.0, 1.0], own.shape)
            tilted = own * np.exp(alpha * ratio)
            pulls.append(tilted / tilted.sum(axis=1, keepdims=True))
        pull = own - np.mean(pulls, axis=0)
        legal = (own + weight * pull >= 0).all(axis=1)
        found[place] = max(found[place], float((legal * (weight**2) * (pull**2).sum(axis=1)).max()))
        if not place:
            way = rng.normal(size=own.shape)
            way /= np.linalg.norm(way, axis=1, keepdims=True)
            label, along = ((way * part).sum(axis=1) for part in (own + weight * pull, pull))
            legal = (way.min(axis=1) <= label) & (label <= way.max(axis=1))
            found[0] = max(found[0], float((legal * (weight * along) ** 2).max()))
    return found[0], found[1]


@check("numeric")
def beyond(subject: Subject, context: Context) -> Found:
    """Does no student at rest on one input exceed what is stated?"""
    curves = []
    count = context.pick(quick=20_000, full=500_000)
    for number, (alpha, rho) in enumerate(((0.25, 2.0), (1.0, 2.0), (4.0, 1.0))):
        found = [context.shared(_searched, context.rng(alpha, b), alpha, rho, b, count) for b in WEIGHTS]
        stated = [subject.greatest(alpha, rho, b) for b in WEIGHTS]
        at = f"α = {alpha:g}, ρ = {rho:g}"
        worst = max(max(pair) / s for pair, s in zip(found, stated, strict=True))
        least = min(pair[1] / s for pair, s in zip(found, stated, strict=True))
        yield at_most(f"greatest ‖∇L‖² found over stated, {at}", worst, 1 + ROUNDING)
        yield at_least(f"least of them that two classes reach, {at}", least, 0.999)
        grid = np.geomspace(0.02, 10, 60)
        greatest = [subject.greatest(alpha, rho, float(b)) for b in grid]
        label = f"$\\alpha\\rho$ = {alpha * rho:g}"
        curves += [
            curve(f"{label}: stated", grid, greatest, "statement", group=number),
            curve(f"{label}: found", WEIGHTS, [max(pair) for pair in found],
                  ("measured", "second", "measured")[number], style="markers", group=number),
        ]  # fmt: skip
    yield panel("one input, at rest: the greatest base gradient", "weight $\\beta$", "$\\|\\nabla L\\|^2/G^2$", *curves)


def _turns(alpha: float, rho: float, weight: float) -> tuple[float, float, float, float]:
    """h, ‖∇L‖² and the floor of X1 over G², and the greatest distance from -θ and θ after an odd and an even step."""
    game, start, h = turning(alpha, rho, weight)
    far = max(float(np.abs(_moved(game, start, h, n) - (-1) ** n * start).max()) for n in (1, 2, 25))
    size = game.student_jacobian[0] ** 2
    return h, _square(game, start) / size, _floor(game, h, rho) / size, far


@check("numeric")
def jumps(subject: Subject, context: Context) -> Found:
    """For h > 1, do the students jump as stated, near X1's floor for small αρ?

    Two students who jump from θ to -θ and back.
    """
    worst = Worst()
    at: dict[Role, list[tuple[float, float]]] = {"measured": [], "second": []}
    for alpha, rho, weight in TURNS:
        h, square, floor, far = context.shared(_turns, alpha, rho, weight)
        stated = subject.at("turning", alpha, rho, weight)
        worst.see("|‖∇L‖²/stated - 1| of students who jump", abs(square / stated - 1), ROUNDING)
        worst.see("distance from where they should be after 1, 2 and 25 steps", far, ROUNDING)
        name = f"α = {alpha:g}, ρ = {rho:g}, β = {weight:g}, h = {h:.4g}: ‖∇L‖² over the floor of X1"
        yield at_most(name, stated / floor, 1 + ROUNDING)
        if rho < 0.1:
            yield at_least(f"{name}, nearly reached", stated / floor, 0.99)
        level = 2 * (weight * np.tanh(alpha * rho / 4)) ** 2
        at["measured" if rho < 0.1 else "second"].append((h, square / level))
    yield from worst.comparisons()
    yield _against_step(subject, at)


def _against_step(subject: Subject, found: dict[Role, list[tuple[float, float]]]) -> Panel:
    """A² over ζ² against h: the students who rest, those who jump, and the floor of X1."""
    grid = np.linspace(0.05, 1.8, 120)
    rest = subject.at("resting", 1.0, 1.0, 0.3) / zeta2(0.3)
    # At α = 1 and a small range, h = 2/(1 + 2β).
    late = grid[grid > 1.02]
    stated = [subject.at("turning", 1.0, 1e-3, 1 / h - 0.5) / zeta2(1 / h - 0.5, 1e-3) for h in late]
    named: dict[Role, str] = {"measured": "$\\rho$ = 0.05", "second": "$\\rho$ = 1"}
    return panel(
        "against the step", "step size $h = \\Lambda\\eta$", "$\\|\\nabla L\\|^2/\\zeta^2$",
        curve("at rest", (0.05, 1.0), rest, "statement"),
        curve("students who jump, small $\\alpha\\rho$", late, stated, "statement"),
        curve("floor of X1", grid, [max(1.0, (h / (2 - h)) ** 2) for h in grid], "reference"),
        *(
            curve(f"who jump, measured, {named[role]}", [h for h, _ in points], [r for _, r in points], role,
                  style="markers")
            for role, points in found.items()
        ),
        log="y",
    )  # fmt: skip


def zeta2(weight: float, rho: float = 1.0) -> float:
    """ζ² at α = 1 and G = 1."""
    return float(2 * (weight * np.tanh(rho / 4)) ** 2)


_E4 = exp(notation.alpha * names.rho / 4)

CLAIM = Claim(
    id="X2",
    title="Attained by mutual learning",
    message="Mutual learning itself reaches the bound's floor",
    meaning=(
        "There are students of mutual learning that stand still where their own loss still has a slope, as steep as "
        "the composed theorem allows. With longer steps there are students that jump between two points forever."
    ),
    matters=(
        "It shows that the bias is no artefact of a proof: no step size removes it, and no better constant can "
        "be had."
    ),
    direction="equality",
    subject=Subject(),
    statement=statement,
    assumptions=(
        *symbolic.ASSUMPTIONS,
        "one input, two classes, logits (θ, -θ)G/√2 (others of C classes as improbable as one likes); any K ≥ 2: all "
        "peers rest at log-odds ρ(1 - α/2) by label shares of their own",
        f"for a student at rest on one input, with any C and Jacobian: {'; '.join(symbolic.ONE_INPUT)}; f is its own "
        "loss, w_m the escort of peer m of N, y its labels, and v the change of its logits along ∇f(θ), greatest in "
        "class k and least in class l",
        "measured: linearly stable for small steps, at all α, ρ and β tried; at h = 1 only where the mutual loss is "
        "not much more curved than the base loss",
        "students who jump: α < 2, the peer's Jacobian is not the student's but at α = 1; the gap to X1 at h > 1 and "
        "larger αρ, and cohorts with several inputs beyond the weight 1/(exp(αρ/2) - 1), are open",
    ),
    source=Source("this toolkit", own=True),
    checks=(
        kernel_check(
            lambda subject: symbolic.resting_cohort(
                subject.resting, saturated=subject.saturated, turning=subject.turning
            )
        ),
        at_rest, beyond, jumps,
    ),
    controls=(
        Control("half", "half of the floor", Subject(symbolic.RESTING / 2), drawn=True),
        Control("range", "tanh(αρ/8) in place of tanh(αρ/4)",
                Subject(symbolic.RESTING.subs(symbolic.tau, (_E4 - 1) / (_E4 + 1)))),
        Control("no-limit", "the floor at every weight", Subject(saturated=symbolic.RESTING)),
        Control("turning", "half of the gradient of those who jump", Subject(turning=symbolic.TURNING / 2)),
    ),
    caption=(
        "Left: the greatest base gradient of a student at rest on one input grows with the weight as X1's floor, until "
        "all its labels are of one class. Right: over the squared bias, the students at rest lie on X1's floor for "
        "h ≤ 1, and those who jump come near to it beyond."
    ),
    in_code="convergence.cohort_bound",
)  # fmt: skip
