"""A user's problem on trial: its declared constants first, then the bound.

Each declared constant is confronted with the worst that a search finds (:mod:`convergence.probes`). A constant that is
refuted comes with a witness, a point at which anybody can check it. The bound is judged only if no constant is refuted:
against false constants a verdict on it would mean nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergence import sequential_verdict, sharp_bound, simulate
from convergence.ensemble import BLOCK
from convergence.probes import bias_excess, gradient_error, largest_curvature, least_value, noise_variance
from verify.records import Outcome, combine

__all__ = ["ProblemError", "Trial", "TrialPart", "check_problem", "judge_constant", "load_problem"]

STEPS = (0.5, 1.0, 1.5)
"""Λη at which the bound is judged."""

_ATTRIBUTES = ("dim", "smoothness", "minimum", "noise", "bias", "value", "gradient", "sample_gradient")


class ProblemError(ValueError):
    """What was given is no problem, with the reason and the remedy."""


@dataclass(frozen=True)
class TrialPart:
    """One declared constant, or the bound at one step size.

    Attributes
    ----------
    name : str
        "gradient", "smoothness", "minimum", "noise", "bias", or "bound, Λη = 1".
    outcome : {"confirmed", "refuted", "undecided"}
        A constant is confirmed if no search broke it, which proves nothing.
    declared, found : float
        What the problem says, and the worst that was found (the confidence bound of it, where it was sampled).
    error_rate : float
        Of a refutation; 0 where it rests on no sampling.
    detail : str
        The witness of a refutation, or how near the search came.
    """

    name: str
    outcome: Outcome
    declared: float
    found: float
    detail: str
    error_rate: float = 0.0


@dataclass
class Trial:
    """All parts, in the order in which they were judged."""

    problem: str
    parts: list[TrialPart] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        """Of the whole: refuted if one part is."""
        return combine([part.outcome for part in self.parts])

    @property
    def wrong(self) -> list[str]:
        """The constants that are refuted."""
        return [p.name for p in self.parts if p.outcome == "refuted" and not p.name.startswith("bound")]


def load_problem(reference: str) -> Any:
    """The problem that ``module:name`` (or ``file.py:name``) refers to; a class or a function is called.

    Raises
    ------
    ProblemError
        If there is no such thing, or it lacks an attribute of a problem.

    Examples
    --------
    >>> load_problem("convergence.problems.quadratic:Quadratic").dim
    2
    >>> load_problem("math:pi")
    Traceback (most recent call last):
    ...
    verify.problem_check.ProblemError: math:pi has no dim: a problem has dim, smoothness, minimum, noise, bias, value,
    gradient, sample_gradient
    """
    place, _, name = reference.rpartition(":")
    if not place or not name:
        raise ProblemError(f"{reference!r}: expected module:name or file.py:name")
    try:
        module = _module(place)
        found = getattr(module, name)
        made = isinstance(found, type) or (callable(found) and not hasattr(found, "sample_gradient"))
        problem = found() if made else found
    except Exception as error:
        # Whatever a user's file raises is about that file.
        raise ProblemError(f"{reference}: {type(error).__name__}: {error}") from error
    for attribute in _ATTRIBUTES:
        if not hasattr(problem, attribute):
            raise ProblemError(f"{reference} has no {attribute}: a problem has {', '.join(_ATTRIBUTES)}")
    return problem


def _module(place: str) -> Any:
    if not place.endswith(".py"):
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(place)
    path = Path(place)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no such file: {place}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _show(point: NDArray[np.float64] | None) -> str:
    """A point in as many digits as reproduce it, the first eight coordinates of long ones."""
    if point is None:
        return ""
    inside = ", ".join(repr(round(float(v), 12)) for v in point[:8])
    return f"[{inside}{', …' if point.size > 8 else ''}]"


def _interface(problem: Any) -> None:
    """Refuse what is not a problem before any search."""
    dim = problem.dim
    if isinstance(dim, bool) or not isinstance(dim, int | np.integer) or dim < 1:
        raise ProblemError(f"dim = {dim!r}: expected an integer >= 1")
    for name in ("smoothness", "minimum", "noise", "bias"):
        number = getattr(problem, name)
        real = isinstance(number, int | float | np.number) and not isinstance(number, bool)
        least, allowed = {"smoothness": (np.nextafter(0, 1), " > 0"), "minimum": (-np.inf, "")}.get(
            name, (0.0, " >= 0")
        )
        if not real or not np.isfinite(number) or float(number) < least:
            raise ProblemError(f"{name} = {number!r}: expected a finite number{allowed}")
    rng = np.random.default_rng(0)
    x = np.tile(np.asarray(getattr(problem, "start", np.ones(dim)), dtype=np.float64), (3, 1))
    kept = x.copy()
    for name, array, shape in (
        ("value", problem.value(x), (3,)),
        ("gradient", problem.gradient(x), x.shape),
        ("sample_gradient", problem.sample_gradient(x, rng), x.shape),
    ):
        if np.shape(array) != shape:
            raise ProblemError(f"{name} returned shape {np.shape(array)} for x of shape {x.shape}: expected {shape}")
        kind = np.asarray(array).dtype
        if kind.kind != "f" or kind.itemsize < 8:
            raise ProblemError(f"{name} returned numbers of type {kind}: expected float64, compute in it throughout")
        if not np.isfinite(array).all():
            raise ProblemError(f"{name} is not finite at the start {_show(kept[0])}: expected finite numbers there")
    if not np.array_equal(x, kept):
        raise ProblemError("a method changed its argument x: compute in a copy")


def _gradient(problem: Any, rng: np.random.Generator, rate: float) -> TrialPart:
    worst = gradient_error(problem, rng)
    wrong = worst.excess > 1
    axis = np.flatnonzero(worst.direction)
    along = f"coordinate {axis[0]}" if axis.size == 1 else f"the direction {_show(worst.direction)}"
    detail = (
        f"at x = {_show(worst.point)} along {along} the values of f have the slope {worst.slope:.9g}, "
        f"gradient says {worst.declared:.9g}"
        if wrong
        else f"agrees with differences of the values; the worst is {worst.excess:.2g} of what they lose"
    )
    return TrialPart("gradient", "refuted" if wrong else "confirmed", worst.declared, worst.slope, detail)


def _smoothness(problem: Any, rng: np.random.Generator, rate: float) -> TrialPart:
    found = largest_curvature(problem, rng)
    wrong = found.value > problem.smoothness * (1 + 1e-6)
    where = f"at x = {_show(found.point)} along v = {_show(found.direction)}"
    detail = (
        f"gradient differences {where} have the quotient {found.value:.9g}, more than Λ = {problem.smoothness:.9g}"
        if wrong
        else f"the largest quotient of gradient differences is {found.value / problem.smoothness:.4f} Λ, {where}"
    )
    return TrialPart("smoothness", "refuted" if wrong else "confirmed", float(problem.smoothness), found.value, detail)


def _minimum(problem: Any, rng: np.random.Generator, rate: float) -> TrialPart:
    found = least_value(problem, rng)
    slack = 1e-9 * (1 + abs(problem.minimum))
    wrong = found.value < problem.minimum - slack
    detail = f"f = {found.value:.9g} at x = {_show(found.point)}" + ("" if wrong else ", the least value found")
    return TrialPart("minimum", "refuted" if wrong else "confirmed", float(problem.minimum), found.value, detail)


def _noise(problem: Any, rng: np.random.Generator, rate: float) -> TrialPart:
    found = noise_variance(problem, rng, error_rate=rate)
    size = float((problem.gradient(found.point[None]) ** 2).sum())
    wrong = found.low > problem.noise * (1 + 1e-9) + 1e-20 * (1 + size)
    detail = (
        f"at x = {_show(found.point)} E‖n‖² is {found.estimate:.6g} over {found.draws} draws, "
        f"between {found.low:.6g} and {found.high:.6g}"
    )
    return TrialPart("noise", "refuted" if wrong else "confirmed", float(problem.noise), found.low, detail, rate)


def _bias(problem: Any, rng: np.random.Generator, rate: float) -> TrialPart:
    found = bias_excess(problem, rng, error_rate=rate)
    size = float(np.linalg.norm(problem.gradient(found.point[None])))
    wrong = found.low > found.allowed * (1 + 1e-9) + 1e-9 * (1 + size)
    detail = (
        f"at x = {_show(found.point)} ‖b‖ is at least {found.low:.6g} (estimate {found.estimate:.6g}, {found.draws} "
        f"draws), declared {found.allowed:.6g}" + (": the oracle is biased" if wrong and not found.allowed else "")
    )
    return TrialPart(
        "bias", "refuted" if wrong else "confirmed", float(problem.bias), max(found.low, 0.0) ** 2, detail, rate
    )


def _bound(problem: Any, h: float, seed: int, rate: float, steps: int) -> TrialPart:
    """The sharp bound at one step size, with replicas added while undecided."""
    step = h / problem.smoothness
    m = getattr(problem, "relative_bias", 0.0)
    name, limit = f"bound, Λη = {h:g}", 2 / (1 + np.sqrt(m))
    if m >= 1 or h >= limit:
        return TrialPart(name, "confirmed", np.inf, 0.0, f"does not apply: it holds for m < 1 and Λη < {limit:.4g}")
    first = simulate(problem, step=step, steps=steps, replicas=BLOCK, seed=seed, record=1)
    if left := int(first.left.sum()):
        detail = (
            f"{left} of {BLOCK} replicas left the box on which the constants hold: enlarge the box, or take less "
            "noise, less bias or a start farther inside"
        )
        return TrialPart(name, "undecided", np.nan, np.nan, detail)

    def draw(begin: int, end: int) -> NDArray[np.float64]:
        run = first if begin == 0 else simulate(
            problem, step=step, steps=steps, replicas=end - begin, seed=seed, first=begin, record=1
        )  # fmt: skip
        return run.mean_squared_gradient[-1]

    allowed = float(sharp_bound(first.assumptions, step, steps))
    verdict = sequential_verdict(draw, allowed, error_rate=rate)
    detail = f"mean of ‖∇f‖² over {steps} steps and {verdict.replicas} replicas: {verdict.observed:.6g} ≤ {allowed:.6g}"
    return TrialPart(name, verdict.outcome, allowed, verdict.observed, detail, rate)


_JUDGES = {
    "gradient": _gradient, "smoothness": _smoothness, "minimum": _minimum, "noise": _noise, "bias": _bias,
}  # fmt: skip


def judge_constant(problem: Any, name: str, *, seed: int = 0, error_rate: float = 1e-3) -> TrialPart:
    """Judge one declared constant, as :func:`check_problem` does.

    Parameters
    ----------
    problem : Problem
        An object with the attributes of :class:`convergence.Problem`.
    name : {"gradient", "smoothness", "minimum", "noise", "bias"}
        Which one.
    seed, error_rate
        As :func:`check_problem`.

    Examples
    --------
    >>> from convergence import problems
    >>> judge_constant(problems.get("pl_sine"), "smoothness").outcome
    'confirmed'
    """
    stream = np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence([seed, list(_JUDGES).index(name)])))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _JUDGES[name](problem, stream, error_rate / (2 + len(STEPS)))


def check_problem(
    problem: Any, *, seed: int = 0, error_rate: float = 1e-3, steps: int = 1000,
    progress: Callable[[str], None] = lambda name: None,
) -> Trial:  # fmt: skip
    """Judge the declared constants, and if none is refuted the sharp bound at Λη = 0.5, 1 and 1.5.

    Parameters
    ----------
    problem : Problem
        An object with the attributes of :class:`convergence.Problem`.
    seed : int
        Of all searches and simulations.
    error_rate : float
        The probability that an honest problem is refuted (asymptotically in the number of draws), shared by all parts
        that rest on sampling.
    steps : int
        T of the simulations.
    progress : callable
        Called with the name of what is judged next.

    Returns
    -------
    Trial

    Raises
    ------
    ProblemError
        If the object does not behave like a problem.

    Examples
    --------
    >>> from convergence import problems
    >>> f = problems.get("double_well", dim=2)
    >>> check_problem(f, steps=50).outcome
    'confirmed'
    >>> f.smoothness *= 0.8
    >>> check_problem(f).wrong
    ['smoothness']
    """
    _interface(problem)
    trial = Trial(repr(problem))
    rate = error_rate / (2 + len(STEPS))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for name in _JUDGES:
            progress(name)
            trial.parts.append(judge_constant(problem, name, seed=seed, error_rate=error_rate))
            if name == "gradient" and trial.wrong:
                # The other searches follow the gradient.
                return trial
        if not trial.wrong:
            for h in STEPS:
                progress(f"the bound at Λη = {h:g}")
                trial.parts.append(_bound(problem, h, seed, rate, steps))
    return trial
