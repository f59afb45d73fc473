"""C17: Adam with a constant step may leave a minimum for ever, with unbiased gradients and at every step size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sympy import Expr

from convergence import Assumptions, Envelope, classical_bound
from rdml_theory.symbolic.sgd import adam as symbolic
from verify.checks import curve, cut_mean, evaluate, judged, kernel_check, panel
from verify.claim import Claim, Context, Control, Found, Source, Statement, check
from verify.names import named

Array = NDArray[np.float64]

REPLICAS, STEPS, STEP = 256, 20_000, 0.01

ENDS = (-2.0, 2.0)
"""Where D, less what a replica moves by over η, is cut."""


class Setting(NamedTuple):
    """The noise is -1, or (1-p)/p with probability p; f = δ√(1+x²), so that |f'| < δ < 1 and Λ = δ."""

    first: float
    second: float
    p: float
    delta: float
    decay: float = 0.0

    @property
    def words(self) -> str:
        """As it is called."""
        decay = f", λ = {self.decay:g}" if self.decay else ""
        return f"β₁ = {self.first:g}, β₂ = {self.second:g}, p = {self.p:g}{decay}"

    @property
    def variance(self) -> float:
        """That of the noise."""
        return (1 - self.p) / self.p


USUAL = Setting(0.9, 0.999, 1e-4, 0.1)
SHORT = Setting(0.5, 0.9, 0.01, 0.5)
OFTEN = Setting(0.9, 0.999, 0.01, 0.1)
"""Where rare gradients are not rare for the memory, nothing is stated: D < 0."""


@dataclass(frozen=True)
class Subject:
    """The asserted D."""

    drift: Expr = symbolic.DRIFT

    def at(self, setting: Setting) -> float:
        """D, for gradients from -(1+δ) to -(1-δ), and at most (1-p)/p + δ."""
        s, theta = symbolic, np.sqrt(setting.second)
        most, rare = 1 + setting.delta, setting.variance + setting.delta
        spread = np.sqrt((1 - setting.p) * most**2 + setting.p * rare**2)
        numbers = {
            s.ratio: setting.first / theta, s.root_of_second: theta, s.complement: np.sqrt(1 - theta**2),
            s.probability: setting.p, s.least: 1 - setting.delta, s.greatest: most, s.deviation: spread,
        }  # fmt: skip
        return float(evaluate(self.drift, numbers))


def statement(subject: Subject) -> Statement:
    words = (
        "Let gradients lie between -b and -a, except that with probability {p} they may be as large as c. Adam with β₁ "
        "= rθ and β₂ = θ², for 0 < r, θ < 1, then moves at any step η: {drift}; and so does AdamW with decay λ: "
        "{decayed}, where {speed}, s² = (1-p)b² + pc² and φ² = 1 - θ².\n"
        "On f = δ√(1+x²) with δ < 1, and with noise that is -1, or (1-p)/p with probability p, gradients are unbiased, "
        "and for small p Adam leaves the minimum for ever"
    )
    target, decayed = symbolic.drift_target(subject.drift), symbolic.decayed_target(subject.drift)
    formulas = {"p": symbolic.probability, "drift": target.relation(), "decayed": decayed.relation()}
    return Statement(words, formulas, {"speed": named("v", subject.drift)})


class Walk(NamedTuple):
    """Distances of each replica from the minimum, at some times, and means of f'² up to the last (replica,)."""

    times: Array
    x: Array
    squares: Array


def walk(
    settings: Sequence[Setting], step: float, steps: int, rng: np.random.Generator, plain: bool = False
) -> list[Walk]:
    """Adam, or AdamW, with ε = 0, or plain SGD, from the minimum, at each setting."""
    first, second, p, delta, decay = np.array(settings).T[:, :, None]
    x, m, v, squares = np.zeros((4, len(settings), REPLICAS))
    times = np.unique(np.geomspace(1, steps, 60).astype(int))
    marks, kept = set(times.tolist()), []
    for t in range(1, steps + 1):
        slope = delta * x / np.sqrt(1 + x * x)
        squares += slope * slope
        g = slope - 1 + (rng.random(x.shape) < p) / p
        if plain:
            x = x - step * g
        else:
            m += (1 - first) * (g - m)
            v += (1 - second) * (g * g - v)
            scale = np.sqrt(1 - second**t) / (1 - first**t)
            x = (1 - step * decay) * x - step * scale * m / np.sqrt(v)
        if t in marks:
            kept.append(x)
    return [Walk(times.astype(float), *one) for one in zip(np.stack(kept, axis=1), squares / steps, strict=True)]


