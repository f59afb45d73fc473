"""N1: the bias budget of real networks: the update that mutual learning makes, and the sharp bound of what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Expr, Integer, simplify

from convergence import mutual_bias_bound
from rdml_theory.symbolic.notation import Named
from rdml_theory.symbolic.sgd import bounds as sgd
from rdml_theory.symbolic.sgd import descent
from verify.checks.comparisons import Worst, at_least, at_most, cut_mean
from verify.checks.formulas import function_of
from verify.checks.networks import SAMPLES, SETTING, Array, Setting, Snapshot, flat
from verify.checks.panels import curve, panel
from verify.checks.proofs import kernel_check
from verify.checks.updates import FALSE, TRUE, Update, applied_update
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check
from verify.names import named

if TYPE_CHECKING:
    from verify.checks.training import TrainingPath

STEP = 0.1

ROUNDING = 1e-9
"""Relative, in double precision: of ‖n‖ over the greatest ‖b‖ where there is no noise, and of a bound."""

BATCH, SETTLED = 301, 200
"""More than half of the samples, so that an epoch has one batch and each is drawn independently of all others; and
the steps before such a path."""

DRIFT = 0.05
"""How near zero the mean of what the noise adds must be, over ‖∇L‖²; its standard error is a tenth of that."""

GIVEN = 0.4
"""h at which what the noise adds is judged, near the greatest of the path; it holds for any."""

ENDS = (-0.5, 0.5)
"""Where what the noise adds in a step is cut, over ‖∇L‖²: five standard deviations."""

LIGHT, FAST = 0.05, 0.5
"""Weight and step with which a path is held against the composed theorem: at a weight of one its bound is vacuous here,
as the pulls of different inputs cancel (N4)."""

PLACES = np.linspace(0.0, 1.0, 5)
"""Of a segment between two iterates, where its curvature is measured."""

WEIGHT, SHARE = 0.5, 0.2
"""β of students who come to rest, and the share of the first class among their labels."""


@dataclass(frozen=True)
class Subject:
    """The bound of A, and the law of the update."""

    bound: Expr
    update: Update = TRUE


def statement(subject: Subject) -> Statement:
    law = subject.update
    return Statement(
        ("All students move at once" if law.at_once else "The students move one after the other")
        + " by -η(∇L_k + b_k + n_k), where {b}, q_k = softmax(z_k/{warmth}) and w_jk is the escort of order {order} "
        "of q_j and q_k, " + law.words + ".\n"
        "Along the path of a network, with Λ_t ≤ Λ the mean curvature of L_k along a step and {h} = Λη below 2, "
        "{bound}. Here {A}² and {Z}² are the means of ‖∇L‖² and ‖b‖² at the weights of each step, and {sigma}² is the "
        "variance of a mini-batch there. Δ/(ηT) is the mean fall of the loss in a step, over η, without what the noise "
        "adds to it, whose mean is zero.\n"
        "The same holds with ζ from α, β, G and ρ in place of {Z}, as in X1, and students at rest reach it",
        {
            "b": named(Named("b_k", "b_{k}"), law.bias), "warmth": law.temperature, "order": law.alpha, "h": descent.h,
            "bound": sgd.sharp_target(subject.bound).relation(), "A": descent.AVERAGE, "Z": descent.Z,
            "sigma": descent.sigma,
        },
    )  # fmt: skip


@cache
def _counted(right_side: Expr) -> Callable[..., Any]:
    """(h, σ²) → what noise of this variance counts as in Δ/(ηT), by a bound: (h/2)σ²."""
    slopes: list[Any] = [right_side.diff(symbol) for symbol in (descent.sigma, descent.gap)]
    if slopes[1] == 0:
        return lambda h, square: np.full_like(square, np.nan)
    part = simplify(slopes[0] * descent.sigma / (2 * descent.eta * descent.horizon * slopes[1]))
    counted = function_of(part, descent.h, descent.sigma)
    return lambda h, square: np.broadcast_to(counted(h, np.sqrt(square)), np.shape(square))


def _allowed(right_side: Expr, h: float, excess: float, noise: float, bias: float) -> float:
    """The bound of A², from ``excess`` = Δ/(ηT) and the mean squares of noise and bias."""
    s = descent
    bound = function_of(right_side, s.h, s.eta, s.gap, s.sigma, s.Z, s.horizon)
    with np.errstate(invalid="ignore"):
        value = float(bound(float(h), 1.0, excess, noise**0.5, bias**0.5, 1.0))
    # A negative radicand states that no such path exists: nothing is allowed.
    return value**2 if np.isfinite(value) and value > 0 else 0.0


def _gap(path: TrainingPath, first: int, last: int) -> Array:
    """Δ/(ηT) over the steps from ``first`` to ``last``, by the student."""
    out: Array = (path.loss[first] - path.after[last - 1]) / (path.step * (last - first))
    return out


def _full(alpha: float, steps: int, context: Context) -> TrainingPath:
    from verify.checks.training import follow

    setting = Setting(alpha)
    start = setting.start(context.seed_for(alpha))
    return follow(setting, start, step=STEP, steps=steps, precision="float64", progress=context.progress)


@check("training", cost=6.0)
def full_gradient(subject: Subject, context: Context) -> Found:
    """Are the trainer's steps -η(∇L + b), and does A² obey the bound?

    Nothing in the bound is taken from the update: the noise is zero and the bias that of the weights at each step.
    """
    steps = context.pick(quick=120, full=4000)
    for alpha in (0.5, 2.0):
        path = context.shared(_full, alpha, steps, context)
        for first, last in ((0, steps // 40), (0, steps), (steps // 2, steps)):
            h, gap = STEP * path.smoothness[first:last].max(0), _gap(path, first, last)
            for k in range(2):
                where = f"full gradients, α = {alpha:g}, student {k}, steps {first} to {last}"
                square, bias = (float(part[first:last, k].mean()) for part in (path.base, path.bias))
                allowed = _allowed(subject.bound, h[k], float(gap[k]), 0.0, bias)
                yield at_most(f"ηΛ, {where}", float(h[k]), 2.0)
                yield at_most(f"A² against the bound, {where}", square, allowed * (1 + ROUNDING))
        left = np.sqrt(path.noise.max(0) / path.bias.max(0))
        yield from (
            at_most(f"‖n‖ over ‖b‖ without noise, greatest, α = {alpha:g}, student {k}", float(share), ROUNDING)
            for k, share in enumerate(left)
        )
        yield _panel(subject.bound, path, np.zeros_like(path.noise), f"full gradients, $\\alpha$ = {alpha:g}")


def _stated_noise(here: Snapshot, setting: Setting, k: int, batch: int) -> float:
    """σ² of a batch drawn without replacement, from the gradients of the samples."""
    spread = here.sample_variance(k, setting.alpha, setting.beta)
    return spread / batch * (SAMPLES - batch) / (SAMPLES - 1)


def _noisy(steps: int, context: Context) -> tuple[TrainingPath, Array]:
    """A path of mini-batches and, from the weights alone, σ² at each of its steps."""
    from verify.checks.training import follow

    setting, variance = Setting(2.0), []

    def see(before: Snapshot, after: Snapshot) -> None:
        variance.append([_stated_noise(before, setting, k, BATCH) for k in range(2)])

    start = follow(setting, setting.start(context.seed_for("start")), step=STEP, steps=SETTLED, times=()).end
    path = follow(
        setting, start, step=STEP, steps=steps, batch=BATCH, seed=context.seed_for("batches"), see=see,
        progress=context.progress,
    )  # fmt: skip
    return path, np.array(variance)


@check("monte-carlo", id="mini-batch", tests=2, cost=6.0)
def mini_batches(subject: Subject, context: Context) -> Found:
    """Does the noise of mini-batches add what the bound counts for its variance?

    Along one path the steps' exact descent sums to (1-h/2)A² + (1-h) mean <∇L, b> - (h/2)Z² ≤ Δ/(ηT) + mean of
    h<b, n> - (1-h)<∇L, n> + (h/2)‖n‖², for any updates whatever. That its last mean is (h/2)σ² is what can fail.
    """
    steps = context.pick(quick=400, full=4000)
    path, variance = context.shared(_noisy, steps, context)
    h = STEP * path.smoothness.max(0)
    # Each step's part has a mean of zero given those before it, at any h that the path does not choose, over what is
    # known before the step.
    added = GIVEN * path.pull - (1 - GIVEN) * path.drift + GIVEN / 2 * path.noise
    for k in range(2):
        left = (added[:, k] - _counted(subject.bound)(GIVEN, variance[:, k])) / path.base[:, k]
        if np.isfinite(left).all():
            name = f"mean of what noise adds, over ‖∇L‖², student {k}"
            yield cut_mean(name, left, ENDS, DRIFT, context.error_rate, least=-DRIFT)
        else:
            yield at_most(f"what noise counts as, student {k}", float("nan"), DRIFT)
        yield at_most(f"ηΛ, mini-batches of {BATCH}, student {k}", float(h[k]), 2.0)
    yield _panel(subject.bound, path, variance, f"mini-batches of {BATCH}")


@dataclass(frozen=True)
class _Hypotheses:
    """What X1 assumes of a path, measured at each step (T, K) on the weights before and after it.

    ``curvature``: the greatest on the segment, from Hessians; ``jacobian``: G², the mean squared norm; ``spread``: the
    greatest ρ; ``divergence``: the mean D; ``most``: C4's bound of ‖b‖²; ``applied``: ‖b‖² as it was applied.
    """

    path: TrainingPath
    curvature: Array
    jacobian: Array
    spread: Array
    divergence: Array
    most: Array
    applied: Array


def _hypotheses(alpha: float, steps: int, context: Context) -> _Hypotheses:
    from verify.checks.training import follow

    setting = Setting(alpha, beta=LIGHT)
    rows: list[list[list[float]]] = []

    def see(before: Snapshot, after: Snapshot) -> None:
        row = []
        for k in range(2):
            move = flat(after.layers[k]) - flat(before.layers[k])
            ranges = np.ptp(before.logits[1 - k] - before.logits[k], axis=-1)
            square, mean = float(before.jacobian_norms(k).mean()), before.divergence(k, alpha)
            scale = {"beta": LIGHT, "jacobian": square**0.5}
            forms = (
                float(np.mean(mutual_bias_bound(alpha, **scale, log_ratio_range=ranges))),
                float(mutual_bias_bound(alpha, **scale, divergence=mean)),
            )
            applied = -move / FAST - before.base(k)
            bend = float(before.curvatures(k, move, PLACES).max())
            row.append([bend, square, float(ranges.max()), mean, min(forms), float(applied @ applied)])
        rows.append(row)

    path = follow(
        setting, setting.start(context.seed_for(alpha)), step=FAST, steps=steps, precision="float64", see=see,
        progress=context.progress,
    )  # fmt: skip
    return _Hypotheses(path, *np.moveaxis(np.array(rows), 2, 0))


def _composed(right_side: Expr, m: _Hypotheses) -> Array:
    """X1's bound of A² after each step, by the student (T, K), with the greatest of everything so far."""
    h = FAST * np.maximum.accumulate(m.curvature)
    zeta = np.maximum.accumulate(m.most)
    return np.array([
        [_allowed(right_side, h[t, k], float(_gap(m.path, 0, t + 1)[k]), 0.0, float(zeta[t, k])) for k in range(2)]
        for t in range(len(h))
    ])  # fmt: skip


