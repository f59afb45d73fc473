"""X3: the longest step that keeps students together, and what a longer one does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Integer

from convergence import MutualLearning, simulate
from rdml_theory.symbolic import notation
from rdml_theory.symbolic.mutual import stability as symbolic
from rdml_theory.symbolic.mutual.gain import students
from rdml_theory.symbolic.mutual.plateau import beta
from verify.checks import Role, Worst, at_least, at_most, curve, function_of, kernel_check, panel
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

Array = NDArray[np.float64]

SAMPLES, FEATURES = 60, 2
STUDENTS = 3

PAIRS = ((1.0, 2.0), (2.0, 1.0), (4.0, 2.0), (0.5, 4.0), (2.0, 0.5))
"""(α, β) of the trained students; the quick profile takes the first two."""

SHARES = (0.4, 0.8, 1.5)
"""Steps over the limit that are judged."""

GRID = (0.2, 0.4, 0.8, 1.0, 1.2, 1.5, 1.6, 2.0)
"""Those of the figure; at αβ = 2 the longest but one is what the limit of a student alone takes for its 0.4."""

METHODS = ((0.0, False, 1.0), (0.9, False, 1.9), (0.9, True, 1.9 / 2.8))
"""Momentum μ, whether it is Nesterov's, and what it makes of the limit: 1 + μ, or (1 + μ)/(1 + 2μ)."""

SMALL = 1e-5
"""How far from where all agree students are set, over the size of what they have learnt."""

ROUNDING = 1e-8


@dataclass(frozen=True)
class Subject:
    """The greatest h = ηλ at which differences between students do not grow."""

    limit: Expr

    def at(self, alpha: float, weight: float, count: int) -> float:
        """It for K students."""
        return float(function_of(self.limit, notation.alpha, beta, students)(alpha, weight, float(count)))


def statement(subject: Subject) -> Statement:
    words = (
        "Near where {K} ≥ 2 students agree, along a direction of curvature λ, a step η with {h} = ηλ gives {moved}, m "
        "the mean of all students, and multiplies that mean by 1 - {h}. So differences between students grow if {h} is "
        "beyond {limit}, while a student alone is stable up to 2.\n"
        "With momentum μ both limits are 1 + μ times as high, with Nesterov's (1 + μ)/(1 + 2μ) times. With a heavy "
        "ball, {bounded} up to {s} = 2(1 + μ), and {growing} beyond it, for an {r} > 1. Here x_t is one student, which "
        "starts at rest, and {s} = {h}; or x_t is the difference of one from the mean of all, and {s} is twice {h} "
        "over the limit. With Nesterov's momentum it is alike, as `rdml prove` prints it"
    )
    moved = symbolic.step_target(subject.limit).relation()
    bounded, growing = (told.relation() for told in (symbolic.bounded_target(), symbolic.growing_target()))
    names = {"K": students, "h": symbolic.h, "s": symbolic.stiffness, "r": symbolic.rate}
    formulas = {"moved": moved, "limit": subject.limit, "bounded": bounded, "growing": growing}
    return Statement(words, formulas | names)


def _samples(rng: np.random.Generator, classes: int) -> tuple[Array, NDArray[np.int64]]:
    """Inputs, and labels drawn from a softmax model, so that no model separates them."""
    inputs = rng.standard_normal((SAMPLES, FEATURES))
    scores = inputs @ rng.standard_normal((FEATURES, classes)) + rng.gumbel(size=(SAMPLES, classes))
    labels = scores.argmax(axis=1)
    labels[:classes] = np.arange(classes)
    return inputs, labels


def _minimiser(inputs: Array, labels: NDArray[np.int64]) -> tuple[Array, Array]:
    """Where one student's loss is least, by Newton's method, and the Hessian there."""
    game = MutualLearning([inputs], labels)
    x = np.zeros(game.dim)
    for _ in range(40):
        hessian = game.jacobian(x)
        x = x - np.linalg.pinv(hessian, rcond=1e-9) @ game.gradient(x)
    return x, game.jacobian(x)


