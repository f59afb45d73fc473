"""N3: the noise of mini-batches is unbiased, its variance is known, and its martingale stays in its band."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Integer

from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.sgd import minibatch as sampling
from verify.checks import at_most, curve, cut_mean, function_of, kernel_check, panel
from verify.checks.networks import SAMPLES, SETTING, Setting, flat
from verify.claim import Claim, Control, Found, Source, Statement, check
from verify.context import Context
from verify.records import Comparison

if TYPE_CHECKING:
    from verify.checks.training import TrainingPath

STEP, BATCHES = 0.1, (20, 300)

PATH_BATCH = 400
"""More than half of the samples: an epoch has one batch, and each of its own is drawn independently of all others."""

CLOSE = 0.03
"""How near the mean of ‖n‖² must come to what is stated.

From the sampling error: the squared norm of a normal n of covariance Σ has the relative standard deviation √(2/r), with
the effective rank r = (tr Σ)²/tr Σ² of the samples' gradients. Here r is 14 to 16, so 0.38 or, with the heavier tails
of small batches, 0.42. With 24,576 batches the bounds, which hold for every law of replicas up to three times what is
stated, leave 1.7% at an error rate of 1e-6: a true statement is left undecided where the mean is off by another 1.3%,
five standard errors.
"""

CHUNK = 8_192
"""Batches drawn at once."""

UPDATES, ROUNDING = 16, 1e-4
"""Updates of the trainer that are compared with the means of their samples' gradients, and how near, relatively."""

WATCHED, NEAR = 300, 0.2
"""Batches whose noise the monitor is asked for, and how near the mean of its answers must come to what is there. One
has the relative standard deviation 0.38, that of a G² is as large: 384 of them leave 9% at an error rate of 1e-6."""

HIGH = 3.0
"""Where squared norms and answers are cut, over what is stated: five standard deviations above it."""

DRIFT, ENDS = 0.1, (-1.0, 1.0)
"""How near zero the mean of <∇L, n> over ‖∇L‖² must be, and where the steps' are cut: ten standard deviations."""


@dataclass(frozen=True)
class Noise:
    """What the statement says: the weight of ∇R in the mean of a mini-batch's gradient, and its variance."""

    weight: Expr
    variance: Expr


TRUE = Noise(beta, sampling.VARIANCE)


def statement(subject: Noise) -> Statement:
    mean, variance = sampling.mean_target(subject.weight), sampling.variance_target(subject.variance)
    return Statement(
        "The gradient g of a mini-batch of {B} out of {N} samples, drawn without replacement, has in every direction y "
        "{mean}, L and R the gradients of the losses, and about this mean {variance}, {V} the variance of the samples' "
        "gradients",
        {
            "B": sampling.batch, "N": sampling.samples, "V": sampling.spread,
            "mean": mean.relation(), "variance": variance.relation(),
        },
    )  # fmt: skip


@cache
def _weight(subject: Noise) -> float:
    """Of ∇R, relative to β = 1."""
    weight: Any = subject.weight.subs(beta, 1)
    return float(weight)


@dataclass(frozen=True)
class _Point:
    """A moment of training: gradients of the samples (N, K, P), ∇L and ∇R (K, P), and what batches did to them."""

    each: NDArray[np.float64]
    base: NDArray[np.float64]
    mutual: NDArray[np.float64]
    off: dict[int, float]
    """By the size of a batch, how far updates of the trainer are from the means of the gradients, relatively."""


