"""Reusable buffers: a block of the fast path allocates nothing, so the system does not page memory in and out."""

from __future__ import annotations

import numpy as np

from rdml_theory._validation import FloatArray


class Scratch:
    """A stack of equally large float64 buffers, handed out as views and taken back all at once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._buffers: list[FloatArray] = []
        self.depth = 0

    def new(self, shape: tuple[int, ...]) -> FloatArray:
        """Return an uninitialised array, valid until `depth` is set back below its place."""
        if self.depth == len(self._buffers):
            self._buffers.append(np.empty(self._size))
        buffer = self._buffers[self.depth]
        self.depth += 1
        return buffer[: shape[0] * shape[1]].reshape(shape)