def _spectra(rng: np.random.Generator, count: int) -> list[tuple[float, float, int, Array, Array]]:
    """Cohorts that agree, anywhere: α, β, K, the eigenvalues of a student's Hessian and those of the whole game."""
    out = []
    for _ in range(count):
        number, classes = int(rng.integers(2, 6)), int(rng.integers(2, 5))
        alpha, weight = 10 ** rng.uniform(-1, 1, 2)
        inputs, labels = _samples(rng, classes)
        x = rng.standard_normal((FEATURES + 1) * classes)
        alone = MutualLearning([inputs], labels).jacobian(x)
        game = MutualLearning([inputs] * number, labels, alpha=alpha, beta=weight)
        whole = np.linalg.eigvals(game.jacobian(np.tile(x, number))).real
        out.append((float(alpha), float(weight), number, np.linalg.eigvalsh(alone), np.sort(whole)))
    return out


@check("numeric")
def spectrum(subject: Subject, context: Context) -> Found:
    """Has the game's Jacobian these eigenvalues wherever students agree?"""
    worst, count = Worst(), context.pick(quick=8, full=300)
    for alpha, weight, number, alone, whole in context.shared(_spectra, context.rng("spectra"), count):
        times = 2 / subject.at(alpha, weight, number)
        stated = np.sort(np.concatenate([alone, *[times * alone] * (number - 1)]))
        worst.see("eigenvalue, over the greatest", float(np.abs(whole - stated).max() / whole[-1]), ROUNDING)
    yield from worst.comparisons()


def _start(seed: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64], Array, float, Array]:
    """Samples, the minimiser, the greatest curvature there and its direction."""
    inputs, labels = _samples(np.random.default_rng(seed), 3)
    x, hessian = _minimiser(inputs, labels)
    values, vectors = np.linalg.eigh(hessian)
    return inputs, labels, x, float(values[-1]), vectors[:, -1]


def _apart(game: MutualLearning, x: Array) -> float:
    """The greatest distance of a student from the mean of all."""
    each = x.reshape(game.students, -1)
    return float(np.linalg.norm(each - each.mean(axis=0), axis=1).max())


@check("numeric", cost=1.0)
def steps(subject: Subject, context: Context) -> Found:
    """Do differences grow beyond the limit alone, with momentum too?"""
    inputs, labels, x, top, way = context.shared(_start, context.rng("start").integers(0, 2**32, 4))
    worst = Worst()
    for alpha, weight in context.pick(quick=PAIRS[:2], full=PAIRS):
        game = MutualLearning([inputs] * STUDENTS, labels, alpha=alpha, beta=weight)
        limit = subject.at(alpha, weight, STUDENTS)
        off = np.outer(np.arange(STUDENTS) - (STUDENTS - 1) / 2, way) * SMALL * np.linalg.norm(x)
        begun = np.tile(x, STUDENTS) + off.ravel()

        def after(
            h: float, count: int, game: MutualLearning = game, begun: Array = begun, **how: bool | float
        ) -> float:
            run = simulate(game, step=h / top, steps=count, replicas=1, seed=0, record=1, start=begun, **how)  # type: ignore[arg-type]
            return _apart(game, run.final[0]) / _apart(game, begun)

        for h in (0.3, 1.0):
            worst.see("factor of the differences in a step", abs(after(h, 1) - abs(1 - 2 * h / limit)), 1e-3)
        for mu, nesterov, times in METHODS:
            name = f"α = {alpha:g}, β = {weight:g}, μ = {mu:g}{', Nesterov' * nesterov}"
            short, long = (after(share * times * limit, 80, momentum=mu, nesterov=nesterov) for share in (0.9, 1.1))
            yield at_most(f"differences after 80 steps over before, 0.9 of the limit, {name}", short, 0.1)
            yield at_least(f"the same at 1.1 of the limit, {name}", long, 10.0)
    yield from worst.comparisons()


def _ends(seed: NDArray[np.int64], alpha: float, weight: float, sizes: tuple[float, ...], count: int) -> list[float]:
    """The mean divergence of students with a third of the samples each, after training with steps h."""
    inputs, labels, x, top, _ = _start(seed)
    own = np.zeros((STUDENTS, SAMPLES))
    for k in range(STUDENTS):
        own[k, k::STUDENTS] = STUDENTS
    game, out = MutualLearning([inputs] * STUDENTS, labels, alpha=alpha, beta=weight, weights=own), []
    for h in sizes:
        run = simulate(game, step=h / top, steps=count, replicas=1, seed=0, record=1, start=np.tile(x, STUDENTS))
        out.append(float(game.mutual_losses(run.final[0]).mean()))
    return out


