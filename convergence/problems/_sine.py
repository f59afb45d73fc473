"""The sine of a whole array by vector instructions.

NumPy takes the sine of float64 one number at a time, which costs as much as drawing a normal number. Here it is a
reduction by multiples of π and a polynomial, made of additions and multiplications only: about three times faster on
arrays of some 10⁴ numbers, and, since IEEE arithmetic rounds those exactly, the same bits on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_memory_order", "sine"]

# Chebyshev interpolation of sin(√s)/√s in s on [0, (π/2)²]: 2e-19 off at most, before its coefficients are rounded.
_COEFFICIENTS = (
    1.0, -0.16666666666666666, 0.008333333333333186, -0.00019841269841208673, 2.7557319211229487e-06,
    -2.5052106890558184e-08, 1.6058940877901937e-10, -7.643026542351044e-13, 2.7215747734941104e-15,
)  # fmt: skip
# π = _HIGH + _LOW to 87 bits, where _HIGH has 33, so that its products with integers below 2²⁰ are exact.
_HIGH, _LOW = float.fromhex("0x1.921fb544p+1"), float.fromhex("0x1.0b4611a626331p-33")
_MAGIC = 1.5 * 2.0**52  # adding it rounds to an integer, whose lowest bit becomes the lowest of the significand
_LARGEST = 2.0**20


def in_memory_order(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """A one-dimensional view of contiguous memory, on which NumPy's loops start the fastest, if there is one."""
    if array.flags.c_contiguous:
        return array.reshape(-1)
    swapped = array.swapaxes(-1, -2)
    return swapped.reshape(-1) if swapped.flags.c_contiguous else array


def sine(x: NDArray[np.float64], out: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """``sin x`` within two units in the last place (within 1e-19 next to its zeros).

    Beyond 2²⁰ NumPy's own sine is taken. ``out`` has the shape and the memory order of ``x``.

    >>> x = np.array([0.0, 0.5, -2.0, 1e6])
    >>> bool(abs(sine(x) - np.sin(x)).max() < 3e-16)
    True
    """
    result = out = np.empty_like(x) if out is None else out
    flat = in_memory_order(x), in_memory_order(out)
    if flat[0].ndim == flat[1].ndim:
        x, out = flat
    with np.errstate(over="ignore", invalid="ignore"):
        sign = np.multiply(x, 1 / np.pi)
        sign += _MAGIC
        work = sign - _MAGIC
        square = work * _HIGH
        rest = np.subtract(x, square, out=square)
        work *= _LOW
        rest -= work
        square = np.multiply(rest, rest, out=work)
        np.multiply(square, _COEFFICIENTS[-1], out=out)
        for coefficient in _COEFFICIENTS[-2:0:-1]:
            out += coefficient
            out *= square
        out += _COEFFICIENTS[0]
        out *= rest
        # An odd multiple of π turns the sign.
        bits, parity = out.view(np.int64), sign.view(np.int64)
        np.left_shift(parity, 63, out=parity)
        np.bitwise_xor(bits, parity, out=bits)
        if not (x.max(initial=0.0) < _LARGEST and x.min(initial=0.0) > -_LARGEST):
            large = ~(np.abs(x) < _LARGEST)
            out[large] = np.sin(x[large])
    return result
