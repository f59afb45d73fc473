"""What the losses have in common as modules: their settings."""

from __future__ import annotations

from torch import Tensor, nn

from rdml_theory.losses import _checks as checks
from rdml_theory.losses.order import OrderSchedule


class LossModule(nn.Module):
    """A module that keeps the settings of a loss."""

    order: float | Tensor | OrderSchedule | nn.Module

    def __init__(
        self,
        alpha: float | Tensor | OrderSchedule = 1.0,
        *,
        temperature: float = 1.0,
        reduction: str = "mean",
        ignore_index: int = -100,
        dim: int | None = None,
    ) -> None:
        super().__init__()
        self.temperature = checks.checked_temperature(temperature)
        self.reduction = checks.checked_reduction(reduction)
        self.ignore_index = checks.checked_integer("ignore_index", ignore_index)
        self.dim = checks.checked_axis(dim)
        self.order = alpha if isinstance(alpha, OrderSchedule) else checks.checked_alpha(alpha)

    @property
    def alpha(self) -> float | Tensor:
        """The order now in use; a tensor if it is scheduled or trained, in which case it carries a gradient."""
        if isinstance(self.order, OrderSchedule):
            return self.order.current
        return self.order() if isinstance(self.order, nn.Module) else self.order

    def extra_repr(self) -> str:
        """Describe the settings in the module's repr."""
        text = f"temperature={self.temperature}, reduction={self.reduction!r}"
        return text if isinstance(self.order, nn.Module) else f"alpha={self.order!r}, {text}"