def _point(context: Context) -> _Point:
    """Where 100 steps have led."""
    import torch

    from verify.checks.training import follow, own_trainer, put, read, undisturbed

    setting = Setting(2.0)
    end = follow(setting, setting.start(context.seed_for("start")), step=STEP, steps=100, times=()).end
    here = setting.snapshot(end)
    each = np.stack([here.sample_gradients(k, setting.alpha, setting.beta) for k in range(2)], axis=1)
    before = np.stack([flat(layers) for layers in end])
    off = {}
    with undisturbed():
        trainer = own_trainer(setting, end, step=STEP)
        x, y = trainer.data.train.x, trainer.data.train.y
        for batch in BATCHES:
            furthest = 0.0
            for n in range(UPDATES):
                rows = context.rng("update", batch, n).permutation(SAMPLES)[:batch]
                chosen = torch.from_numpy(rows)
                trainer.cohort.update(x[chosen], y[chosen], n)
                applied = (before - np.stack([flat(layers) for layers in read(trainer)])) / STEP
                mean = each[rows].mean(0)
                furthest = max(furthest, float(np.linalg.norm(applied - mean) / np.linalg.norm(mean)))
                for student, layers in zip(trainer.students, end, strict=True):
                    put(student, layers)
            off[batch] = furthest
    base = np.stack([here.base(k) for k in range(2)])
    mutual = np.stack([here.bias(k, setting.alpha, 1.0) for k in range(2)])
    return _Point(each, base, mutual, off)


def _noise(point: _Point, batch: int, first: int, context: Context) -> NDArray[np.float64]:
    """‖n‖² and <n, ∇R> of a chunk of batches, n their mean gradient less that of all samples, (2, chunk, K)."""
    rows = context.rng(batch, first).permuted(np.tile(np.arange(SAMPLES), (CHUNK, 1)), axis=1)[:, :batch]
    counts = np.zeros((CHUNK, SAMPLES), np.float32)
    np.put_along_axis(counts, rows, 1.0 / batch, axis=1)
    noise = np.tensordot(counts, (point.each - point.each.mean(0)).astype(np.float32), axes=(1, 0))
    return np.stack([np.einsum("nkp,nkp->nk", noise, noise), np.einsum("nkp,kp->nk", noise, point.mutual)])


@check("monte-carlo", tests=2 * len(BATCHES), cost=5.0)
def variance(subject: Noise, context: Context) -> Found:
    """Is the mean of ‖n‖² at a point of training the stated one?"""
    point = context.shared(_point, context)
    # What the statement does not put into the mean, over ∇R, is left in the noise.
    left, pull = 1 - _weight(subject), np.square(point.mutual).sum(1)
    spread = point.each.var(axis=0).sum(1)
    stated = function_of(subject.variance, sampling.spread, sampling.batch, sampling.samples)
    comparisons: list[Comparison] = [
        at_most(f"|update less the mean of its samples' gradients|, relative, batches of {batch}", off, ROUNDING)
        for batch, off in point.off.items()
    ]
    means, chunks = np.zeros((len(BATCHES), 2)), range(0, CHUNK * context.pick(quick=3, full=8), CHUNK)
    for m, batch in enumerate(BATCHES):
        noise = np.concatenate([context.shared(_noise, point, batch, first, context) for first in chunks], axis=1)
        squares = noise[0] + 2 * left * noise[1] + left**2 * pull
        means[m] = squares.mean(0)
        for k in range(2):
            allowed = float(stated(spread[k], batch, SAMPLES))
            name, ends = f"‖n‖² over batches of {batch}, student {k}", (0.0, HIGH * allowed)
            least, most = allowed * (1 - CLOSE), allowed * (1 + CLOSE)
            comparisons.append(cut_mean(name, squares[:, k], ends, most, context.error_rate, least=least))
        context.progress((m + 1) / len(BATCHES))
    grid = np.geomspace(10, 599, 60)
    yield panel(
        "variance of a mini-batch", "batch $B$", r"$\mathbb{E}\,\|n\|^2$",
        curve("measured", BATCHES, means[:, 0], style="markers"),
        curve("stated", grid, lambda b: float(stated(spread[0], b, SAMPLES)), "statement"),
    )  # fmt: skip
    yield from comparisons


