"""A user's problem on trial: its declared constants first, then the bound.

Each declared constant is confronted with the worst that a search finds (:mod:`convergence.probes`,
:mod:`convergence.moments`). A constant that is refuted comes with a witness, a point at which anybody can check it. The
bound is judged only if no constant is refuted: against false constants a verdict on it would mean nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convergence import sequential_verdict, sharp_bound, simulate
from convergence.ensemble import BLOCK
from convergence.moments import bias_excess, noise_variance, oracle_errors
from convergence.probes import View, gradient_error, largest_curvature, least_value, views
from convergence.problems import SyntheticProblem
from convergence.problems._rows import Same
from verify.own_modules import importable
from verify.problem_interface import ProblemError, Watched, attempt, examine, named, show, watch
from verify.records import Outcome, combine

__all__ = ["ProblemError", "Trial", "TrialPart", "check_problem", "judge_constant", "load_problem"]

STEPS = (0.5, 1.0, 1.5)
"""Λη at which the bound is judged, unless steps are given."""


@dataclass(frozen=True)
class TrialPart:
    """One declared constant, or the bound at one step size.

    Attributes
    ----------
    name : str
        "gradient", "smoothness", "minimum", "noise", "bias", or "bound, Λη = 1".
    outcome : {"confirmed", "refuted", "undecided", "not judged"}
        A constant is confirmed if no search broke it, which proves nothing. Not judged is a constant that is not
        declared, and the bound where it says nothing.
    declared, found : float or None
        What the problem says, and the worst that was found (the confidence bound of it, where it was sampled). The bias
        is ζ², found is what remains of ‖b‖² after m‖∇f‖².
    error_rate : float
        The level of the test, which a sampled constant must fail twice; 0 where it rests on no sampling.
    detail : str
        The witness of a refutation, or how near the search came.
    """

    name: str
    outcome: Literal[Outcome, "not judged"]
    declared: float | None
    found: float | None
    detail: str
    error_rate: float = 0.0


@dataclass
class Trial:
    """All parts, in the order in which they were judged."""

    problem: str
    parts: list[TrialPart] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        """Of the whole: refuted if one part is, undecided if one was not judged."""
        return combine(["undecided" if part.outcome == "not judged" else part.outcome for part in self.parts])

    @property
    def wrong(self) -> list[str]:
        """The constants that are refuted."""
        return [p.name for p in self.parts if p.outcome == "refuted" and not p.name.startswith("bound")]


def load_problem(reference: str) -> Any:
    """The problem that ``module:name`` (or ``file.py:name``) refers to; a class or a function is called.

    Raises
    ------
    ProblemError
        If there is no such thing, or it cannot be made.

    Examples
    --------
    >>> load_problem("convergence.problems.quadratic:Quadratic").dim
    2
    >>> load_problem("convergence.problems.quadratic:Quadratik")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    verify.problem_interface.ProblemError: ...:Quadratik: there is no 'Quadratik' in ...
    """
    place, _, name = reference.rpartition(":")
    if not place or not name:
        raise ProblemError(f"{reference!r}: expected module:name or file.py:name")

    module = attempt(reference, lambda: _module(place))
    if not attempt(reference, lambda: hasattr(module, name)):
        held = [n for n, v in vars(module).items() if not n.startswith("_") and not isinstance(v, ModuleType)]
        listed = ", ".join(held[:12]) + (", …" if len(held) > 12 else "")
        raise ProblemError(f"{reference}: there is no {name!r} in {place}, which has {listed or 'no names'}")

    def load() -> Any:
        found = getattr(module, name)
        return found() if isinstance(found, type | FunctionType | partial) else found

    return attempt(reference, load)


def _module(place: str) -> Any:
    path = Path(place)
    importable(path.parent.resolve() if path.suffix == ".py" else Path.cwd())
    if path.suffix != ".py":
        return importlib.import_module(place)
    name = f"problem_in_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no such file: {place}")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _ByValues(View):
    """The view with the gradient that its values have, by central differences: for where the problem's own is wrong."""

    def gradient(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        chunk = max(1, 20_000 // y.shape[1])
        gradient = np.concatenate([self._differences(y[at : at + chunk]) for at in range(0, len(y), chunk)])
        # Far out the values have too few digits left; a wrong gradient leads descents there.
        gradient[(np.abs(y) > self.far).any(axis=1)] = np.nan
        return gradient

    def _differences(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        count, dim = x.shape
        step = 1e-4 * np.maximum(1.0, np.linalg.norm(x, axis=1, keepdims=True) / np.sqrt(dim))
        if (box := self.box) is not None:
            step = np.minimum(step, 1e-3 * (box[1] - box[0]).min())
            x = np.clip(x, box[0] + step, box[1] - step)
        arms = step[:, :, None] * np.eye(dim)
        ahead, behind = ((x[:, None] + sign * arms).reshape(-1, dim) for sign in (1, -1))
        ends = self.value(ahead) - self.value(behind)
        return ends.reshape(count, dim) / (2 * step)


def _rounded(number: float, way: Callable[[float], float] = math.ceil) -> str:
    """In three digits, not below the number (not above it with ``math.floor``), but for its own rounding."""
    if not number or not math.isfinite(number):
        return f"{number:g}"
    unit = 10.0 ** (math.floor(math.log10(abs(number))) - 2)
    less = 1e-9 if way is math.ceil else -1e-9
    return f"{way(number / unit - less * abs(number) / unit) * unit:.3g}"


_REGION = "declare box = (low, high), two numbers or two arrays, if the constants are meant on a region only"


def _constant(
    problem: Any, name: str, found: float, point: NDArray[np.float64], said: str, declare: str, *, wrong: bool,
    beside: str, rate: float = 0.0, at_start: Callable[[], float] = lambda: -math.inf,
) -> TrialPart:  # fmt: skip
    """The verdict on a constant: what was found, beside what is declared, and what to declare if that is false.

    A region helps only if less is found at the start.
    """
    user = problem.problem
    missing = name in user.undeclared
    detail = f"not declared; {said}" if missing else said + beside
    if wrong or missing:
        detail += f": declare {declare}"
        far = user.box is None and np.abs(point).max() > 3 * user.size
        if far and not found <= 1.1 * at_start():
            detail += f"; this is far from the start: {_REGION}"
    outcome = "not judged" if missing else "refuted" if wrong else "confirmed" if np.isfinite(found) else "undecided"
    return TrialPart(name, outcome, None if missing else getattr(user, name), found, detail, rate)


def _gradient(problem: Any, rng: np.random.Generator, rate: float) -> TrialPart:
    found = gradient_error(problem, rng)
    wrong = found.excess > 1
    worst = problem.back(found, "slope", "declared", slopes=1)
    axis = np.flatnonzero(worst.direction)
    along = f"coordinate {axis[0]}" if axis.size == 1 else f"the direction {show(worst.direction)}"
    place = f"at x = {show(worst.point)} along {along}"
    detail = (
        f"{place} the values of f have the slope {worst.slope:.9g}, gradient says {worst.declared:.9g}"
        if wrong
        else f"the numbers are slopes of f {place}, by gradient and by differences of the values; they agree "
        f"least there, to {worst.excess:.2g} of the error of the differences"
    )
    return TrialPart("gradient", "refuted" if wrong else "confirmed", worst.declared, worst.slope, detail)


def _smoothness(problem: Any, rng: np.random.Generator, rate: float) -> TrialPart:
    # Differences of values cost two values a coordinate, and lose digits.
    by_values = isinstance(problem, _ByValues)
    found = largest_curvature(problem, rng, budget=20_000 if by_values else None)
    found = problem.back(found, "value", slopes=1, units=-1)
    declared = problem.problem.smoothness
    wrong = found.value > declared * (1 + (1e-2 if by_values else 1e-6))
    along = "" if found.direction is None else f" along v = {show(found.direction)}"
    said = f"the largest quotient of gradient differences is {found.value:.9g} at x = {show(found.point)}{along}"
    beside = f", more than Λ = {declared:.9g}" if wrong else f", {found.value / declared:.4f} Λ"
    return _constant(
        problem, "smoothness", found.value, found.point, said, f"at least {_rounded(found.value)}",
        wrong=wrong, beside=beside,
    )  # fmt: skip


def _minimum(problem: Any, rng: np.random.Generator, rate: float) -> TrialPart:
    least = least_value(problem, rng)
    slack = 1e-9 * (1 + abs(problem.minimum))
    wrong = least.value < problem.minimum - slack
    found, declared = problem.back(least, "value", slopes=1, units=1), problem.problem.minimum
    beside = ""
    if wrong:
        beside = f", less than the declared minimum {declared:.9g}"
    elif least.value - problem.minimum > 1e-6 * (1 + abs(least.value)):
        beside = (
            f"; the declared minimum is {found.value - declared:.3g} below it, which is allowed and only loosens the "
            "bound"
        )
    return _constant(
        problem, "minimum", found.value, found.point,
        f"the least value found is f = {found.value:.9g} at x = {show(found.point)}",
        f"at most {_rounded(found.value, math.floor)}", wrong=wrong, beside=beside,
    )  # fmt: skip


def _errors_at_start(user: Any, rng: np.random.Generator) -> NDArray[np.float64]:
    """Oracle errors at the start, some thousand draws: enough for a hint, not for a verdict."""
    return oracle_errors(View.of(user), user.start[None], max(64, min(4096, 2**20 // user.dim)), rng)[0]


def _squared_bias_at_start(user: Any, m: float, rng: np.random.Generator) -> float:
    """Beside its relative part, as ζ² is declared."""
    mean, slope = _errors_at_start(user, rng).mean(axis=0), user.gradient(user.start[None])[0]
    return float((mean**2).sum() - m * (slope**2).sum())


def _noise(problem: Any, rng: np.random.Generator, rate: float) -> TrialPart:
    found = noise_variance(problem, rng, error_rate=rate)
    found = problem.back(found, "estimate", "low", "high", "allowed", slopes=2)
    said = (
        f"at x = {show(found.point)} E‖n‖² is {found.estimate:.6g} over {found.draws} draws, "
        f"between {found.low:.6g} and {found.high:.6g}"
    )
    declare = f"σ² at least {_rounded(found.high if found.exceeds else found.low)}"
    return _constant(
        problem, "noise", found.low, found.point, said, declare,
        wrong=found.exceeds, beside=f", declared σ² = {problem.problem.noise:.6g}", rate=rate,
        at_start=lambda: float(_errors_at_start(problem.problem, rng).var(axis=0).sum()),
    )  # fmt: skip


def _bias(problem: Any, rng: np.random.Generator, rate: float) -> TrialPart:
    found = bias_excess(problem, rng, error_rate=rate)
    found = problem.back(found, "estimate", "low", "high", "allowed", slopes=1)
    declared, m = problem.problem.bias, problem.relative_bias
    relative = max(found.allowed**2 - declared, 0.0) if m else 0.0

    def absolute(norm: float) -> float:
        """ζ² that a norm of the bias asks for, beside the relative part."""
        return max(max(norm, 0.0) ** 2 - relative, 0.0)

    said = (
        f"at x = {show(found.point)} ‖b‖² is at least {max(found.low, 0.0) ** 2:.6g} "
        f"(estimate {found.estimate**2:.6g}, {found.draws} draws)"
    )
    beside = f", declared ζ²{f' + {m:g}‖∇f‖²' if m else ''} = {found.allowed**2:.6g}"
    if found.exceeds and not found.allowed:
        beside += ": the oracle is biased"
    least = absolute(found.high if found.exceeds else found.low)
    declare = f"ζ² at least {_rounded(least)}, or a relative_bias if ‖b‖ grows with ‖∇f‖"
    return _constant(
        problem, "bias", absolute(found.low), found.point, said, declare, wrong=found.exceeds, beside=beside, rate=rate,
        at_start=lambda: _squared_bias_at_start(problem.problem, m, rng),
    )  # fmt: skip


class _OneReplica(Same):
    """The same problem where σ² = 0 was not refuted: all replicas are one, which is computed once."""

    def value(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.broadcast_to(self.inner.value(x[:1]), x.shape[:1])

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.broadcast_to(self.inner.gradient(x[:1]), x.shape)

    def sample_gradient(self, x: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        return np.broadcast_to(self.inner.sample_gradient(x[:1], rng), x.shape)


def _bound(problem: Any, h: float, seed: int, rate: float, steps: int) -> TrialPart:
    """The sharp bound at one step size, with replicas added while undecided."""
    step = h / problem.smoothness
    m = problem.relative_bias
    name, limit = f"bound, Λη = {h:g}", 2 / (1 + np.sqrt(m))
    if m >= 1 or h >= limit:
        where = f"the bound holds for m < 1 only, and m = {m:g}" if m >= 1 else (
            f"with m = {m:g} the bound holds for Λη < {limit:.4g} only, η < {limit / problem.smoothness:.4g}"
        )  # fmt: skip
        return TrialPart(name, "not judged", None, None, where)
    # The built-in ones have a faster path.
    subject: Any = problem.inner if isinstance(problem.inner, SyntheticProblem) else problem
    if not problem.noise:
        subject = _OneReplica(subject)
    first = simulate(subject, step=step, steps=steps, replicas=BLOCK, seed=seed, record=1)
    if left := int(first.left.sum()):
        detail = (
            f"{left} of {BLOCK} replicas left the box on which the constants hold: enlarge the box, or take less "
            "noise, less bias or a start farther inside"
        )
        return TrialPart(name, "undecided", None, None, detail)
    allowed = float(sharp_bound(first.assumptions, step, steps))
    if not np.isfinite(allowed):
        return TrialPart(
            name, "not judged", None, None, "the bound is beyond the range of numbers: measure in other units"
        )

    def draw(begin: int, end: int) -> NDArray[np.float64]:
        run = first if begin == 0 else simulate(
            subject, step=step, steps=steps, replicas=end - begin, seed=seed, first=begin, record=1
        )  # fmt: skip
        return run.mean_squared_gradient[-1]

    # In few dimensions replicas are cheap, and means over them spread most.
    budget = int(np.clip(131_072 // problem.dim, 4096, 32_768))
    verdict = sequential_verdict(draw, allowed, error_rate=rate, budget=budget, envelope=first.envelope)
    sign = {"confirmed": "≤", "refuted": ">", "undecided": "against"}[verdict.outcome]
    detail = (
        f"mean of ‖∇f‖² over {steps} steps of plain SGD and {verdict.replicas} replicas: "
        f"{verdict.observed:.6g} {sign} {allowed:.6g}"
    )
    if verdict.outcome == "undecided":
        low, high = verdict.interval
        detail += (
            f"; the mean is known to lie between {low:.6g} and {high:.6g} only: this problem may reach the bound, "
            "which has most room with few --steps"
        )
    if (far := float(np.abs(first.final).max())) > 1e6 * problem.size:
        detail += f"; iterates run to {far:.0e}: {_REGION}"
    return TrialPart(name, verdict.outcome, allowed, verdict.observed, detail, rate)


_JUDGES = {
    "gradient": _gradient, "smoothness": _smoothness, "minimum": _minimum, "noise": _noise, "bias": _bias,
}  # fmt: skip


@np.errstate(all="ignore")
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
    if name not in _JUDGES:
        raise ValueError(f"name = {name!r}: expected one of {', '.join(_JUDGES)}")
    watched = watch(problem)
    _stand_in(watched)
    return _judge(watched, name, seed, error_rate / (2 + len(STEPS)))


def _stand_in(problem: Watched) -> None:
    """Numbers in the place of constants that are not declared: the searches take their measure from them."""
    rng = np.random.default_rng(0)
    if "minimum" in problem.undeclared:
        problem.minimum = float(problem.value(problem.start[None])[0])
    if "smoothness" in problem.undeclared:
        problem.smoothness = 1.0
        # Twice: from steps of 1/Λ with a wrong Λ little is seen.
        for _ in range(2):
            view = views(problem)[0]
            found = view.back(largest_curvature(view, rng, budget=20_000), "value", slopes=1, units=-1).value
            problem.smoothness = found if 0 < found < np.inf else problem.smoothness


def _judge(problem: Any, name: str, seed: int, rate: float, kind: type[View] = View) -> TrialPart:
    stream = np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence([seed, list(_JUDGES).index(name)])))
    seen = views(problem, kind)
    parts = [_JUDGES[name](view, stream, rate / len(seen)) for view in seen]
    for part in parts:
        if part.outcome == "refuted":
            return part
    if name == "gradient":
        return parts[0]
    return (min if name == "minimum" else max)(parts, key=lambda part: part.found or 0.0)


_MOST_BY_VALUES = 64
"""Dimensions up to which the gradient that the values have may stand in for a wrong one."""


def _judge_without_gradient(problem: Any, name: str, seed: int, rate: float) -> TrialPart:
    """Where gradient and values disagree: a constant is refuted only if it is false whichever of the two is right."""
    many = problem.dim > _MOST_BY_VALUES
    if name == "noise":
        # It is what varies, whatever the gradient.
        return _judge(problem, name, seed, rate)
    if name == "minimum":
        # Values witness it; the gradient only leads there.
        parts = [_judge(problem, name, seed, rate, kind) for kind in [View, *([] if many else [_ByValues])]]
        return min(parts, key=lambda part: part.found or 0.0)
    by_gradient = _judge(problem, name, seed, rate)
    if many:
        detail = (
            f"not judged: gradient is wrong, and in more than {_MOST_BY_VALUES} dimensions nothing stands in for it"
        )
        return replace(by_gradient, outcome="undecided", detail=detail)
    by_values = _judge(problem, name, seed, rate, _ByValues)
    if by_values.outcome == by_gradient.outcome:
        return replace(by_values, detail=by_values.detail + " (by differences of the values)")
    right, wrong = ("gradient", "value") if by_gradient.outcome == "refuted" else ("value", "gradient")
    detail = f"false if {right} is right, and not found false if {wrong} is: judge again once they agree"
    return replace(by_values, outcome="undecided", detail=detail)


@np.errstate(all="ignore")
def check_problem(
    problem: Any, *, seed: int = 0, error_rate: float = 1e-3, steps: int = 1000, step: Sequence[float] = (),
    progress: Callable[[str], None] = lambda name: None,
) -> Trial:  # fmt: skip
    """Judge the declared constants, and if none is refuted or missing the sharp bound, at Λη = 0.5, 1 and 1.5.

    Parameters
    ----------
    problem : Problem
        An object with the attributes of :class:`convergence.Problem`. Of smoothness, minimum, noise and bias those that
        are not declared are searched for.
    seed : int
        Of all searches and simulations.
    error_rate : float
        The probability that an honest problem is refuted is less (asymptotically in the number of draws). Each of the
        three bounds and σ² and ζ² has a fifth, r. A bound errs with probability r at most; σ² or ζ², which two
        independent samples must refute, with r²/3. With n steps it is a share of n + 2.
    steps : int
        T of the simulations.
    step : sequence of float
        The step sizes η at which to judge the bound, in the place of the three.
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
    if not all(np.isfinite(eta) and eta > 0 for eta in step):
        raise ProblemError(f"step = {', '.join(f'{eta:g}' for eta in step)}: expected finite numbers > 0")
    watched = watch(problem)
    trial = Trial(named(watched))
    ask_again = examine(watched)
    _stand_in(watched)
    sizes = [watched.smoothness * eta for eta in step] or STEPS
    rate, judge = error_rate / (2 + len(sizes)), _judge
    for name in _JUDGES:
        progress(name)
        trial.parts.append(judge(watched, name, seed, rate))
        if name == "gradient" and trial.wrong:
            judge = _judge_without_gradient
    ask_again()
    if not trial.wrong and not watched.undeclared:
        for h in sizes:
            progress(f"the bound at Λη = {h:g}")
            trial.parts.append(_bound(watched, h, seed, rate, steps))
        ask_again()

    return trial