@check("training", cost=5.0)
def composed(subject: Subject, context: Context) -> Found:
    """Do networks meet every hypothesis of X1, and obey its bound at every horizon?

    Λ comes from Hessians on the segments, ζ² = β²G²V from Jacobians and logits: of the update nothing enters but where
    it led. Free to fail are the step, the pull under its bound and with them A²; Λ_t and V ≤ 2τ² are not.
    """
    steps = context.pick(quick=24, full=240)
    for alpha in (0.5, 2.0):
        m = context.shared(_hypotheses, alpha, steps, context)
        counts = np.arange(1, steps + 1)
        bound, square = _composed(subject.bound, m), m.path.base.cumsum(0) / counts[:, None]
        with np.errstate(divide="ignore"):
            ratio = float((square / bound).max())
        yield at_most(f"ηΛ on the segments, greatest, α = {alpha:g}", float(FAST * m.curvature.max()), 2.0)
        yield at_most(f"‖b‖² as applied over β²G²V, greatest, α = {alpha:g}", float((m.applied / m.most).max()), 1.0)
        yield at_most(f"A² over the bound of X1, greatest over T, α = {alpha:g}", ratio, 1.0, samples=2 * steps)
    # The greatest order, first student.
    yield panel(
        f"in X1's terms, full gradients, $\\alpha$ = {alpha:g}", "steps $T$", "mean squared norm",
        curve("measured $A^2$", counts, square[:, 0]), curve("the bound of X1", counts, bound[:, 0], "statement"),
    )  # fmt: skip


