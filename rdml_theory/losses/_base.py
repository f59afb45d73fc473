"""What depends on the processor: the base of exponentials and logarithms, and how many rows are worked on at once.

PyTorch computes `exp` by Intel's library and `exp2` by its own vector code. On Intel's processors the former takes half
of the time of the latter; on others, where that library takes its slow way, twice the time. So exponents are kept in
units of the base in use: nats, or bits.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

# elements of one block of float64 on a GPU, which wants many at once: 32 MiB
BLOCK_GPU = 1 << 22


class Base(NamedTuple):
    """Functions of one base.

    Attributes
    ----------
    exp
        The exponential, with an optional `out`.
    exp_, log_
        Exponential and logarithm in place.
    nats
        The logarithm of the base: one unit of the exponent, in nats.
    """

    exp: Callable[..., Tensor]
    exp_: Callable[[Tensor], Tensor]
    log_: Callable[[Tensor], Tensor]
    nats: float


NATURAL = Base(torch.exp, Tensor.exp_, Tensor.log_, 1.0)
BINARY = Base(torch.exp2, Tensor.exp2_, Tensor.log2_, math.log(2.0))


def _vendor() -> str:
    """Return a text that names the processor's vendor, where the system tells it."""
    info = Path("/proc/cpuinfo")
    try:
        with info.open() as lines:
            return "".join(next(lines, "") for _ in range(3))
    except OSError:
        return platform.processor()


def fastest() -> Base:
    """Return the base to use on this machine."""
    return NATURAL if torch.backends.mkl.is_available() and "GenuineIntel" in _vendor() else BINARY


BASE = fastest()


def rows_at_once(x: Tensor, rows: int, width: int, block: int) -> int:
    """Return how many rows of `width` elements to work on at once where a CPU takes `block` elements."""
    return max(1, min(rows, (block if x.is_cpu else BLOCK_GPU) // width))
