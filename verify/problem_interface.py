"""Whether a user's object behaves like a problem: attributes, shapes, finite numbers, the same answer each time."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergence.arguments import shown
from convergence.problems import ByRows
from convergence.problems.protocol import start_size

__all__ = ["ProblemError", "Watched", "attempt", "examine", "named", "show", "watch"]

Array = NDArray[np.float64]

CONSTANTS = ("smoothness", "minimum", "noise", "bias")
"""What may be left out: it is then searched for, and the bound is not judged."""

FUNCTIONS = ("value", "gradient", "sample_gradient")

MOST_DIM = 10_000
"""More would take gigabytes: the searches keep thousands of points."""

_HUGE = 1e60
"""Beyond it, and below its inverse for Λ, products of constants leave the range of numbers."""

_FEW = 5
"""Larger batches are filled up to a power of two: a function that is compiled for each shape, as by JAX, is for few."""


class ProblemError(ValueError):
    """What was given is not a valid problem, with the reason and the remedy."""


def attempt(what: str, call: Callable[[], Any]) -> Any:
    """The result of a user's code; whatever it raises is about that code."""
    try:
        with np.errstate():
            return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ProblemError(f"{what} raised {_one_line(error)}") from error


def _attribute(problem: Any, name: str) -> Any:
    """An attribute of a user's object, which may be a property that raises; None if there is none."""
    return attempt(name, lambda: getattr(problem, name, None))


def show(point: Array | None) -> str:
    """A point in as many digits as reproduce it, the first eight coordinates of long ones."""
    if point is None:
        return ""
    inside = ", ".join(repr(round(float(v), 12)) for v in point[:8])
    return f"[{inside}{', …' if point.size > 8 else ''}]"


