"""Checks against the exact worst case, a semidefinite program, and against what the extremal problem attains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from convergence import Assumptions, WorstCase, extremal_average, worst_case
from verify.checks.comparisons import at_least, at_most, holds
from verify.checks.panels import curve, panel
from verify.claim import Check, Found, check
from verify.context import Context
from verify.records import Panel

__all__ = ["Setting", "horizon_panel", "solved", "worst_case_check"]

S = TypeVar("S")

SOLVED = 1e-6
"""The solver's relative accuracy; the certificate of each solution is checked in rational arithmetic."""


@dataclass(frozen=True)
class Setting:
    """Where a bound meets the worst case: h, T, ζ², σ², m and momentum at Λ = Δ = 1.

    What is bounded is the average of ‖∇f‖², or the least; and ``slack`` how far below the bound the worst case may lie.
    """

    h: float
    steps: int
    bias: float = 0.0
    noise: float = 0.0
    relative_bias: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    average: bool = True
    slack: float | None = None

    @property
    def assumptions(self) -> Assumptions:
        """The constants."""
        return Assumptions(smoothness=1.0, gap=1.0, noise=self.noise, bias=self.bias, relative_bias=self.relative_bias)

    @property
    def how(self) -> dict[str, Any]:
        """What :func:`convergence.worst_case` and :func:`convergence.stepwise_bound` are told besides."""
        criterion = "average" if self.average else "best"
        return {"criterion": criterion, "momentum": self.momentum, "nesterov": self.nesterov}

    def words(self) -> str:
        """For the record."""
        parts = [f"h = {self.h:g}", f"T = {self.steps}"]
        shown = (("ζ²", self.bias), ("σ²", self.noise), ("m", self.relative_bias), ("μ", self.momentum))
        parts += [f"{name} = {value:g}" for name, value in shown if value]
        return ", ".join([*parts, *["Nesterov"] * self.nesterov, *["best iterate"] * (not self.average)])


def solved(setting: Setting) -> WorstCase:
    """The exact worst case there."""
    return worst_case(setting.assumptions, setting.h, setting.steps, **setting.how)


def worst_case_check(
    bound: Callable[[S, Setting], float],
    settings: Sequence[Setting],
    *,
    panel: Callable[[S, dict[Setting, float]], Panel] | None = None,
    cost: float = 2.0,
) -> Check[S]:
    """Confront a bound with the exact worst case over all smooth functions and oracles, solved as an SDP.

    Parameters
    ----------
    bound : callable
        What a subject states at a setting.
    settings : sequence of Setting
        Those with a ``slack`` must come as near to the bound: it is (nearly) attained there.
    panel : callable, optional
        A figure from the exact values.
    cost : float
        Seconds.
    """
    question = "Is the exact worst case over all smooth functions, a semidefinite program, below the bound" + (
        ", and as near as stated?" if any(s.slack is not None for s in settings) else "?"
    )

    @check("numeric", question=question, cost=cost)
    def worst_case(subject: S, context: Context) -> Found:
        exact: dict[Setting, float] = {}
        for setting in context.each(settings):
            worst = context.shared(solved, setting)
            value = exact[setting] = worst.value
            stated = bound(subject, setting)
            name = f"exact worst case, {setting.words()}"
            yield at_most(name, value, stated * (1 + SOLVED))
            if setting.slack is not None:
                yield at_least(f"{name}: near the bound", value, stated * (1 - setting.slack - SOLVED))
            yield holds(f"its dual certificate, {setting.words()}", context.shared(worst.certificate.check))
        if panel is not None:
            yield panel(subject, exact)

    return worst_case


def horizon_panel(
    title: str, shown: Sequence[Setting], bound: Callable[[S, Setting], float], compared: str, other: Callable[..., Any]
) -> Callable[[S, dict[Setting, float]], Panel]:
    """A figure of :func:`worst_case_check`: a bound against T, the exact worst case of some settings, another bound.

    Where the average is bounded, what the extremal problem attains too.
    """
    at, h, average = shown[0].assumptions, shown[0].h, shown[0].average
    times = range(1, 65)

    def draw(subject: S, exact: dict[Setting, float]) -> Panel:
        measured = [exact[setting] for setting in shown]
        curves = [curve("exact worst case", [setting.steps for setting in shown], measured, style="markers")]
        if average:
            attained = [extremal_average(at, h, t) for t in times[2::5]]
            curves.append(curve("extremal problem", times[2::5], attained, "second", style="markers"))
        stated = [bound(subject, replace(shown[0], steps=t)) for t in times]
        curves.append(curve("bound", times, stated, "statement"))
        curves.append(curve(compared, times, lambda t: float(other(at, h, t)), "reference", group=0))
        return panel(title, "steps $T$", f"{'mean' if average else 'least'} squared gradient norm", *curves)

    return draw
