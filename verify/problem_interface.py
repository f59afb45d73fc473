"""Whether a user's object behaves like a problem: attributes, shapes, finite numbers, the same answer each time."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergence.problems.base import start_size

__all__ = ["ProblemError", "Watched", "complete", "examine", "named", "one_line", "show", "watch"]

_ATTRIBUTES = ("dim", "smoothness", "minimum", "noise", "bias", "value", "gradient", "sample_gradient")


class ProblemError(ValueError):
    """What was given is no problem, with the reason and the remedy."""


def complete(problem: Any, reference: str) -> None:
    """Refuse what lacks an attribute of a problem."""
    for attribute in _ATTRIBUTES:
        if _attribute(problem, attribute, _MISSING) is _MISSING:
            raise ProblemError(f"{reference} has no {attribute}: a problem has {', '.join(_ATTRIBUTES)}")


_MISSING = object()


def _attribute(problem: Any, name: str, default: Any = None) -> Any:
    """An attribute of a user's object, which may be a property that raises."""
    try:
        return getattr(problem, name, default)
    except Exception as error:
        raise ProblemError(f"{name} raised {one_line(error)}") from error


def show(point: NDArray[np.float64] | None) -> str:
    """A point in as many digits as reproduce it, the first eight coordinates of long ones."""
    if point is None:
        return ""
    inside = ", ".join(repr(round(float(v), 12)) for v in point[:8])
    return f"[{inside}{', …' if point.size > 8 else ''}]"


def one_line(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


class Watched:
    """A user's problem whose every answer is looked at: shape, dtype, finite numbers, an argument left as it was.

    With a box its functions are never called outside: gradients there are those of the nearest point of the box, and
    values are NaN, so that no difference of values reaches across the edge.
    """

    def __init__(self, problem: Any):
        self._inner = problem
        self.start, self.box = _declarations(problem)
        # Without a box the constants are claimed everywhere; but far out numbers may overflow.
        self.far = 10 * start_size(self.start)

    def __getattr__(self, name: str) -> Any:
        if name in ("_inner", "start", "box", "far"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return repr(self._inner)

    def value(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """f; NaN outside the box."""
        answer, inside = self._ask("value", x)
        return answer if inside.all() else np.where(inside, answer, np.nan)

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """∇f, at the nearest point of the box."""
        return self._ask("gradient", x)[0]

    def sample_gradient(self, x: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """A draw of the oracle, at the nearest point of the box."""
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
            raise ProblemError(f"{name} raised {one_line(alone or error)}{where}") from (alone or error)
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


def named(problem: Any) -> str:
    """Its repr, which is the user's too."""
    try:
        return repr(problem)
    except Exception as error:
        raise ProblemError(f"its repr raised {one_line(error)}") from error


def _row(x: NDArray[np.float64], row: int) -> str:
    return f" at x = {show(x[row])}" if len(x) else ""


def watch(problem: Any) -> Any:
    """The problem, watched from now on."""
    return problem if isinstance(problem, Watched) else Watched(problem)


def _declarations(problem: Any) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]] | None]:
    """Refuse constants, a start or a box that make no sense; returns start and box."""
    complete(problem, "the problem")
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


def examine(problem: Any) -> Callable[[], None]:
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
    return show(np.asarray(answer)) if np.ndim(answer) else f"{float(answer):.12g}"


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
