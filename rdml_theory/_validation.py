"""Check arguments and lay them out as rows of classes. An error says what came, what is allowed and what to do."""

from __future__ import annotations

import math
import os
import sys
import warnings
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
DOMAINS = ("probs", "log_probs", "logits")


SUM_TOLERANCE = 2.0**-8
"""How far from one a sum of probabilities counts as rounded: twice what entries rounded to bfloat16 can add up to.

Probabilities are often held in a wider type than they were computed in, so the type of the array says nothing."""


class UnnormalisedWarning(UserWarning):
    """Probabilities or log-probabilities came whose sums are further from one than rounding explains.

    Examples
    --------
    >>> import warnings
    >>> from rdml_theory import UnnormalisedWarning, renyi_divergence
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", UnnormalisedWarning)
    ...     print(f"{renyi_divergence([2, 1], [1, 2], 2):.4f}")
    0.4055
    >>> print(f"{renyi_divergence([2, 1], [1, 2], 2, normalise=True):.4f}")
    0.4055
    """


def shown(value: object) -> str:
    """Return `value` in one line of an error, also one whose own description is long, fails or cannot be printed.

    >>> shown([1, 2]), len(shown(10**400)), shown(10**5000)
    ('[1, 2]', 81, 'an int')
    """
    try:
        text = " ".join("".join(c if c.isprintable() else " " for c in repr(value)).split())
    except Exception:  # whatever the object's own code raises; integers of thousands of digits do
        kind = type(value).__name__
        return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    return text if len(text) <= 80 else text[:80] + "…"


def flag(name: str, value: object) -> bool:
    """Return `value` when it is a truth value.

    >>> flag("normalise", np.True_)
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} = {shown(value)}: expected True or False")
    return bool(value)


def choice(name: str, value: object, allowed: tuple[str, ...]) -> str:
    """Return `value` when it is one of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        wrong = ValueError if isinstance(value, str) else TypeError
        raise wrong(f"{name} = {shown(value)}: expected one of {', '.join(map(repr, allowed))}")
    return value


def _masked(value: object) -> bool:
    """Whether there is a masked array, also within lists, where NumPy would drop its mask without a word."""
    if isinstance(value, list | tuple):
        return any(_masked(x) for x in value if isinstance(x, list | tuple | np.ma.MaskedArray))
    return isinstance(value, np.ma.MaskedArray)


def real_number(value: object) -> float | None:
    """Return one real number of Python or NumPy, also of an array without axes, as a float; None for anything else.

    Raises
    ------
    OverflowError
        If it is finite and beyond float64.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0 and not isinstance(value, np.ma.MaskedArray):
        value = value[()]
    # NumPy counts time differences among its integers
    if not isinstance(value, Real) or isinstance(value, bool | np.timedelta64):
        return None
    number = float(value)
    if math.isinf(number) and value != number:
        raise OverflowError
    return number


def real_array(name: str, value: object) -> npt.NDArray[Any]:
    """Return `value` as NumPy has it; whatever an object's own conversion raises becomes a TypeError that names it."""
    try:
        masked = _masked(value)
        array = np.asarray(value)
    except Exception as error:
        raise TypeError(
            f"{name} has type {type(value).__name__}, which NumPy cannot read ({error}): expected a real number or a "
            f"rectangular array of them; for a torch tensor pass {name}.detach().double().numpy()"
        ) from error
    if masked:
        raise TypeError(
            f"{name} is a masked array, whose mask would be ignored: expected a plain one; pass {name}.filled(0), for "
            f"logits {name}.filled(-numpy.inf), or drop the entries"
        )
    if array.ndim > 32:
        raise ValueError(f"{name} has {array.ndim} dimensions: expected at most 32; merge batch axes by reshape")
    return array