@check("training", cost=3.0)
def trained(subject: Subject, context: Context) -> Found:
    """Do students with data of their own come apart at the limit?"""
    curves = []
    limits: list[tuple[float, tuple[float, float, float] | None]] = []
    seed, count = context.rng("start").integers(0, 2**32, 4), context.pick(quick=60, full=2_000)
    roles: tuple[Role, ...] = ("measured", "second")
    for number, (alpha, weight) in enumerate(context.pick(quick=PAIRS[:2], full=PAIRS)):
        limit = subject.at(alpha, weight, STUDENTS)
        sizes = tuple(limit * share for share in GRID)
        found = context.shared(_ends, seed, alpha, weight, sizes, count)
        level, short, long = (found[GRID.index(share)] for share in SHARES)
        name = f"α = {alpha:g}, β = {weight:g}: mean divergence over that at 0.4 of the limit"
        yield at_most(f"{name}, at 0.8", short / level, 1.1)
        yield at_least(f"{name}, at 1.5", long / level, 2.0)
        label = f"$\\alpha$ = {alpha:g}, $\\beta$ = {weight:g}"
        curves.append(curve(label, sizes, found, roles[number % 2], style="both", group=number // 2))
        # Below its limit a step must hardly matter.
        where = (sizes[1], found[1], found[0]) if found[1] > 2 * found[0] else None
        limits.append((limit, where))
    ends = (min(min(c.y) for c in curves), max(max(c.y) for c in curves))
    for limit, where in limits:
        curves.append(curve("the limit", (limit, limit), ends, "statement", group=0, contradicted=where))
    yield panel(
        f"students with data of their own, $K$ = {STUDENTS}", "step $h = \\Lambda\\eta$",
        "mean divergence from the peers (nats)", *curves,
    )  # fmt: skip


CLAIM = Claim(
    id="X3",
    title="Step limit of disagreement",
    message="Together, students bear only shorter steps: the larger αβ, the shorter",
    meaning=(
        "The pull between students adds to the curvature that their differences see, and leaves that of their mean as "
        "it is. A step that each student bears alone can be too long for several: they swing past one another, further "
        "each time, until the bounded pull or dead units end it."
    ),
    matters=(
        "It says by how much to lower the learning rate when the order or the weight is raised, and why students are "
        "lost early at a large product."
    ),
    direction="equality",
    subject=Subject(symbolic.LIMIT),
    statement=statement,
    assumptions=(
        *symbolic.ASSUMPTIONS,
        "to first order near agreement, where the Hessian of D_α is α Cov_q and the mixed one -α Cov_q (D3); "
        "cross-entropy of a model linear in its parameters, all students with the same inputs: the base Hessian is "
        "E Jᵀ Cov_q J too. Elsewhere that of the base loss and E Jᵀ Cov_q J differ, and with them the limit",
        "full gradients, all students at once",
        f"with momentum: {'; '.join(symbolic.MOMENTUM_ASSUMPTIONS)}",
    ),
    source=Source(
        "this toolkit; that coupling shortens the stable step of descent is known: Yuan, Ling & Yin 2016",
        "1310.7063",
        own=True,
    ),
    checks=(kernel_check(lambda subject: symbolic.step_limit(subject.limit)), spectrum, steps, trained),
    controls=(
        Control("alone", "the limit of a student alone", Subject(Integer(2)), drawn=True),
        Control("weight", "the weight alone counts", Subject(symbolic.LIMIT.subs(notation.alpha, 1))),
        Control("all", "the mean of all in place of that of the peers", Subject(2 / (1 + notation.alpha * beta))),
    ),
    caption=(
        "How far three students, each with a third of the samples, are from one another after training: up to the "
        "limit the step makes no difference, and beyond it longer steps drive them further apart."
    ),
    in_code="convergence.recipe",
)