@check("monte-carlo", tests=6, cost=1.5)
def walks(subject: Subject, context: Context) -> Found:
    """Does Adam move at least so far, and does plain SGD stay where its own bound says?"""
    steps, settings = context.pick(quick=STEPS, full=10 * STEPS), (USUAL, SHORT, OFTEN, SHORT._replace(decay=1.0))
    found = dict(zip(settings, context.shared(walk, settings, STEP, steps, context.rng("adam")), strict=True))
    for setting, run in found.items():
        drift = subject.at(setting)
        if setting.decay:
            least, reached = drift * (1 - (1 - STEP * setting.decay) ** steps), setting.decay * run.x[-1]
            name = f"D, less λ times what AdamW has moved by, {setting.words}"
        else:
            least, reached = drift, run.x[-1] / (STEP * steps)
            name = f"D, less what Adam moves by over η, {setting.words}"
        yield cut_mean(name, least - reached, ENDS, 0.0, context.error_rate)
    # A step of which the noise leaves less than a tenth of the greatest slope, squared.
    small = 0.1 * SHORT.delta / SHORT.variance
    (plain,) = context.shared(walk, (SHORT,), small, steps, context.rng("plain"), True)
    at = Assumptions(smoothness=SHORT.delta, gap=0.0, noise=SHORT.variance, bias=0.0)
    bound = float(classical_bound(at, small, steps))
    name = f"mean f'² of plain SGD against its bound (C1), p = {SHORT.p:g}"
    yield cut_mean(name, plain.squares, (0.0, 4 * bound), bound, context.error_rate)
    # f'² is less than δ².
    known = Envelope(lower=3 * bound - SHORT.delta**2, upper=3 * bound)
    name = f"three times that bound, less mean f'² of Adam, p = {SHORT.p:g}"
    yield judged(name, 3 * bound - found[SHORT].squares, 0.0, context.error_rate, envelope=known)
    run = found[USUAL]
    yield panel(
        f"Adam, $\\beta_1$ = 0.9, $\\beta_2$ = 0.999, $p$ = {USUAL.p:g}", "steps $t$",
        "mean distance from the minimum, over $\\eta t$",
        curve("measured", run.times, run.x.mean(axis=1) / (STEP * run.times)),
        curve("stated, at least", run.times, subject.at(USUAL), "statement"),
    )  # fmt: skip
    slopes = [SHORT.delta * np.abs(one.x) / np.sqrt(1 + one.x**2) for one in (found[SHORT], plain)]
    yield panel(
        f"the gradient, $\\beta_1$ = 0.5, $\\beta_2$ = 0.9, $p$ = {SHORT.p:g}", "steps $t$", "mean of $(f')^2$",
        curve("Adam", found[SHORT].times, (slopes[0] ** 2).mean(axis=1)),
        curve("plain SGD", plain.times, (slopes[1] ** 2).mean(axis=1), "second"),
        curve("bound for plain SGD", plain.times, bound, "reference"),
    )  # fmt: skip


_S = symbolic
_RARE = _S.probability * (1 - _S.ratio * _S.root_of_second) / (_S.complement * (1 - _S.ratio))

CLAIM = Claim(
    id="C17",
    title="Adam",
    message="With unbiased gradients Adam may leave a minimum for ever",
    meaning=(
        "Adam divides each gradient by the size of recent ones, so that a rare large gradient moves it less than it "
        "should, and frequent small ones move it more. If the rare gradients outweigh all others in the mean, but "
        "come further apart than Adam's memory reaches, it moves against the mean gradient at every step size; weight "
        "decay only changes where it stops."
    ),
    matters="So no bound by bias, variance and smoothness alone, such as SGD has, can hold for Adam or AdamW.",
    direction="upper bound",
    subject=Subject(),
    statement=statement,
    assumptions=(
        *symbolic.ASSUMPTIONS, symbolic.WITH_DECAY,
        "G_{t, k} is the gradient of k - 1 steps before t, R_{t, k} says whether it is a rare one, and v_t and m_t "
        "are Adam's before their corrections; without the ε of its denominator",
    ),
    source=Source("Reddi, Kale & Kumar 2018, Theorem 3, for the example; the drift v is this toolkit's", "1904.09237"),
    checks=(kernel_check(lambda subject: symbolic.adam_drift(subject.drift)), walks),
    controls=(
        Control("size", "frequent gradients are divided by their own size",
                Subject(_S.least * (1 - _S.probability) / _S.greatest - _RARE), drawn=True),
        Control("memory", "rare gradients are forgotten at once", Subject(_S.DRIFT + _RARE - _S.probability)),
    ),
    caption=(
        "Left: how far Adam with its usual memory has moved from the minimum of a convex function, over ηt: at any "
        "step size more than the theorem says, and in the end less than the false version. Right: on the same function "
        "with less rare noise Adam with a short memory ends where the gradient is greatest; plain SGD with a step as "
        "small as its bound asks for stays near the minimum."
    ),
)  # fmt: skip