@check("monte-carlo", tests=4, cost=6.0)
def monitor(subject: Noise, context: Context) -> Found:
    """Does the bias monitor find σ² and G²?

    Asked at one point again and again, it takes other pairs of samples and another probe each time.
    """
    from verify.checks.monitored import repeated

    setting, times = Setting(2.0), context.pick(quick=512, full=4096)
    start = setting.start(context.seed_for("start"))
    found = context.shared(repeated, setting, start, WATCHED, times, context.seed_for("pairs") % 2**31)
    stated = function_of(subject.variance, sampling.spread, sampling.batch, sampling.samples)
    here = setting.snapshot(start)
    for k in range(2):
        spread = here.sample_variance(k, setting.alpha, setting.beta)
        exact = {"σ²": float(stated(spread, WATCHED, SAMPLES)), "G²": float(here.centred_norms(k).mean())}
        for (name, value), measured in zip(exact.items(), found, strict=True):
            ratio, words = measured[:, k] / value, f"the monitor's {name} over that, student {k}"
            yield cut_mean(words, ratio, (0.0, HIGH), 1 + NEAR, context.error_rate, least=1 - NEAR)


def _path(context: Context, steps: int) -> TrainingPath:
    from verify.checks.training import follow

    setting = Setting(2.0)
    start = follow(setting, setting.start(context.seed_for("start")), step=STEP, steps=200, times=()).end
    return follow(
        setting, start, step=STEP, steps=steps, batch=PATH_BATCH, seed=context.seed_for("batches"),
        progress=context.progress,
    )  # fmt: skip


@check("monte-carlo", tests=2, cost=6.0)
def martingale(subject: Noise, context: Context) -> Found:
    """Is the mean of ⟨∇L, n⟩ along a path zero?"""
    steps = context.pick(quick=800, full=10_000)
    path = context.shared(_path, context, steps)
    # What the statement does not put into the mean is left in the noise.
    left = (1 - _weight(subject)) * path.inner + path.drift
    x = np.unique(np.linspace(1, steps, 100).astype(int))
    for k in range(2):
        values = left[:, k] / path.base[:, k]
        name = f"mean <∇L, n> over ‖∇L‖², student {k}"
        yield cut_mean(name, values, ENDS, DRIFT, context.error_rate, least=-DRIFT)
        total, band = np.cumsum(values)[x - 1], 2 * np.sqrt(np.cumsum(values**2))[x - 1]
        if k == 0:
            labels = ("the martingale along a path", "step", r"$\Sigma_t \langle\nabla L, n_t\rangle / A^2$")
            stated = curve("stated: zero, with two standard deviations", x, 0 * band, "statement", band=(-band, band))
            yield panel(*labels, stated, curve("measured", x, total), log="")


CLAIM = Claim(
    id="N3",
    title="Noise of mini-batches",
    message="Mini-batch noise is that of sampling without replacement",
    meaning=(
        "The gradient of a mini-batch is right on the average. Its variance falls with its size as sampling without "
        "replacement predicts."
    ),
    matters="It confirms, for networks, the assumption on noise that every bound makes.",
    direction="equality",
    subject=TRUE,
    statement=statement,
    assumptions=(
        *sampling.ASSUMPTIONS,
        "a mini-batch is a uniformly random subset, drawn independently of the weights",
        "so each n_t has mean zero given the past; of the batches of an epoch only the first has that, and the epochs "
        f"followed have one, of {PATH_BATCH}",
        "free to fail: that the trainer's update is the mean gradient of its batch, that along a path its noise has "
        "mean zero, and the monitor's σ² and G²; the variance of batches that the check draws is a theorem on any "
        "vectors",
        SETTING,
    ),
    source=Source("sampling without replacement; applied here to the update of Huang et al. 2023", "2209.05732"),
    checks=(
        kernel_check(lambda subject: sampling.minibatch(subject.weight, subject.variance)),
        variance,
        martingale,
        monitor,
    ),
    controls=(
        Control("bias-is-noise", "the bias counts as noise", Noise(Integer(0), TRUE.variance)),
        Control(
            "with-replacement",
            "as if drawn with replacement",
            Noise(beta, sampling.spread / sampling.batch),
            drawn=True,
        ),
    ),
    caption=(
        "Left: the mean squared noise of mini-batches at a point of training against their size. Right: the sum of the "
        "noise along the gradient, for mini-batches of 400 out of 600, within two standard deviations of a martingale."
    ),
    in_code="verify.monitor.BiasMonitor",
)
