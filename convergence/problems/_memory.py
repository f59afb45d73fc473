"""Memory of arrays: in order, and from the start of a cache line."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

__all__ = ["aligned", "in_memory_order", "scratch"]

_LINE = 64  # bytes


def aligned(shape: int | tuple[int, ...]) -> NDArray[np.float64]:
    """A new array of float64, not filled, that starts on a cache line.

    NumPy's own start 16 bytes later as often as not. Every vector of AVX-512 then crosses a line, and a product of two
    arrays into a third takes twice the time.

    >>> aligned((3, 5)).ctypes.data % 64
    0
    """
    size = int(np.prod(shape))
    memory = np.empty(size + _LINE // 8)
    start = -memory.ctypes.data % _LINE // memory.itemsize
    return memory[start : start + size].reshape(shape)


class _Kept(threading.local):
    arrays: tuple[NDArray[np.float64], ...] = ()


_kept = _Kept()


def scratch(count: int, size: int) -> tuple[NDArray[np.float64], ...]:
    """``count`` aligned arrays of this size, which the next call in the same thread may hand out again."""
    arrays = _kept.arrays
    if len(arrays) < count or arrays[0].size < size:
        arrays = _kept.arrays = tuple(aligned(max(size, *(a.size for a in arrays), 1)) for _ in range(count))
    return tuple(a[:size] for a in arrays[:count])


def in_memory_order(*arrays: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Views of arrays of one shape on which NumPy's loops start the fastest: of one dimension, if all have one order.

    The arrays themselves if they have gaps or different orders.
    """
    if all(a.flags.c_contiguous for a in arrays):
        return tuple(a.reshape(-1) for a in arrays)
    if arrays[0].ndim > 1:
        swapped = [a.swapaxes(-1, -2) for a in arrays]
        if all(a.flags.c_contiguous for a in swapped):
            return tuple(a.reshape(-1) for a in swapped)
    return arrays
