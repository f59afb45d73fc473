"""Orders that change while training: a trained order, and schedules."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from rdml_theory.losses import _checks as checks


class LearnableOrder(nn.Module):
    r"""A trained order that stays inside (low, high) and passes smoothly through 1.

    alpha = low (high / low)^{sigmoid(raw)}: a sigmoid on the logarithmic scale, so that with the default range the
    point raw = 0 is alpha = 1 and orders a and 1/a lie symmetrically around it. `raw` is a registered parameter, so any
    optimizer that gets the module's parameters trains it.

    The divergence increases with its order, so the gradient of a Rényi loss alone always lowers alpha, towards `low`.
    Choose `low` as the smallest order you accept, train the order on another signal, or use a schedule.

    Parameters
    ----------
    initial : float
        The first order, strictly between `low` and `high`.
    low, high : float
        The open range, 0 < low < high < inf.

    Raises
    ------
    TypeError
        An argument that is not a real number.
    ValueError
        A range or initial value that does not fit.

    Examples
    --------
    >>> from rdml_theory.losses import LearnableOrder
    >>> order = LearnableOrder(2.0)
    >>> round(order().item(), 6), [name for name, _ in order.named_parameters()]
    (2.0, ['raw'])
    """

    def __init__(self, initial: float = 1.0, *, low: float = 0.05, high: float = 20.0) -> None:
        super().__init__()
        initial = checks.checked_positive("initial", initial)
        self.low, self.high = checks.checked_positive("low", low), checks.checked_positive("high", high)
        below, above = math.log(initial) - math.log(self.low), math.log(self.high) - math.log(initial)
        if not (below > 0.0 and above > 0.0):
            raise ValueError(
                f"initial = {initial}: expected a number strictly between low = {low} and high = {high}; "
                "widen the range, or use a fixed order"
            )
        self.raw = nn.Parameter(torch.tensor(math.log(below / above), dtype=torch.float32))

    def forward(self) -> Tensor:
        """Return the order as a 0-d float64 tensor that carries the gradient to `raw`."""
        raw = self.raw.double()
        # as a mean of the logarithms, which no range of floats overflows
        return (math.log(self.low) * torch.sigmoid(-raw) + math.log(self.high) * torch.sigmoid(raw)).exp()

    def extra_repr(self) -> str:
        """Describe the range in the module's repr."""
        return f"low={self.low}, high={self.high}"


class OrderSchedule(ABC):
    """An order that follows the training step: `value(n)` holds while step n is computed, n = 0, 1, ...

    The first step sees `value(0)`; every call of `step` moves on by one. There is no lag: after n calls, `alpha` is
    `value(n)`. Any quantity can be scheduled so, for example the weight beta.

    Examples
    --------
    >>> from rdml_theory.losses import OrderSchedule
    >>> class Halving(OrderSchedule):
    ...     def value(self, step):
    ...         return 2.0 * 0.5**step
    >>> schedule = Halving()
    >>> schedule.alpha, schedule.step(), schedule.alpha
    (2.0, 1.0, 1.0)
    """

    def __init__(self) -> None:
        self.steps_taken = 0
        # read by the losses: a change of its content does not recompile a compiled training step, a new float would
        self.current = torch.zeros((), dtype=torch.float64)

    def _refresh(self) -> None:
        self.current.fill_(self.alpha)

    @abstractmethod
    def value(self, step: int) -> float:
        """Return the order that holds while step number `step` (from 0) is computed."""

    @property
    def alpha(self) -> float:
        """The order of the current step."""
        return self.value(self.steps_taken)

    def step(self) -> float:
        """Move on by one step and return the order that holds from now on; call it after ``optimizer.step()``."""
        self.steps_taken += 1
        self._refresh()
        return self.alpha

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to resume: the number of steps taken."""
        return {"steps_taken": self.steps_taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from `state_dict`."""
        self.steps_taken = int(state["steps_taken"])
        self._refresh()

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k != "current")
        return f"{type(self).__name__}({fields})"


class ConstantOrder(OrderSchedule):
    """The same order at every step.

    Parameters
    ----------
    start : float
        The order, in [0, inf].

    Examples
    --------
    >>> from rdml_theory.losses import ConstantOrder
    >>> ConstantOrder(2.0).value(1000)
    2.0
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        self.start = _fixed(start)
        self._refresh()

    def value(self, step: int) -> float:
        """Return the order."""
        _checked_step(step)
        return self.start


class _Ramp(OrderSchedule):
    """From `start` at step 0 to `end` at step `steps` and after it."""

    def __init__(self, start: float, end: float, steps: int) -> None:
        super().__init__()
        self.start, self.end = _fixed(start), _fixed(end)
        if math.isinf(self.start) or math.isinf(self.end):
            raise ValueError(f"start = {start}, end = {end}: expected finite orders for a ramp")
        steps = checks.checked_integer("steps", steps)
        if steps < 1:
            raise ValueError(f"steps = {steps}: expected at least 1; use ConstantOrder for a fixed order")
        self.steps = steps
        self._refresh()

    def value(self, step: int) -> float:
        """Return the order of step `step`: exactly `start` at 0, exactly `end` from `steps` on."""
        _checked_step(step)
        if step >= self.steps:
            return self.end
        share = self._share(step / self.steps)
        return self.start + (self.end - self.start) * share

    @abstractmethod
    def _share(self, progress: float) -> float: ...


class LinearOrder(_Ramp):
    """alpha_n = start + (end - start) n / steps for n <= steps, and `end` after.

    Parameters
    ----------
    start, end : float
        The orders at step 0 and from step `steps` on, in [0, inf).
    steps : int
        Length of the ramp, at least 1.

    Examples
    --------
    >>> from rdml_theory.losses import LinearOrder
    >>> schedule = LinearOrder(2.0, 0.0, steps=4)
    >>> [schedule.value(n) for n in range(6)]
    [2.0, 1.5, 1.0, 0.5, 0.0, 0.0]
    """

    def _share(self, progress: float) -> float:
        return progress


class CosineOrder(_Ramp):
    """alpha_n = end + (start - end) (1 + cos(pi n / steps)) / 2 for n <= steps, and `end` after.

    Parameters
    ----------
    start, end : float
        The orders at step 0 and from step `steps` on, in [0, inf).
    steps : int
        Length of the ramp, at least 1.

    Examples
    --------
    >>> from rdml_theory.losses import CosineOrder
    >>> schedule = CosineOrder(2.0, 0.0, steps=4)
    >>> [round(schedule.value(n), 6) for n in range(6)]
    [2.0, 1.707107, 1.0, 0.292893, 0.0, 0.0]
    """

    def _share(self, progress: float) -> float:
        return 0.5 * (1.0 - math.cos(math.pi * progress))


def _fixed(alpha: Any) -> float:
    if isinstance(alpha, Tensor):
        raise TypeError("an order of the schedule is a Tensor: expected a number; use LearnableOrder to train it")
    return float(checks.checked_alpha(alpha))


def _checked_step(step: int) -> None:
    if checks.checked_integer("step", step) < 0:
        raise ValueError(f"step = {step}: expected at least 0")
