"""The orders 0 and infinity, with the same interface as `Evaluation`."""

from __future__ import annotations

import numpy as np

from rdml_theory import _branches as branches
from rdml_theory._kernels import order_derivative
from rdml_theory._pairs import Pair, total
from rdml_theory._repairs import balance
from rdml_theory._validation import FloatArray


class OrderZero:
    """D_0 = -log q(p > 0); the escort is q restricted to the support of p."""

    def __init__(self, pair: Pair) -> None:
        self.original = pair
        self.missing = np.isneginf(pair.t)
        lost = total(np.where(self.missing, pair.q, 0.0), pair.axis) / pair.mass
        kept = total(np.where(self.missing, 0.0, pair.q), pair.axis) / pair.mass
        small = lost <= branches.CANCEL
        # -log1p(-0) would be -0
        self.divergence = np.where(small, -np.log1p(-np.where(small, lost, 0.0)), -np.log(kept)) + 0.0
        self.weights = np.where(self.missing, 0.0, pair.q / pair.mass) / kept
        self.fall = np.where(self.missing, pair.q / pair.mass, pair.q / pair.mass * (-lost / kept)) + 0.0
        if pair.has_tiny:
            # what is kept has underflowed: its logarithm is left
            few = kept < branches.TINY_PROBABILITY
            logs = np.where(self.missing, -np.inf, pair.log_q)
            top = logs.max(axis=pair.axis, keepdims=True)
            top = np.where(top > -np.inf, top, 0.0)
            parts = np.exp(logs - top)
            mass = total(parts, pair.axis)
            self.divergence = np.where(few, -top - np.log(mass), self.divergence)
            self.weights = np.where(few, parts / mass, self.weights)
            self.fall = np.where(few, pair.q / pair.mass - self.weights, self.fall)

    def escort(self) -> FloatArray:
        """Return w."""
        return self.weights

    def student(self) -> FloatArray:
        """Return q - w."""
        return self.fall

    def teacher(self) -> FloatArray:
        """Return zero: D_0 does not depend on p inside its support."""
        return np.zeros_like(self.original.p)

    def scaled_teacher(self) -> FloatArray:
        """Return (w - p) / (alpha - 1)."""
        return self.original.p / self.original.mass - self.escort()

    def order_derivative(self) -> FloatArray:
        """Return KL(w||p)."""
        d = self.original.t - self.divergence
        return order_derivative(self.original, -1.0, self.divergence, d, -d)


class OrderInfinity:
    """D_inf = log max p/q; the escort is uniform over the maximisers, a subgradient where they tie."""

    def __init__(self, pair: Pair) -> None:
        self.original = pair
        t = np.where((pair.p > 0.0) | (pair.log_p > -np.inf), pair.t, -np.inf)
        top = t.max(axis=pair.axis, keepdims=True)
        self.ties = t == top
        self.divergence = np.maximum(top, 0.0)

    def escort(self) -> FloatArray:
        """Return w."""
        return self.ties / total(self.ties.astype(np.float64), self.original.axis)

    def student(self) -> FloatArray:
        """Return q - w."""
        pair = self.original
        q, w = pair.q / pair.mass, self.escort()
        return balance(q - w, pair.axis, q + w)

    def teacher(self) -> FloatArray:
        """Return w - p."""
        pair = self.original
        p, w = pair.p / pair.mass, self.escort()
        return balance(w - p, pair.axis, p + w)

    def scaled_teacher(self) -> FloatArray:
        """Return zero, the limit of (w - p) / (alpha - 1)."""
        return np.zeros_like(self.original.p)

    def order_derivative(self) -> FloatArray:
        """Return zero, the limit; NaN where the divergence is infinite."""
        return np.where(np.isinf(self.divergence), np.nan, 0.0)
