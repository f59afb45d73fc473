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
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergence import sequential_verdict, sharp_bound, simulate
from convergence.ensemble import BLOCK
from convergence.probes import bias_excess, gradient_error, largest_curvature, least_value, noise_variance
from convergence.problems import SyntheticProblem
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
    except (Exception, SystemExit) as error:
        # Whatever a user's file raises is about that file.
        raise ProblemError(f"{reference}: {_one_line(error)}") from error
    _complete(problem, reference)
    return problem


def _complete(problem: Any, reference: str) -> None:
    for attribute in _ATTRIBUTES:
        if _attribute(problem, attribute, _MISSING) is _MISSING:
            raise ProblemError(f"{reference} has no {attribute}: a problem has {', '.join(_ATTRIBUTES)}")


_MISSING = object()


def _attribute(problem: Any, name: str, default: Any = None) -> Any:
    """An attribute of a user's object, which may be a property that raises."""
    try:
        return getattr(problem, name, default)
    except Exception as error:
        raise ProblemError(f"{name} raised {_one_line(error)}") from error


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


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


class _Watched:
    """A user's problem whose every answer is looked at: shape, dtype, finite numbers, an argument left as it was.

    With a box its functions are never called outside: gradients there are those of the nearest point of the box, and
    values are NaN, so that no difference of values reaches across the edge.
    """

    def __init__(self, problem: Any):
        self._inner = problem
        self.start, self.box = _declarations(problem)
        # Without a box the constants are claimed everywhere; but far out numbers may overflow.
        self.far = 10 * max(1.0, float(np.abs(self.start).max()))

    def __getattr__(self, name: str) -> Any:
        if name in ("_inner", "start", "box", "far"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return repr(self._inner)

    def value(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        answer, inside = self._ask("value", x)
        return answer if inside.all() else np.where(inside, answer, np.nan)

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._ask("gradient", x)[0]

    def sample_gradient(self, x: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        return self._ask("sample_gradient", x, rng)[0]

    def _raising(self, name: str, x: NDArray[np.float64], more: Any) -> tuple[str, BaseException | None]:
        """The row for which it raises alone, if there is one."""
        for row in range(min(len(x), 4096)):
            try:
                getattr(self._inner, name)(x[row : row + 1].copy(), *more)
            except (Exception, SystemExit) as error:
                return _row(x, row), error
        return f" for x of shape {x.shape}{_row(x, 0)}, …", None

    def _ask(self, name: str, x: NDArray[np.float64], *more: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        box = self.box
        if box is None:
            given, inside = x.copy(), np.ones(len(x), dtype=bool)
        else:
            given = np.clip(x, box[0], box[1])
            inside = (given == x).all(axis=1)
        kept = given.copy()
        try:
            answer = getattr(self._inner, name)(given, *more)
        except (Exception, SystemExit) as error:
            # Whatever a user's function raises is about that function.
            where, alone = self._raising(name, kept, more)
            raise ProblemError(f"{name} raised {_one_line(alone or error)}{where}") from (alone or error)
        if not np.array_equal(given, kept, equal_nan=True):
            row = int(np.flatnonzero((given != kept).any(axis=1))[0])
            raise ProblemError(f"{name} changed its argument x{_row(kept, row)}: compute in a copy")
        shape = (len(x),) if name == "value" else x.shape
        if not isinstance(answer, np.ndarray):
            raise ProblemError(f"{name} returned {type(answer).__name__}: expected a float64 array of shape {shape}")
        if answer.shape != shape:
            raise ProblemError(f"{name} returned shape {answer.shape} for x of shape {x.shape}: expected {shape}")
        if answer.dtype.kind != "f" or answer.dtype.itemsize < 8:
            raise ProblemError(
                f"{name} returned numbers of type {answer.dtype}: expected float64, compute in it throughout"
            )
        bad = ~np.isfinite(answer).reshape(len(x), -1).all(axis=1)
        bad &= inside if box is not None else (np.abs(x) <= self.far).all(axis=1)
        if bad.any():
            row = int(bad.argmax())
            remedy = (
                "expected finite numbers in the box" if box is not None
                else "expected finite numbers; if the problem is meant on a region only, declare box = (low, high)"
            )  # fmt: skip
            raise ProblemError(f"{name} is not finite{_row(kept, row)}: {remedy}")
        return answer, inside


def _named(problem: Any) -> str:
    try:
        return repr(problem)
    except Exception as error:
        raise ProblemError(f"its repr raised {_one_line(error)}") from error


def _row(x: NDArray[np.float64], row: int) -> str:
    return f" at x = {_show(x[row])}" if len(x) else ""


def _watched(problem: Any) -> Any:
    return problem if isinstance(problem, _Watched) else _Watched(problem)


def _declarations(problem: Any) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]] | None]:
    """Refuse constants, a start or a box that make no sense; returns start and box."""
    _complete(problem, "the problem")
    dim = problem.dim
    if isinstance(dim, bool) or not isinstance(dim, Integral) or dim < 1:
        raise ProblemError(f"dim = {dim!r}: expected an integer >= 1")
    dim = int(dim)
    faults = []
    for name in ("smoothness", "minimum", "noise", "bias", "relative_bias"):
        number = _attribute(problem, name, 0.0)
        real = isinstance(number, Real) and not isinstance(number, bool)
        least, allowed = {"smoothness": (np.nextafter(0, 1), " > 0"), "minimum": (-np.inf, "")}.get(
            name, (0.0, " >= 0")
        )
        if not real or not np.isfinite(float(number)) or float(number) < least:
            faults.append(f"{name} = {number!r}: expected a finite number{allowed}")
    if faults:
        raise ProblemError("; ".join(faults))
    for name in ("value", "gradient", "sample_gradient"):
        if not callable(getattr(problem, name)):
            raise ProblemError(f"{name} is a {type(getattr(problem, name)).__name__}: expected a function of x")
    start, box = _attribute(problem, "start"), _attribute(problem, "box")
    point = np.ones(dim) if start is None else _numbers("start", start, (dim,))
    if box is None:
        return point, None
    if not isinstance(box, tuple | list) or len(box) != 2:
        raise ProblemError("box: expected a pair (low, high) of arrays of shape (dim,), or None")
    low, high = (_numbers(f"box[{side}]", box[side], (dim,)) for side in (0, 1))
    if (empty := low >= high).any():
        axis = int(empty.argmax())
        raise ProblemError(
            f"box: low = {low[axis]:g} and high = {high[axis]:g} in coordinate {axis}: expected low < high"
        )
    if (outside := (point < low) | (point > high)).any():
        axis = int(outside.argmax())
        what = "start" if start is not None else "start (ones, as none is declared)"
        raise ProblemError(
            f"{what} is outside the box: coordinate {axis} is {point[axis]:g}, "
            f"expected between {low[axis]:g} and {high[axis]:g}"
        )
    return point, (low, high)


def _numbers(name: str, given: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    expected = f"expected an array of shape {shape} of finite numbers"
    try:
        array = np.asarray(given)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "fiu":
        raise ProblemError(f"{name} = {' '.join(repr(given).split())}: {expected}")
    if array.shape != shape:
        raise ProblemError(f"{name} has shape {array.shape}: {expected}")
    if not np.isfinite(array).all():
        raise ProblemError(f"{name} is not finite in coordinate {int((~np.isfinite(array)).argmax())}: {expected}")
    return array.astype(np.float64)


def _few_points(problem: Any) -> NDArray[np.float64]:
    """The start and points near it, in the box; not as many as coordinates, lest a transposed array pass."""
    start, box = problem.start, problem.box
    count = 5 if problem.dim == 3 else 3
    x = (
        start
        + np.r_[np.zeros((1, problem.dim)), 0.1 * np.random.default_rng(0).standard_normal((count - 1, problem.dim))]
    )
    return x if box is None else np.clip(x, box[0], box[1])


def _differ(a: NDArray[np.float64], b: NDArray[np.float64]) -> int | None:
    """The first row in which two answers differ by more than the order of a sum may matter."""
    rows = (np.abs(a - b) > 1e-9 * np.maximum(np.abs(a), np.abs(b)).max(initial=1e-3)).reshape(len(a), -1)
    return int(rows.any(axis=1).argmax()) if rows.any() else None


def _interface(problem: Any) -> Callable[[], None]:
    """Refuse what does not behave like a problem before any search; returned are the same questions, for the end."""
    x = _few_points(problem)
    answers: dict[str, NDArray[np.float64]] = {}
    for name in ("value", "gradient"):
        ask = getattr(problem, name)
        answer = ask(x)
        answers[name] = answer.copy()
        again = ask(x)
        if (row := _differ(answers[name], again)) is not None:
            raise ProblemError(
                f"{name} is not deterministic{_row(x, row)}: {_number(answers[name][row])}, then "
                f"{_number(again[row])}: expected the same answer each time"
            )
        if _single_precision(answer[1:]):
            raise ProblemError(
                f"{name} computes in single precision (float32): expected float64, compute in it throughout"
            )
        ask(0.5 * x + 0.5 * x[::-1])
        if _differ(answers[name], answer) is not None:
            raise ProblemError(f"{name} writes into an array that it returned before: return a new array")
        alone = np.concatenate([ask(x[row : row + 1]) for row in range(len(x))])
        if (row := _differ(answers[name], alone)) is not None:
            raise ProblemError(
                f"{name}{_row(x, row)} depends on the other rows of x: {_number(answers[name][row])} among {len(x)}, "
                f"{_number(alone[row])} alone: expected each row to be answered by itself"
            )
    _generator(problem, x)
    drawn = problem.sample_gradient(x, np.random.default_rng(0)).copy()

    def ask_again() -> None:
        for name, before in answers.items():
            now = getattr(problem, name)(x)
            if (row := _differ(before, now)) is not None:
                raise ProblemError(
                    f"{name} keeps state{_row(x, row)}: {_number(before[row])} at first, {_number(now[row])} after "
                    "many calls: expected the same answer each time"
                )
        now = problem.sample_gradient(x, np.random.default_rng(0))
        if (row := _differ(drawn, now)) is not None:
            raise ProblemError(_STATE.format(where=_row(x, row), first=_number(drawn[row]), then=_number(now[row])))

    return ask_again


def _single_precision(answer: NDArray[np.float64]) -> bool:
    """Whether all numbers are float32's, and some have more than a few bits."""
    with np.errstate(over="ignore"):
        fine = answer[answer.astype(np.float16) != answer]
        return bool((answer.astype(np.float32) == answer).all() and np.unique(np.abs(fine)).size >= 2)


_STATE = (
    "sample_gradient{where} with a generator of the same seed: {first}, then {then}: it keeps state or draws from "
    "another generator than rng: expected the same numbers for the same seed"
)


def _number(answer: Any) -> str:
    return _show(np.asarray(answer)) if np.ndim(answer) else f"{float(answer):.12g}"


def _generator(problem: Any, x: NDArray[np.float64]) -> None:
    """Refuse an oracle that does not draw from the generator it is given, for each row anew."""
    pile = np.tile(x[:1], (64, 1))
    draws = []
    for seed in range(8):
        first = problem.sample_gradient(pile, np.random.default_rng(seed)).copy()
        then = problem.sample_gradient(pile, np.random.default_rng(seed))
        if (row := _differ(first, then)) is not None:
            raise ProblemError(_STATE.format(where=_row(pile, row), first=_number(first[row]), then=_number(then[row])))
        draws.append(first)
    same_rows = all(_differ(d, np.broadcast_to(d[:1], d.shape)) is None for d in draws)
    same_seeds = all(_differ(draws[0], d) is None for d in draws[1:])
    if same_seeds and not same_rows:
        raise ProblemError(
            f"sample_gradient{_row(pile, 0)} returns the same noise for different seeds: it ignores the generator rng: "
            "draw from rng"
        )
    if same_rows and not same_seeds:
        raise ProblemError(
            f"sample_gradient{_row(pile, 0)} adds the same noise to every row of x: expected independent rows: "
            "draw with size x.shape"
        )


class _ByValues:
    """The same problem with the gradient that its values have, by central differences: for where its own is wrong."""

    def __init__(self, problem: Any):
        self._inner = problem

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        chunk = max(1, 20_000 // x.shape[1])
        gradient = np.concatenate([self._differences(x[at : at + chunk]) for at in range(0, len(x), chunk)])
        # Far out the values have too few digits left; a wrong gradient leads descents there.
        gradient[(np.abs(x) > self._inner.far).any(axis=1)] = np.nan
        return gradient

    def _differences(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        count, dim = x.shape
        step = 1e-4 * np.maximum(1.0, np.linalg.norm(x, axis=1, keepdims=True) / np.sqrt(dim))
        if (box := getattr(self._inner, "box", None)) is not None:
            step = np.minimum(step, 1e-3 * (box[1] - box[0]).min())
            x = np.clip(x, box[0] + step, box[1] - step)
        arms = step[:, :, None] * np.eye(dim)
        ahead, behind = ((x[:, None] + sign * arms).reshape(-1, dim) for sign in (1, -1))
        ends = self._inner.value(ahead) - self._inner.value(behind)
        return ends.reshape(count, dim) / (2 * step)


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
    # Differences of values cost two values a coordinate, and lose digits.
    by_values = isinstance(problem, _ByValues)
    found = largest_curvature(problem, rng, budget=20_000 if by_values else None)
    wrong = found.value > problem.smoothness * (1 + (1e-2 if by_values else 1e-6))
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
    detail = f"f = {found.value:.9g} at x = {_show(found.point)}"
    if wrong:
        detail += f", less than the declared minimum {problem.minimum:.9g}"
    else:
        detail += ", the least value found"
        if (spare := found.value - problem.minimum) > 1e-6 * (1 + abs(found.value)):
            detail += f"; the declared minimum is {spare:.3g} below it, which is allowed and only loosens the bound"
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
    # The built-in ones have a faster path.
    subject: Any = problem._inner if isinstance(problem._inner, SyntheticProblem) else problem
    first = simulate(subject, step=step, steps=steps, replicas=BLOCK, seed=seed, record=1)
    if left := int(first.left.sum()):
        detail = (
            f"{left} of {BLOCK} replicas left the box on which the constants hold: enlarge the box, or take less "
            "noise, less bias or a start farther inside"
        )
        return TrialPart(name, "undecided", np.nan, np.nan, detail)

    def draw(begin: int, end: int) -> NDArray[np.float64]:
        run = first if begin == 0 else simulate(
            subject, step=step, steps=steps, replicas=end - begin, seed=seed, first=begin, record=1
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
    if name not in _JUDGES:
        raise ValueError(f"name = {name!r}: expected one of {', '.join(_JUDGES)}")
    return _judge(_watched(problem), name, seed, error_rate)


def _judge(problem: Any, name: str, seed: int, error_rate: float) -> TrialPart:
    stream = np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence([seed, list(_JUDGES).index(name)])))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _JUDGES[name](problem, stream, error_rate / (2 + len(STEPS)))


_MOST_BY_VALUES = 64
"""Dimensions up to which the gradient that the values have may stand in for a wrong one."""


def _judge_without_gradient(problem: Any, name: str, seed: int, error_rate: float) -> TrialPart:
    """Where gradient and values disagree: a constant is refuted only if it is false whichever of the two is right."""
    many = problem.dim > _MOST_BY_VALUES
    if name == "noise":
        # It is what varies, whatever the gradient.
        return _judge(problem, name, seed, error_rate)
    if name == "minimum":
        # Values witness it; the gradient only leads there.
        parts = [_judge(p, name, seed, error_rate) for p in [problem, *([] if many else [_ByValues(problem)])]]
        return min(parts, key=lambda part: part.found)
    by_gradient = _judge(problem, name, seed, error_rate)
    if many:
        detail = (
            f"not judged: gradient is wrong, and in more than {_MOST_BY_VALUES} dimensions nothing stands in for it"
        )
        return replace(by_gradient, outcome="undecided", detail=detail)
    by_values = _judge(_ByValues(problem), name, seed, error_rate)
    if by_values.outcome == by_gradient.outcome:
        return replace(by_values, detail=by_values.detail + " (by differences of the values)")
    right, wrong = ("gradient", "value") if by_gradient.outcome == "refuted" else ("value", "gradient")
    detail = f"false if {right} is right, and not found false if {wrong} is: judge again once they agree"
    return replace(by_values, outcome="undecided", detail=detail)


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
    watched = _watched(problem)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ask_again = _interface(watched)
        trial = Trial(_named(problem))
        rate, judge = error_rate / (2 + len(STEPS)), _judge
        for name in _JUDGES:
            progress(name)
            trial.parts.append(judge(watched, name, seed, error_rate))
            if name == "gradient" and trial.wrong:
                judge = _judge_without_gradient
        ask_again()
        if not trial.wrong:
            for h in STEPS:
                progress(f"the bound at Λη = {h:g}")
                trial.parts.append(_bound(watched, h, seed, rate, steps))
            ask_again()
    return trial