def _text(text: str) -> str:
    """A user's words in one line of at most 300 letters that every terminal can show."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 300 else line[:300] + "…"


def _one_line(error: BaseException) -> str:
    """An exception in one line."""
    try:
        said = str(error)
    except Exception:
        said = "(its message raised another exception)"
    return _text(f"{type(error).__name__}: {said}").rstrip(": ")


class Watched:
    """A user's problem whose every answer is looked at: shape, dtype, finite numbers, an argument left as it was.

    With a box its functions are never called outside: gradients there are those of the nearest point of the box, and
    values are NaN, so that no difference of values reaches across the edge.
    """

    def __init__(self, problem: Any):
        self.inner = problem
        for name in ("dim", *FUNCTIONS):
            if (found := _attribute(problem, name)) is None:
                raise ProblemError(
                    f"the problem has no {name}: a problem has dim, {', '.join(FUNCTIONS)}, and declares "
                    f"{', '.join(CONSTANTS)}"
                )
            if name != "dim" and not callable(found):
                raise ProblemError(f"{name} is a {type(found).__name__}: expected a function of x")
        self.dim = _dimension(problem)
        declared = _constants(problem)
        self.undeclared = [name for name in CONSTANTS if name not in declared]
        self.smoothness, self.minimum, self.noise, self.bias, self.relative_bias = (
            declared.get(name, 0.0) for name in (*CONSTANTS, "relative_bias")
        )
        self.start, self.box = _region(problem, self.dim)
        self.size = start_size(self.start)
        # Without a box the constants are claimed everywhere; but far out numbers may overflow.
        self.far = 10 * self.size
        self._filled = not isinstance(problem, ByRows)

    def __repr__(self) -> str:
        return repr(self.inner)

    def value(self, x: Array) -> Array:
        """f; NaN outside the box."""
        answer, inside = self._ask("value", x)
        return answer if inside.all() else np.where(inside, answer, np.nan)

    def gradient(self, x: Array) -> Array:
        """∇f, at the nearest point of the box."""
        return self._ask("gradient", x)[0]

    def sample_gradient(self, x: Array, rng: np.random.Generator) -> Array:
        """A draw of the oracle, at the nearest point of the box."""
        return self._ask("sample_gradient", x, rng)[0]

    def _hint(self, name: str, x: Array, more: Any) -> str:
        """A remedy, if the function takes one point."""
        try:
            shape = np.shape(attempt(name, lambda: getattr(self.inner, name)(x[0].copy(), *more)))
        except Exception:
            return ""
        if shape != (() if name == "value" else (self.dim,)):
            return ""
        return (
            f"; x is an array (replicas, dim), one point a row, and {name} seems to take one point: add "
            "--single-point, or wrap the problem in convergence.ByRows"
        )

    def _raised(self, name: str, x: Array, more: Any, error: ProblemError) -> ProblemError:
        """With the row at which it raises."""
        where = f" for x of shape {x.shape}{_row(x, 0)}, …"
        for row in range(len(x)):
            try:
                attempt(name, lambda row=row: getattr(self.inner, name)(x[row : row + 1].copy(), *more))
            except ProblemError as alone:
                error, where = alone, _row(x, row)
                break
        located = ProblemError(f"{error}{where}{self._hint(name, x, more)}")
        located.__cause__ = error.__cause__
        return located

    def _ask(self, name: str, x: Array, *more: Any) -> tuple[Array, NDArray[np.bool_]]:
        box, count = self.box, len(x)
        size = 1 << (count - 1).bit_length() if self._filled and count > _FEW else count
        if size > count:
            x = np.concatenate([x, np.repeat(x[-1:], size - count, axis=0)])
        if box is None:
            kept, inside = x, np.ones(size, dtype=bool)
        else:
            kept = np.clip(x, box[0], box[1])
            inside = (kept == x).all(axis=1)
        given = kept.copy()
        try:
            answer = attempt(name, lambda: getattr(self.inner, name)(given, *more))
        except ProblemError as error:
            fault = self._raised(name, kept, more, error)
            raise fault from fault.__cause__
        # Not a number is unequal to itself: looked for, which takes longer, only where something is unequal.
        if not (np.array_equal(given, kept) or np.array_equal(given, kept, equal_nan=True)):
            row = int(np.flatnonzero((given != kept).any(axis=1))[0])
            raise ProblemError(f"{name} changed its argument x{_row(kept, row)}: compute in a copy")
        shape = (size,) if name == "value" else x.shape
        if type(answer) is not np.ndarray:
            remedy = "; convert it with np.asarray" if hasattr(type(answer), "__array__") else ""
            raise ProblemError(
                f"{name} returned {type(answer).__name__}: expected a float64 array of shape {shape}"
                f"{self._hint(name, kept, more) or remedy}"
            )
        if answer.shape != shape:
            raise ProblemError(
                f"{name} returned shape {answer.shape} for x of shape {x.shape}: expected {shape}"
                f"{self._hint(name, kept, more)}"
            )
        if answer.dtype.kind != "f" or answer.dtype.itemsize < 8:
            raise ProblemError(
                f"{name} returned numbers of type {answer.dtype}: expected float64, compute in it throughout"
            )
        finite = np.isfinite(answer)
        if finite.all():
            return np.asarray(answer, dtype=np.float64)[:count], inside[:count]
        bad = ~finite.reshape(size, -1).all(axis=1)
        bad &= inside if box is not None else (np.abs(x) <= self.far).all(axis=1)
        if bad.any():
            row = int(bad.argmax())
            remedy = (
                "expected finite numbers in the box" if box is not None
                else "expected finite numbers; if the problem is meant on a region only, declare box = (low, high)"
            )  # fmt: skip
            raise ProblemError(f"{name} is not finite{_row(kept, row)}: {remedy}")
        return np.asarray(answer, dtype=np.float64)[:count], inside[:count]


def named(problem: Any) -> str:
    """Its repr, which is the user's too."""
    return _text(attempt("its repr", lambda: repr(problem)))


def _row(x: Array, row: int) -> str:
    return f" at x = {show(x[row])}" if len(x) else ""


def watch(problem: Any) -> Any:
    """The problem, watched from now on."""
    return problem if isinstance(problem, Watched) else Watched(problem)