def _rested(alpha: float, steps: int) -> list[Array]:
    """Logits of a student while it comes to rest, and last those of its peer, so far that X1 is attained (X2)."""
    from verify.checks.training import free_run

    # At rest the share is 1/2 - (1/2 + β)τ, with the log-odds -αρ/2 of the student and ρ(1 - α/2) of its peer.
    tau = (0.5 - SHARE) / (0.5 + WEIGHT)
    spread = 4 * float(np.arctanh(tau)) / alpha
    peer = spread * (1 - alpha / 2) * np.array([0.5, -0.5])
    labels = np.repeat([0, 1], [round(10 * SHARE), round(10 * (1 - SHARE))])
    return [*free_run([np.zeros(2), peer], labels, alpha=alpha, beta=WEIGHT, step=1.0, steps=steps), peer]


@check("training", cost=5.0)
def attained(subject: Subject, context: Context) -> Found:
    """Do students whom the trainer brings to rest reach it?

    Their logits are free: at rest A² is the bound of X1, which any other update misses.
    """
    steps = context.pick(quick=100, full=2000)
    for alpha in (0.5, 1.0, 2.0, 4.0):
        *path, peer = context.shared(_rested, alpha, steps)
        last = np.array(path[steps // 2 : -1])
        first_class = 1 / (1 + np.exp(last[:, 1] - last[:, 0]))
        square = 2 * float(np.square(first_class - SHARE).mean())
        spread = np.abs((peer - last) @ np.array([1.0, -1.0])).max()
        zeta = 2 * WEIGHT**2 * float(np.tanh(alpha * spread / 4)) ** 2
        # Over these steps nothing is gained any more; the curvature of a cross-entropy of free logits is at most 1/2.
        stated = _allowed(subject.bound, 0.5, 0.0, 0.0, zeta)
        ratio = square / stated if stated else float("inf")
        yield at_most(f"A² over the bound of X1 at rest, α = {alpha:g}", ratio, 1 + ROUNDING)
        yield at_least(f"reached, α = {alpha:g}", ratio, 1 - ROUNDING)


@check("training", cost=5.0)
def update(subject: Subject, context: Context) -> Found:
    """Does the trainer add the stated bias to every student's step?"""
    yield from applied_update(subject.update, context)


@check("training", cost=5.0)
def monitor(subject: Subject, context: Context) -> Found:
    """Does the trainer's own monitor record what is there at every step, and make the bound of it?"""
    from verify.checks.monitored import COUNT, RATE, watched

    seen, worst = context.shared(watched, context.seed_for("start")), Worst()
    for k in range(COUNT):
        recorded, own = seen.recorded(k), seen.computed(subject.update, k)
        for name, values in own.items():
            off = np.abs(recorded[name] - values).max() / (np.abs(values).max() or 1.0)
            worst.see(f"the monitor's {name}, greatest relative error", float(off), ROUNDING)
        h = RATE * own["smoothness"].max()
        excess = (own["decrease"] / RATE + h * own["pull"] - (1 - h) * own["martingale"]).mean()
        allowed = _allowed(subject.bound, h, excess, own["step_noise"].mean(), own["mutual"].mean())
        stated = seen.monitor.budget(k).bound
        off = abs(stated / allowed - 1) if stated is not None and allowed else float("inf")
        worst.see("the monitor's bound, greatest relative error", off, ROUNDING)
        yield at_least(f"what the start and the noise left, over ηT, student {k}", float(excess), 0.0)
    yield from worst.comparisons()


def _panel(right_side: Expr, path: TrainingPath, variance: Array, title: str) -> Panel:
    """The first student's budget from the start to T: what remains of the bound without noise and without bias.

    What the noise happened to add along this path is drawn with the start, so that the bound is above A².
    """
    steps = len(path.base)
    times = np.unique(np.geomspace(10, steps, 40).astype(int))
    unbiased: Any = right_side.xreplace({descent.Z: Integer(0)})
    bare: Any = unbiased.xreplace({descent.sigma: Integer(0)})
    stack: dict[str, list[float]] = {"transient": [], "with noise": [], "all": []}
    means: list[float] = []
    for t in map(int, times):
        h = STEP * float(path.smoothness[:t, 0].max())
        noise, bias, square = (float(part[:t, 0].mean()) for part in (variance, path.bias, path.base))
        added = h * path.pull[:t, 0] - (1 - h) * path.drift[:t, 0] + h / 2 * (path.noise - variance)[:t, 0]
        excess = float(_gap(path, 0, t)[0] + added.mean())
        for name, formula in (("transient", bare), ("with noise", unbiased), ("all", right_side)):
            stack[name].append(_allowed(formula, h, excess, noise, bias))
        means.append(square)
    curves = [curve("from the start alone", times, stack["transient"], "reference", group=0)]
    if not np.allclose(stack["with noise"], stack["transient"], rtol=0.02):
        curves.append(curve("from start and noise", times, stack["with noise"], "reference", group=2))
    bound = curve("with the bias: the bound", times, stack["all"], "statement")
    return panel(title, "steps $T$", "mean squared norm", *curves, bound, curve("measured $A^2$", times, means))


CLAIM = Claim(
    id="N1",
    title="Bias budget of networks",
    message="What the start leaves fades, what the peers add remains",
    meaning=(
        "On real networks, every quantity in the sharp bound is measured along the path, and the bound is drawn term "
        "by term beside the measured gradient. The effect of the start fades, and that of the peers remains; students "
        "at rest reach the bound, so an update other than the stated one breaks it."
    ),
    matters="It shows how large the bias of mutual learning is for a network, in the same units as its gradient.",
    direction="upper bound",
    subject=Subject(descent.SHARP),
    statement=statement,
    assumptions=(
        "the hypotheses of C2",
        "plain gradient steps of one size; the loss of a student is L + βτ²/(K-1) Σ_j E D_α, its peers held constant",
        "free to fail: the update and its schedules, with momentum taken off, the step ηΛ < 2, the pull under C4, the "
        "mean and the variance of the noise, and with them A² under the bound; what the monitor records of each step; "
        "what enters the bound comes from losses, Hessians, Jacobians "
        "and logits at the weights, not from the update",
        "not free, and so no verdict: Λ_t, which makes L(θ_{t+1}) = L(θ_t) + ⟨∇L, Δθ⟩ + (Λ_t/2)‖Δθ‖² exact; V ≤ 2τ² "
        "(D7); and the budget with the noise that a path really had, an identity for any sequence of updates",
        "experiment: where there is no noise, the trainer in double precision",
        SETTING,
    ),
    source=Source("this toolkit; the setting is that of Huang et al. 2023", "2209.05732", own=True),
    checks=(
        kernel_check(lambda subject: sgd.sharp_bound(subject.bound)),
        full_gradient,
        mini_batches,
        composed,
        attained,
        update,
        monitor,
    ),
    controls=(
        Control("no-bias", "the bias dropped", Subject(descent.SHARP.subs(descent.Z, Integer(0))), drawn=True),
        Control("no-noise", "the noise dropped", Subject(descent.SHARP.subs(descent.sigma, Integer(0)))),
        Control("no-start", "the start dropped", Subject(descent.SHARP.subs(descent.gap, Integer(0)))),
        *(Control(false.id, false.falsehood, Subject(descent.SHARP, false.subject)) for false in FALSE),
    ),
    caption=(
        "How much of the sharp bound comes from the start alone, from start and noise, and from the bias as well, for "
        "the first of two networks trained by mutual learning, with everything in it measured on the path: what the "
        "start leaves vanishes with T, the bias stays. Last: the same with the bound of X1, which knows of the peers "
        "only how far apart their predictions are."
    ),
    in_code="verify.monitor.BiasMonitor",
)