def float_array(name: str, value: object) -> npt.NDArray[Any]:
    """Return `value` as a float16, float32 or float64 array; integers and booleans become float64."""
    array = real_array(name, value)
    if array.dtype.kind in "biu":
        return array.astype(np.float64)
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    raise TypeError(
        f"{name} has dtype {array.dtype}: expected float16, float32, float64 or integers; "
        f"convert it with numpy.asarray({name}, dtype=float)"
    )


def order_array(alpha: object) -> FloatArray:
    """Return the order as a float64 array with entries in [0, inf]."""
    try:
        number = real_number(alpha)
    except OverflowError:
        raise ValueError(
            "alpha is beyond float64: expected orders in [0, inf]; use numpy.inf for the max-divergence"
        ) from None
    array = real_array("alpha", alpha if number is None else number)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise TypeError(
            f"alpha has type {type(alpha).__name__}, dtype {array.dtype}: expected real numbers "
            "in [0, inf]; pass a float"
        )
    array = array.astype(np.float64)
    wrong = ~(array >= 0.0)
    if wrong.any():
        raise ValueError(
            f"alpha = {array[wrong].flat[0]}: expected orders in [0, inf]; 1 is the Kullback-Leibler divergence, "
            "numpy.inf the max-divergence"
        )
    return array