def _dimension(problem: Any) -> int:
    dim = _attribute(problem, "dim")
    if isinstance(dim, bool) or not isinstance(dim, Integral) or not 1 <= int(dim) <= MOST_DIM:
        raise ProblemError(
            f"dim = {shown(dim)}: expected an integer between 1 and {MOST_DIM}, the number of coordinates of a point"
        )
    return int(dim)


def _constants(problem: Any) -> dict[str, float]:
    """Those that are declared; refused if they make no sense."""
    found, faults = {}, []
    for name in (*CONSTANTS, "relative_bias"):
        if (given := _attribute(problem, name)) is None:
            continue
        try:
            number = float(given) if isinstance(given, Real) and not isinstance(given, bool) else np.nan
        except Exception:
            number = np.nan
        allowed = {"smoothness": " > 0", "minimum": ""}.get(name, " >= 0")
        if not np.isfinite(number) or (number < 0 and allowed) or (number == 0 and allowed == " > 0"):
            faults.append(f"{name} = {shown(given)}: expected a finite number{allowed}")
        elif abs(number) > _HUGE or (name == "smoothness" and number < 1 / _HUGE):
            faults.append(f"{name} = {number:g}: its size is out of range; measure in other units")
        found[name] = number
    if faults:
        raise ProblemError("; ".join(faults))
    return found


def _region(problem: Any, dim: int) -> tuple[Array, tuple[Array, Array] | None]:
    """Start and box; refused if they make no sense."""
    start, box = _attribute(problem, "start"), _attribute(problem, "box")
    point = np.ones(dim) if start is None else _numbers("start", start, dim)
    if box is None:
        return point, None
    pair = isinstance(box, tuple | list) or (isinstance(box, np.ndarray) and box.ndim)
    if not pair or len(box) != 2:
        raise ProblemError("box: expected a pair (low, high) of numbers or of arrays of shape (dim,), or None")
    low, high = (_numbers(f"box[{side}]", box[side], dim, scalar=True) for side in (0, 1))
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


def _numbers(name: str, given: Any, dim: int, *, scalar: bool = False) -> Array:
    expected = f"expected {'a number or ' if scalar else ''}an array of shape ({dim},) of finite numbers"
    try:
        array = np.asarray(given)
    except Exception:
        array = np.array(None)
    if array.dtype.kind not in "fiu":
        raise ProblemError(f"{name} = {shown(given)}: {expected}")
    if array.shape != (dim,) and not (scalar and array.ndim == 0):
        raise ProblemError(f"{name} has shape {array.shape}: {expected}")
    array = np.array(np.broadcast_to(array, dim), dtype=np.float64)
    if not np.isfinite(array).all():
        raise ProblemError(f"{name} is not finite in coordinate {int((~np.isfinite(array)).argmax())}: {expected}")
    if np.abs(array).max() > _HUGE:
        raise ProblemError(f"{name}: numbers beyond {_HUGE:g}; measure in other units")
    return array


def _few_points(problem: Any) -> Array:
    """The start and points near it, in the box; not as many as coordinates, so that no transposed array passes."""
    start, box = problem.start, problem.box
    count = 5 if problem.dim == 3 else 3
    x = (
        start
        + np.r_[np.zeros((1, problem.dim)), 0.1 * np.random.default_rng(0).standard_normal((count - 1, problem.dim))]
    )
    return x if box is None else np.clip(x, box[0], box[1])


def _differ(a: Array, b: Array) -> int | None:
    """The first row in which two answers differ by more than the order of a sum may matter."""
    rows = (np.abs(a - b) > 1e-9 * np.maximum(np.abs(a), np.abs(b)).max(initial=1e-3)).reshape(len(a), -1)
    return int(rows.any(axis=1).argmax()) if rows.any() else None


def examine(problem: Any) -> Callable[[], None]:
    """Refuse what does not behave like a problem before any search; returned are the same questions, for the end."""
    x = _few_points(problem)
    answers: dict[str, Array] = {}
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


def _single_precision(answer: Array) -> bool:
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


def _generator(problem: Any, x: Array) -> None:
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
