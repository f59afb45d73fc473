"""One cell of a sweep: a problem simulated at one setting, and how its average compares with the bound."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from convergence import problems
from convergence.arguments import number, shown, whole
from convergence.bounds import sharp_bound
from convergence.estimators import mean_interval
from convergence.sgd import MOST_REPLICAS, MOST_STEPS, simulate
from convergence.store import key, source_fingerprint
from convergence.verdict import check_bound

__all__ = ["Cell", "run_cell"]

_CONSTANTS = ("smoothness", "gap", "noise", "bias", "relative_bias")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one simulation of a sweep depends on, and nothing else.

    Parameters
    ----------
    problem : str
        One of :func:`convergence.problems.available`.
    parameters : mapping
        Of the problem: ``noise`` (σ²), ``bias`` (ζ²), ``alpha`` (α), ``beta`` (β), ``students`` (K), ``dim``, …
    step, h : float, optional
        η or Λη; exactly one of them.
    steps, replicas, seed, records : int
        T, independent runs (at least 8), the seed, and how many records, evenly in log t.

    Raises
    ------
    ValueError
        If both or none of ``step`` and ``h`` are given, there are too few replicas, or the problem refuses.

    Examples
    --------
    >>> cell = Cell(problem="quadratic", parameters={"noise": 0.1}, h=0.5, steps=100)
    >>> cell.key() == Cell(problem="quadratic", parameters={"noise": 0.1}, h=0.5, steps=100).key()
    True
    """

    problem: str
    steps: int
    step: float | None = None
    h: float | None = None
    replicas: int = 256
    seed: int = 0
    records: int = 32
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot run, before anything does."""
        if (self.step is None) == (self.h is None):
            raise ValueError(f"step = {self.step!r}, h = {self.h!r}: expected exactly one of them")
        number("step" if self.h is None else "h", self.step if self.h is None else self.h, least=0, strict=True)
        whole("steps", self.steps, least=1, most=MOST_STEPS)
        whole("replicas", self.replicas, least=8, most=MOST_REPLICAS)
        whole("seed", self.seed, least=0, most=2**63)
        whole("records", self.records, least=1, most=10**5)
        if not isinstance(self.problem, str) or self.problem not in problems.available():
            names = ", ".join(problems.available())
            raise ValueError(f"problem = {shown(self.problem)}: no such problem; available are {names}")
        _accept(self.problem, json.dumps(dict(self.parameters), sort_keys=True, default=_plain))

    def content(self) -> dict[str, Any]:
        """The cell as plain data; 1 and 1.0 are the same number."""
        size = {"h": float(self.h)} if self.step is None else {"step": float(self.step)}  # type: ignore[arg-type]
        settings = {name: getattr(self, name) for name in ("problem", "steps", "replicas", "seed", "records")}
        hints = problems.parameters(self.problem)
        parameters = {
            name: float(value) if isinstance(value, int) and "float" in hints[name].split(" | ") else value
            for name, value in sorted(self.parameters.items())
        }
        return settings | size | {"parameters": parameters}

    def key(self) -> str:
        """A digest of the content and of the sources and the NumPy that compute it."""
        return self._key

    @cached_property
    def _key(self) -> str:
        return key(source_fingerprint(("convergence",), ("numpy",)), self.content())


def _plain(value: Any) -> Any:
    """What JSON has no form for: arrays are lists."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise ValueError(f"{shown(value)}: expected a number, a name or a list")


@lru_cache(maxsize=4096)
def _accept(problem: str, parameters: str) -> None:
    """Refuse parameters that the problem refuses; cells of a sweep share most of them."""
    problems.get(problem, **json.loads(parameters))


def run_cell(cell: Cell, checkpoint: str | Path | None = None, error_rate: float = 1e-3) -> dict[str, Any]:
    """Simulate a cell: its average A², confidence bounds of it, and the sharp bound where it applies.

    Parameters
    ----------
    cell : Cell
        What to run.
    checkpoint : path, optional
        A folder for unfinished work, as for :func:`convergence.simulate`.
    error_rate : float
        Of each confidence bound.

    Returns
    -------
    dict
        Plain data: the content, the constants, ``average`` (A²) with ``low`` and ``high``, ``last`` (mean ‖∇f(x_T)‖²),
        ``bound``, ``ratio`` (A² over it), ``outcome``, and the curves ``times``, ``mean_squared_gradient`` and
        ``squared_gradient`` (means over replicas). ``bound`` is None outside the bound's domain.

    Examples
    --------
    >>> done = run_cell(Cell(problem="quadratic", parameters={"bias": 0.25}, h=0.5, steps=200, records=2))
    >>> done["outcome"], round(done["last"], 6)
    ('confirmed', 0.25)
    """
    problem = problems.get(cell.problem, **cell.parameters)
    step = float(cell.step) if cell.h is None else float(cell.h) / problem.smoothness  # type: ignore[arg-type]
    run = simulate(
        problem, step=step, steps=cell.steps, replicas=cell.replicas, seed=cell.seed, record=cell.records,
        checkpoint=checkpoint,
    )  # fmt: skip
    average = run.mean_squared_gradient[-1]
    low, high = mean_interval(average, error_rate)
    with np.errstate(over="ignore"):
        result: dict[str, Any] = {
            "cell": cell.content(), "step": step, "h": step * problem.smoothness,
            "constants": {name: getattr(run.assumptions, name) for name in _CONSTANTS},
            "average": float(average.mean()), "low": low, "high": high, "last": float(run.squared_gradient[-1].mean()),
            "bound": None, "ratio": None, "outcome": None, "times": run.times.tolist(),
            "mean_squared_gradient": run.mean_squared_gradient.mean(axis=1).tolist(),
            "squared_gradient": run.squared_gradient.mean(axis=1).tolist(),
        }  # fmt: skip
    try:
        bound = sharp_bound(run.assumptions, step, cell.steps)
    except ValueError:
        return result  # outside its domain
    verdict = check_bound(run, bound, error_rate=error_rate)
    # There is no ratio to zero, nor of what is beyond float64.
    ratio = verdict.observed / bound.total if bound.total and np.isfinite(verdict.observed / bound.total) else None
    return result | {"bound": bound.total, "ratio": ratio, "outcome": verdict.outcome}