@dataclass(frozen=True)
class Rows:
    """A two-dimensional view (own rows, classes) of one argument, with the map from batch rows to own rows."""

    data: npt.NDArray[Any]
    index: npt.NDArray[np.intp] | None

    def take(self, rows: slice | npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """Return the given batch rows; a view where possible."""
        return self.data[rows] if self.index is None else self.data[self.index[rows]]


@dataclass(frozen=True)
class Arguments:
    """Validated arguments: one row per batch entry, classes last."""

    p: Rows
    q: Rows
    alpha: float | FloatArray
    batch: tuple[int, ...]
    classes: int
    axis: int
    dtype: npt.DTypeLike
    domain: str
    rows: int
    normalise: bool


def _negative_axis(axis: object, p: npt.NDArray[Any], q: npt.NDArray[Any]) -> int:
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise TypeError(f"axis has type {type(axis).__name__}: expected an integer")
    longest = max(p.ndim, q.ndim)
    if p.ndim == 0 or q.ndim == 0:
        raise ValueError(
            f"p and q have shapes {p.shape} and {q.shape}: expected a class axis; pass arrays of at least one dimension"
        )
    if not -longest <= axis < longest:
        raise ValueError(f"axis = {axis} with shapes {p.shape} and {q.shape}: expected {-longest} to {longest - 1}")
    negative = int(axis) if axis < 0 else int(axis) - longest
    if -negative > min(p.ndim, q.ndim):
        raise ValueError(
            f"axis = {axis} does not exist in both shapes {p.shape} and {q.shape}: expected the class axis in both; "
            "add it with numpy.expand_dims"
        )
    return negative


def _rows(array: npt.NDArray[Any], own: tuple[int, ...], batch: tuple[int, ...]) -> Rows:
    data = array.reshape(-1, array.shape[-1]) if array.size else array.reshape(int(np.prod(own)), array.shape[-1])
    if own == batch:
        return Rows(data, None)
    index = np.broadcast_to(np.arange(data.shape[0], dtype=np.intp).reshape(own), batch).reshape(-1)
    return Rows(data, index)


def arguments(p: object, q: object, alpha: object, domain: object, axis: object, normalise: object) -> Arguments:
    """Validate everything but the entries, which the kernels check block by block while they read them."""
    domain = choice("domain", domain, DOMAINS)
    first, second = float_array("p", p), float_array("q", q)
    alpha = order_array(alpha)
    negative = _negative_axis(axis, first, second)
    first, second = np.moveaxis(first, negative, -1), np.moveaxis(second, negative, -1)
    classes = first.shape[-1]
    if classes != second.shape[-1]:
        raise ValueError(
            f"p has {classes} classes and q has {second.shape[-1]} along axis {axis}: "
            "expected distributions over the same classes"
        )
    if classes == 0:
        raise ValueError("the class axis is empty: expected at least one class")
    try:
        batch = np.broadcast_shapes(first.shape[:-1], second.shape[:-1], alpha.shape)
    except ValueError as error:
        raise ValueError(
            f"batch shapes are {first.shape[:-1]} for p, {second.shape[:-1]} for q and {alpha.shape} for alpha: "
            "expected shapes that broadcast; make them equal, or 1 where they differ"
        ) from error
    flat: float | FloatArray
    if alpha.size == 1:
        flat = float(alpha.reshape(()))
    else:
        flat = np.broadcast_to(alpha, batch).reshape(-1)
    return Arguments(
        p=_rows(first, first.shape[:-1], batch),
        q=_rows(second, second.shape[:-1], batch),
        alpha=flat,
        batch=batch,
        classes=classes,
        axis=negative,
        dtype=np.result_type(first.dtype, second.dtype),
        domain=domain,
        rows=int(np.prod(batch, dtype=np.int64)),
        normalise=flag("normalise", normalise) or domain == "logits",
    )


def explain_probabilities(name: str, block: FloatArray) -> ValueError:
    """Return the error for a block of probabilities that failed the cheap check."""
    for what, wrong in (("NaN", np.isnan(block)), ("+inf", np.isinf(block)), ("negative", block < 0)):
        if wrong.any():
            value = block[wrong].flat[0]
            hint = (
                " (log-probabilities go with domain='log_probs', scores with domain='logits')"
                if what == "negative"
                else ""
            )
            return ValueError(
                f"{name} has a {what} entry, {value}: expected finite probabilities >= 0{hint}; fix or mask the entry"
            )
    return ValueError(
        f"{name} has a distribution whose entries are all zero: expected at least one positive probability; "
        "drop the row or give it mass"
    )


def explain_logits(name: str, block: FloatArray, domain: str) -> ValueError:
    """Return the error for a block of logits or log-probabilities that failed the cheap check."""
    if np.isnan(block).any():
        return ValueError(f"{name} has a NaN entry: expected real {domain} or -inf; fix or mask the entry")
    if np.isposinf(block).any():
        return ValueError(
            f"{name} has a +inf entry: expected {domain} below +inf; use a finite value, or -inf for the others"
        )
    return ValueError(
        f"{name} has a distribution whose {domain} are all -inf, so all its probabilities are zero: "
        "expected at least one finite"
    )


def explain_spread(domain: str) -> ValueError:
    """Return the error for logits whose differences overflow."""
    return ValueError(
        f"p and q have {domain} so far apart that their differences exceed float64 (1.8e308): scale them down, "
        "or use -inf for an excluded class"
    )


class SumCheck:
    """Looks at sums block by block and warns once in a call, unless its caller said that they need not be one."""

    def __init__(self, domain: str, classes: int, silent: bool) -> None:
        # log-probabilities are rounded in proportion to their size, which is at most log C on average
        self.rounding = SUM_TOLERANCE * (1.0 + math.log(classes) if domain == "log_probs" else 1.0)
        self.domain, self.active = domain, not silent

    def __call__(self, name: str, sums: FloatArray) -> None:
        """Warn where a sum is further from one than rounding explains."""
        far = np.abs(sums - 1.0) > self.rounding
        if self.active and far.any():
            self.active = False
            kind = "log-probabilities" if self.domain == "log_probs" else "probabilities"
            warnings.warn(
                f"{name} holds {kind} that do not sum to one but to {sums[far].flat[0]:.6g}; they were normalised. "
                "Use domain='logits' for scores, axis for classes that are not last, and normalise=True where the sums "
                "are not meant to be one (counts, say)",
                UnnormalisedWarning,
                stacklevel=_outside(),
            )


def _outside() -> int:
    """Return the stack level at which the caller's warning names the first frame outside this package."""
    package, level, frame = os.path.dirname(__file__), 0, sys._getframe(1)
    while frame.f_back and os.path.dirname(frame.f_code.co_filename) == package:
        frame, level = frame.f_back, level + 1
    return level + 1
