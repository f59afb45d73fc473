"""Walk over the rows in blocks that fit the cache, and evaluate each block at its orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rdml_theory import _branches as branches
from rdml_theory._kernels import Evaluation
from rdml_theory._limits import OrderInfinity, OrderZero
from rdml_theory._pairs import Pair, pair_from_logits, pair_from_probabilities
from rdml_theory._validation import Arguments, FloatArray, SumCheck

BLOCK = 32768  # elements of one array in a block: a dozen such arrays stay in the caches, and the calls amortise
LOGIT_BLOCK = 16384  # from logits more temporaries are alive at a time
NARROW = (
    branches.FEW_CLASSES
)  # up to this many classes, classes go to the first axis, so that the inner loops run over rows
FEW_ROWS = 16  # with fewer rows than this the inner loops over rows would be too short

Result = Evaluation | OrderZero | OrderInfinity
Visitor = Callable[[Any, Result, "float | FloatArray"], None]


def _load(data: npt.NDArray[Any], axis: int) -> FloatArray:
    """Return a contiguous float64 block with the class axis in place, without a copy where that is possible."""
    return np.ascontiguousarray(data.T if axis == 0 else data, dtype=np.float64)


def evaluate(pair: Pair, alpha: float) -> Result:
    """Evaluate a pair at one scalar order."""
    if alpha < branches.SMALLEST_ORDER:
        return OrderZero(pair)
    if np.isinf(alpha):
        return OrderInfinity(pair)
    return Evaluation(pair, branches.split_order(alpha))


def walk(task: Arguments, visit: Visitor, size: int | None = None) -> None:
    """Call ``visit(rows, result, alpha)`` for every group of rows that share a block and a class of orders."""
    size = size or (BLOCK if task.domain == "probs" else LOGIT_BLOCK)
    step = max(1, size // task.classes)
    check = SumCheck(task.domain, task.classes, task.normalise)
    with np.errstate(all="ignore"):
        for start in range(0, task.rows, step):
            stop = min(task.rows, start + step)
            axis = 0 if task.classes <= NARROW and stop - start >= FEW_ROWS else 1
            block = slice(start, stop)
            p = _load(task.p.take(block), axis)
            q = _load(task.q.take(block), axis)
            if task.domain == "probs":
                pair = pair_from_probabilities(p, q, axis)
            else:
                pair = pair_from_logits(p, q, axis, task.domain)
            if check.active:
                in_logs = task.domain == "log_probs"
                check("p", np.exp(pair.log_p_sum) if in_logs else pair.p_sum)
                check("q", np.exp(pair.log_q_sum) if in_logs else pair.q_sum)
            if isinstance(task.alpha, np.ndarray):
                _by_order(pair, task.alpha[block], start, visit)
            else:
                visit(block, evaluate(pair, task.alpha), task.alpha)


def _by_order(pair: Pair, alpha: FloatArray, start: int, visit: Visitor) -> None:
    """Split a block into groups of rows whose orders take the same path."""
    kinds = branches.order_classes(alpha)
    for kind in np.unique(kinds):
        rows = np.flatnonzero(kinds == kind)
        part = pair.select(rows)
        alphas = alpha[rows].reshape(part.mass.shape)
        result: Result
        if kind == branches.ZERO:
            result = OrderZero(part)
        elif kind == branches.INFINITE:
            result = OrderInfinity(part)
        elif kind == branches.KL:
            result = Evaluation(part, branches.split_order(1.0))
        else:
            result = Evaluation(part, branches.split_orders(alphas, kind == branches.SWAPPED))
        visit(rows + start, result, alphas)
