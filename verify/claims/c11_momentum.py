"""C11: SGD with momentum and biased gradients obeys a bound that potentials of value, gradient and velocity prove."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr

from convergence import Assumptions, WorstCase, momentum_bound, problems, simulate, stepwise_bound, worst_case
from convergence.momentum import best_potential, lagging
from convergence.problems import SyntheticProblem
from rdml_theory.symbolic.kernel import Proof
from rdml_theory.symbolic.sgd import descent, momentum_floor
from rdml_theory.symbolic.sgd import momentum as symbolic
from rdml_theory.symbolic.sgd.descent import Z, eta, h, horizon, sigma
from rdml_theory.symbolic.sgd.setting import smoothness
from verify.checks import (
    Replicas,
    at_least,
    at_most,
    curve,
    evaluate,
    function_of,
    implementation_check,
    kernel_check,
    letters,
    panel,
)
from verify.checks.bounds import descent_panel
from verify.checks.performance import worst_case_record
from verify.claim import Claim, Context, Control, Curve, Found, Panel, Source, Statement, check
from verify.names import named

METHODS = ("heavy ball", "Nesterov")


@dataclass(frozen=True)
class Subject:
    """The asserted c, d, ν and floor of a heavy ball, and whether the function users call is confronted."""

    coefficient: Expr = symbolic.COEFFICIENT
    drive: Expr = symbolic.DRIVE
    price: Expr = symbolic.PRICE
    product: bool = False
    floor: Expr = momentum_floor.FLOOR

    @cached_property
    def _formulas(self) -> tuple[list[Any], tuple[Any, ...]]:
        """What the letters of the bound are, each after those that it needs, and the two bounds of A²."""
        s = symbolic
        told = s.definitions(self.price)
        short, whole = (target.right for target in s.momentum_targets(self.coefficient, self.drive))
        letters_of = [told[name] for name in ("nu", "tau", "phi", "epsilon", "xi", "kappa")]
        return letters_of, (short / horizon, whole / s.kappa)

    @cached_property
    def _floor(self) -> Any:
        return function_of(self.floor, descent.mu, h, Z)

    def settled(self, step: float, mu: float) -> float:
        """The floor of A² at Λ = ζ = 1 for a heavy ball without noise, Λη ≤ 1 - μ."""
        return 1.0 if step * (1 + mu) <= (1 - mu) ** 2 else float(self._floor(mu, step, 1.0))

    def squared(self, a: Assumptions, step: float, steps: float, mu: float, nesterov: bool) -> float:
        """The bound of A² that the subject states."""
        if self.product:
            return float(momentum_bound(a, step, steps, momentum=mu, nesterov=nesterov))
        return self.from_formula(a, step, steps, mu, nesterov)

    def from_formula(self, a: Assumptions, step: float, steps: float, mu: float, nesterov: bool) -> float:
        """The stated formula, squared, with the potential that is best for the true one."""
        found = best_potential(a, step, steps, momentum=mu, nesterov=nesterov)
        omega, theta, r = found.constants()
        level = (0.5 + r - omega**2 / (4 * theta)) / a.smoothness
        fresh, past = (1 + mu, mu**2) if nesterov else (1.0, mu)
        trade = found.trade if a.bias or a.relative_bias else 1e-9
        # The floor is the bound at a long horizon.
        times = min(steps, 1e15)
        s = symbolic
        numbers = letters(a, step, times) | {
            descent.mu: mu, s.fresh: fresh, s.past: past, s.coupling: step * omega,
            s.energy: a.smoothness * step**2 * theta, s.steepness: r / a.smoothness,
            s.stiffness: found.stiffness, s.weight: trade, s.level: level,
        }  # fmt: skip
        told, bounds = self._formulas
        with np.errstate(invalid="ignore", over="ignore"):  # the first, where κ > ℓ
            for letter in told:
                numbers[letter.left] = evaluate(letter.right, numbers)
            short, whole = evaluate(bounds, numbers)
        return float(short if numbers[s.kappa] <= level else whole)


def statement(subject: Subject) -> Statement:
    words = (
        "With momentum {mu}, {psi} = 1 and {chi} = μ for a heavy ball, {psi} = 1 + μ and {chi} = μ² after Nesterov, "
        "for all {omega}, {theta} > 0, {r} ≥ 0, {delta} > 0 and λ > 0 with δ + 4Λr ≥ 1, φ > 0 and "
        "0 < ℓ ≤ 1/(2Λ) + r - ω²/(4θ): {short} if "
        "{kappa} ≤ ℓ, {kappa} ≠ 0, and {whole} if {kappa} > 0, where {coefficient}, {drive}, {cost}, {kappa_is}, "
        "{xi_is}, {epsilon_is}, {nu_is}, {tau_is} and {phi_is}.\n"
        "For a heavy ball without noise, with {h} = Λη ≤ 1 - μ and a bias of mean square at most Z² at every step: "
        "{turning} where 4μ > (1+μ-h)², and a run attains its floor at every T if h(1+μ) ≥ (1-μ)²; and {slow} where "
        "h(1+μ) ≤ (1-μ)², and a run at rest attains its floor. Here Δ may also be what the potential is at first, with "
        "a velocity"
    )
    s = symbolic
    short, whole = s.momentum_targets(subject.coefficient, subject.drive)
    names: dict[str, Any] = {
        "mu": descent.mu,
        "psi": s.fresh,
        "chi": s.past,
        "omega": s.coupling,
        "theta": s.energy,
    }
    names |= {"h": h, "turning": momentum_floor.floor_target(subject.floor).relation()}
    names |= {"slow": momentum_floor.SLOW.relation()}
    names |= {"r": s.steepness, "delta": s.stiffness, "kappa": s.kappa}
    names |= {"short": short.relation(), "whole": whole.relation()}
    told = {f"{name}_is": d.relation() for name, d in s.definitions(subject.price).items()}
    short_names = {
        "coefficient": named("c", subject.coefficient), "drive": named("d", subject.drive), "cost": named("k", s.COST),
    }  # fmt: skip
    return Statement(words, names | told, short_names)


def _step(theta: float, mu: float, nesterov: bool) -> float:
    """η at which Λη(1+2c/(1-μ))/(1-μ) = ϑ, c = μ or μ² after Nesterov, at Λ = 1."""
    return theta / lagging(mu, nesterov)[2]


def _compared(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    lam, delta, variance, square = 10 ** rng.uniform(-2, 2, 4)
    a = Assumptions(
        smoothness=lam, gap=delta, noise=variance * rng.integers(0, 2), bias=square, relative_bias=0.1 * rng.random()
    )
    # Whole numbers of steps: between them, neither is a bound of anything, and κ < 0 makes them differ.
    mu, nesterov, steps = rng.uniform(0.05, 0.95), bool(rng.integers(0, 2)), round(10 ** rng.uniform(0, 5))
    step = _step(rng.uniform(0.02, 1.4), mu, nesterov) / lam
    function = float(momentum_bound(a, step, steps, momentum=mu, nesterov=nesterov))
    return [(function, subject.from_formula(a, step, steps, mu, nesterov))]


def _worst(theta: float, mu: float, nesterov: bool, steps: int, zeta: float, variance: float) -> WorstCase:
    a = Assumptions(smoothness=1.0, gap=1.0, noise=variance, bias=zeta**2)
    return worst_case(a, _step(theta, mu, nesterov), steps, momentum=mu, nesterov=nesterov)


LOOSEST = 1.15
"""How far above the exact worst case the bound may be, in the runs below: in those of the quick profile it is 1.09."""

THETAS = (0.15, 0.3, 0.6, 1.0, 1.6)


@check("numeric", cost=3.0)
def exact(subject: Subject, context: Context) -> Found:
    """Do the exact worst cases, by semidefinite programs, stay below the bound and near it?"""
    runs = context.pick(quick=((2, 0.0), (6, 0.0), (3, 0.5)), full=((2, 0.0), (6, 0.0), (12, 0.0), (3, 0.5), (4, 0.5)))
    thetas = context.pick(quick=THETAS[::2], full=THETAS)
    for mu, nesterov in context.each(product((0.3, 0.9), (False, True))):
        ratios = []
        for theta, (steps, variance), zeta in product(thetas, runs, (0.0, 0.5)):
            found = context.shared(_worst, theta, mu, nesterov, steps, zeta, variance)
            allowed = subject.squared(found.assumptions, found.step, steps, mu, nesterov)
            ratios.append(found.value / allowed)
            if (theta, steps, zeta) == (0.6, 6, 0.5):
                yield context.shared(worst_case_record, found)
                yield at_most(f"proved worst case, {METHODS[nesterov]}, μ = {mu:g}", found.certificate.bound, allowed)
        setting = f"{METHODS[nesterov]}, μ = {mu:g}"
        # The solver's accuracy.
        yield at_most(f"exact worst case over the bound, {setting}", max(ratios), 1 + 1e-7, samples=len(ratios))
        yield at_most(f"bound over the exact worst case, {setting}", 1 / min(ratios), LOOSEST, samples=len(ratios))
    yield _panel(subject, context)


def _panel(subject: Subject, context: Context) -> Panel:
    """The bound over the exact worst case, against the step size."""
    thetas = np.geomspace(0.05, 2.0, 9)
    x = tuple(float(t) for t in thetas)
    curves: list[Curve] = []
    steps, zeta = 6, 0.3
    for group, (mu, nesterov) in enumerate(((0.5, False), (0.9, False), (0.9, True))):
        values = [context.shared(_worst, float(t), mu, nesterov, steps, zeta, 0.0).value for t in thetas]
        a = Assumptions(smoothness=1.0, gap=1.0, noise=0.0, bias=zeta**2)
        stated = [subject.squared(a, _step(float(t), mu, nesterov), steps, mu, nesterov) for t in thetas]
        ratio = tuple(s / v for s, v in zip(stated, values, strict=True))
        name = f"{METHODS[nesterov]}, $\\mu$ = {mu:g}"
        curves.append(curve(name, x, ratio, "statement", style="both", group=group))
    curves.append(curve("exact worst case", x, np.ones(len(x)), style="both"))
    return panel(
        f"$T$ = {steps}, $\\zeta^2$ = {zeta**2:g} $\\Lambda\\Delta$", "step size $\\vartheta$",
        "bound over exact worst case",
        *curves,
    )  # fmt: skip


REACHED = 0.9
"""What part of the bound the quadratics must reach: the transient term and the lag cost a few hundredths."""

SETTLED = [("heavy ball, bias", 0.9, False, 0.0, 0.25), ("Nesterov, noise", 0.9, True, 1.0, 0.0)]


@check("monte-carlo", tests=4, cost=3.0)
def simulation(subject: Subject, context: Context) -> Found:
    """Do runs with noise obey the bound, and does a quadratic almost reach its floor?"""
    budget = context.pick(quick=1_024, full=4_096)
    steps = context.pick(quick=4_000, full=40_000)
    problem = problems.get(
        "quadratic_cosine", amplitude=0.4, frequency=1.5, noise=0.02, bias=0.04, noise_model="rademacher"
    )  # fmt: skip
    for mu, nesterov in ((0.9, False), (0.9, True)):
        step = _step(0.5, mu, nesterov) / problem.smoothness
        name = f"quadratic plus cosine, {METHODS[nesterov]}, μ = {mu:g}, T = {steps}"
        how = {"momentum": mu, "nesterov": nesterov, "step": step, "steps": steps, "record": 24}
        replicas = Replicas(context, name, problem, **how)
        run = replicas.first
        bound = partial(subject.squared, mu=mu, nesterov=nesterov)
        yield replicas.judged(bound(run.assumptions, step, steps), budget=budget)
        if not nesterov:
            yield descent_panel(f"nonconvex problem, heavy ball, $\\mu$ = {mu:g}", run, bound)
        context.progress(0.25 * (1 + nesterov))
    long = context.pick(quick=20_000, full=100_000)
    for label, mu, nesterov, variance, square in SETTLED:
        # So small a step that the lag costs little; started at the floor.
        step = _step(0.1, mu, nesterov)
        start = float(np.sqrt(square + step / (1 - mu) * variance / 2))
        # In eight dimensions averages of a run scatter half as much as in two.
        problem = problems.get(
            "quadratic", dim=8, radius=start, noise=variance, bias=square, noise_model="rademacher"
        )  # fmt: skip
        name = f"quadratic, {label}, T = {long}"
        how = {"momentum": mu, "nesterov": nesterov, "step": step, "steps": long, "record": 1}
        replicas = Replicas(context, name, problem, **how)
        allowed = subject.squared(replicas.first.assumptions, step, long, mu, nesterov)
        yield replicas.judged(allowed, budget=budget, least=REACHED * allowed)


def _turning(theta: float, mu: float, steps: int) -> tuple[Assumptions, float, float]:
    """A heavy ball in the plane on ‖x‖²/2 with ζ = 1, whose bias turns the iterate at the worst frequency."""
    step, problem = _step(theta, mu, False), problems.get("quadratic", bias=1.0, radius=1.0)
    way = np.arccos(1 - (1 - mu) ** 2 * (theta - 1) / (4 * mu))
    # For x_t = r exp(iωt): x_{t+1} - (1+μ)x_t + μx_{t-1} = -η(x_t + b_t).
    needed = -(np.exp(1j * way) - (1 + mu) + mu * np.exp(-1j * way)) / step - 1
    c, s = needed.real / abs(needed), needed.imag / abs(needed)
    turn = np.array([[c, s], [-s, c]])

    def bias_at(x: NDArray[np.float64], gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        return gradient @ turn / np.linalg.norm(gradient, axis=-1, keepdims=True)

    problem.bias_at = bias_at  # type: ignore[attr-defined]
    run = simulate(problem, step=step, steps=steps, replicas=1, seed=0, momentum=mu, record=1)
    return run.assumptions, step, float(run.mean_squared_gradient[-1, 0])


class Round(SyntheticProblem):
    """``‖x - Q‖² - ‖x‖²/2``, ‖x - Q‖ the distance to a regular polygon, and the worst walk round it, at Λ = ζ = 1.

    Points of the plane are complex numbers. With z an n-th root of one, ``x_t = rz^t`` has the gradient γx_t, since the
    nearest point of Q is its corner ``(1-γ)x_t/2``: this is so where ``|arg (1+γ)/(1-γ)| ≤ π/n``. The first step needs
    a greater bias, which gives the velocity; from then on ‖b_t‖ = 1.

    Parameters
    ----------
    step, mu, nesterov
        The method; n and γ are the best for it.
    within : float
        What part of the angle π/n is used: below one, the walk is stable.
    """

    def __init__(self, step: float, mu: float, nesterov: bool, within: float = 0.999) -> None:
        corners, sizes = np.arange(2, 100)[:, None], np.geomspace(1, 1e4, 2_000)
        roots, w = np.exp(2j * np.pi / corners), sizes * np.exp(-1j * within * np.pi / corners)
        # What ∇f + b has to be, over x.
        needed = -(roots - 1) * (roots - mu) / (step * ((1 + mu) * roots - mu if nesterov else roots))
        gammas = (w - 1) / (w + 1)
        bias = np.abs(needed - gammas) / np.abs(gammas)
        row, column = np.unravel_index(np.argmin(bias), bias.shape)
        self.corners, self.turn, gamma = int(corners[row, 0]), complex(roots[row, 0]), complex(gammas[row, column])
        self.floor = float(bias[row, column]) ** -2
        radius, pull = np.sqrt(self.floor) / abs(gamma), complex(needed[row, 0])
        self.corner = (1 - gamma) / 2 * radius
        self.first = (pull - gamma) * radius
        velocity = pull * radius / (self.turn - mu)
        start = radius + step * (1 + mu if nesterov else 1.0) * velocity
        super().__init__(
            dim=2, smoothness=1.0, minimum=-(abs(self.corner) ** 2), start=np.array([start.real, start.imag]), bias=1.0
        )
        self.push = velocity - complex(*self.gradient(self.start))
        self.now = self.push

    def at(self, t: int) -> Round:
        """With the bias of step t."""
        self.now = self.first * self.turn ** (t - 1) if t else self.push
        return self

    def nearest(self, x: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """The nearest point of Q: on the edge that x sees, or x itself."""
        half, start = np.pi / self.corners, np.angle(self.corner)
        edge = np.exp(1j * (start + half * (2 * np.round((np.angle(x) - start - half) / (2 * half)) + 1)))
        corner, y = abs(self.corner) * np.exp(1j * half), x / edge
        return edge * (np.minimum(y.real, corner.real) + 1j * np.clip(y.imag, -corner.imag, corner.imag))

    def value(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """``‖x - Q‖² - ‖x‖²/2``."""
        point = x[..., 0] + 1j * x[..., 1]
        return np.abs(point - self.nearest(point)) ** 2 - np.abs(point) ** 2 / 2

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """x less twice the nearest point of Q."""
        point = x[..., 0] + 1j * x[..., 1]
        slope = point - 2 * self.nearest(point)
        return np.stack([slope.real, slope.imag], axis=-1)

    def bias_at(self, x: NDArray[np.float64], gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """What this step needs, wherever x is."""
        return np.broadcast_to([self.now.real, self.now.imag], x.shape)


def going_round(step: float, mu: float, nesterov: bool, steps: int) -> float:
    """The mean of ‖∇f‖² on the worst walk round a polygon, at Λ = ζ = 1, simulated."""
    problem = Round(step, mu, nesterov)
    how: dict[str, Any] = {"momentum": mu, "nesterov": nesterov, "oracle": problem.at, "record": 1}
    run = simulate(problem, step=step, steps=steps, replicas=1, seed=0, **how)
    return float(run.mean_squared_gradient[-1, 0])


@check("numeric", cost=3.0)
def tightness(subject: Subject, context: Context) -> Found:
    """Is the bound near what potentials prove step by step, and its floor attained, or nearly so for long steps?"""
    for mu, nesterov in context.each(((0.5, False), (0.9, False), (0.9, True))):
        steps = 100
        a = Assumptions(smoothness=1.0, gap=1.0, noise=0.3, bias=0.09)
        step = _step(0.6, mu, nesterov)
        proved = context.shared(_proved, a, step, steps, mu, nesterov)
        stated = subject.squared(a, step, steps, mu, nesterov)
        setting = f"{METHODS[nesterov]}, μ = {mu:g}, ϑ = 0.6, T = {steps}"
        yield at_least(f"bound over what potentials prove, {setting}", stated / proved, 1.0)
        yield at_most(f"and it is within a tenth, {setting}", stated / proved, 1.1)
    steps = context.pick(quick=5_000, full=200_000)
    for mu, theta in ((0.5, 1.6), (0.9, 1.6), (0.9, 3.0)):
        a, step, attained = context.shared(_turning, theta, mu, steps)
        reached = attained / subject.squared(a, step, steps, mu, False)
        setting = f"heavy ball, μ = {mu:g}, ϑ = {theta:g}, T = {steps}"
        yield at_most(f"a bias that turns, over the bound, {setting}", reached, 1.0)
        yield at_least(f"and it is reached, {setting}", reached, 0.99)
        yield at_least(
            f"a bias that turns, over the stated floor, {setting}", attained / subject.settled(step, mu), 0.99
        )
    yield from _floors(subject, context)


BEYOND = {**dict.fromkeys(product((False, True), (0.1, 0.5, 0.9), (1.2, 1.5, 2.0)), 1.01), (False, 0.15, 1.76): 1.05}
"""Method, μ and Λη over 1-μ, where no floor is known exactly, and how far the bound's may be above that of a walk round
a polygon: at the last it is farthest."""


def _floors(subject: Subject, context: Context) -> Found:
    """The bound for T → ∞ against the stated floor, and beyond it against walks round polygons."""
    a = Assumptions(smoothness=1.0, gap=1.0, noise=0.0, bias=1.0)
    for mu, share in product((0.3, 0.9), (0.1, 0.5, 0.8, 1.0)):
        step = share * (1 - mu)
        found = context.shared(momentum_bound, a, step, np.inf, momentum=mu)
        ratio = found.total / subject.settled(step, mu)
        setting = f"heavy ball, μ = {mu:g}, Λη = {share:g}(1-μ)"
        yield at_most(f"floor of the bound over the stated one, {setting}", ratio, 1 + SEARCHED)
        yield at_least(f"and not below it, {setting}", ratio, 1 - SEARCHED)
    steps = context.pick(quick=500, full=20_000)
    for (nesterov, mu, share), most in BEYOND.items():
        step = share * (1 - mu)
        reached = context.shared(going_round, step, mu, nesterov, steps)
        ratio = subject.squared(a, step, np.inf, mu, nesterov) / reached
        setting = f"{METHODS[nesterov]}, μ = {mu:g}, Λη = {share:g}(1-μ)"
        yield at_least(f"floor of the bound over a walk round a polygon, {setting}", ratio, 1.0)
        yield at_most(f"and near it, {setting}", ratio, most)


SEARCHED = 1e-6
"""How near the search comes to the best potential."""


def _proved(a: Assumptions, step: float, steps: int, mu: float, nesterov: bool) -> float:
    return float(stepwise_bound(a, step, steps, momentum=mu, nesterov=nesterov))


_SETTLED = [told for told in momentum_floor.ASSUMPTIONS if told not in symbolic.ASSUMPTIONS]


def _derived(subject: Subject) -> Proof:
    bound = symbolic.momentum_bound(subject.coefficient, subject.drive, price=subject.price)
    return Proof((*bound.theorems, *momentum_floor.momentum_floor(subject.floor).theorems))


_PLAIN_NOISE = symbolic.DRIVE + (smoothness * eta**2 / 2 - symbolic.PRICE) * sigma**2

CLAIM = Claim(
    id="C11",
    title="Momentum",
    message="With momentum, too, bias and noise set a floor",
    meaning=(
        "A quantity that joins the loss, its gradient and the velocity falls at every step, up to what bias and noise "
        "add: this bounds the mean squared gradient of heavy ball and Nesterov's momentum, as PyTorch implements them, "
        "and in the runs compared the bound is at most 15% above the exact worst case. For a heavy ball without noise "
        "and with steps up to (1-μ)/Λ the floor is exact: ζ² for small steps and more for longer ones, where iterates "
        "that turn attain it; beyond, up to 2(1-μ)/Λ where tried, iterates that go round a polygon come within 5%."
    ),
    matters="Networks are trained with momentum, so that a theory of plain SGD alone would say little about them.",
    direction="upper bound",
    subject=Subject(product=True),
    statement=statement,
    assumptions=(
        *symbolic.ASSUMPTIONS,
        f"or, with Nesterov's momentum, {' and '.join(symbolic.NESTEROV)} in place of the heavy ball's",
        f"for the floors of a heavy ball: {'; '.join(_SETTLED)}",
        "the velocity is that of PyTorch without dampening",
    ),
    source=Source("this toolkit; smooth functions between two points as in Taylor et al. 2017", "1502.05666", own=True),
    checks=(
        kernel_check(_derived, cost=8.0),
        implementation_check(_compared, quick=24, full=1_000, allowed=1e-7, cost=2.0),
        exact, tightness, simulation,
    ),
    controls=(
        Control("half-bias", "half the bias", Subject(drive=symbolic.DRIVE.subs(Z, Z / 2))),
        Control("half-transient", "half the weight of the gap", Subject(symbolic.COEFFICIENT / 2), drawn=True),
        Control(
            "next-gradient", "what the next gradient may do forgotten in ν",
            Subject(price=symbolic.energy + smoothness * (eta * symbolic.fresh) ** 2 / 4),
        ),
        Control("plain-noise", "the noise term of plain SGD", Subject(drive=_PLAIN_NOISE)),
        Control("plain-floor", "ζ² as the floor at every step", Subject(product=True, floor=Z**2)),
    ),
    caption=(
        "Left: the bound over the exact worst case of six steps, against the step size; at μ = 0.9 heavy ball and "
        "Nesterov nearly coincide. Right: on a nonconvex problem with noise the measured average falls to a plateau at "
        "the squared bias, below the bound."
    ),
    in_code="convergence.momentum_bound",
)  # fmt: skip
