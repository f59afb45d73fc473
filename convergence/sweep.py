"""One cell of a sweep: a problem simulated at one setting, and how its average compares with the bound."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convergence import problems
from convergence.bounds import sharp_bound
from convergence.estimators import mean_interval
from convergence.sgd import MOST_STEPS, simulate
from convergence.verdict import check_bound

__all__ = ["Cell", "run_cell"]


_WORDS = {
    "float": "a number", "int": "an integer", "str": "a name",
    "Sequence[int]": "a list of integers (in a list: [[0, 4]])",
}  # fmt: skip


def _fits(value: Any, hint: str) -> bool:
    """Whether a value from a file is of the kind that a parameter's annotation names; arrays are lists."""
    if " | " in hint:
        return any(_fits(value, part) for part in hint.split(" | "))
    if hint in ("int", "float"):
        return isinstance(value, int if hint == "int" else int | float) and not isinstance(value, bool)
    if hint == "Sequence[int]":
        return isinstance(value, list | tuple) and all(_fits(one, "int") for one in value)
    return isinstance(value, {"str": str, "None": type(None)}.get(hint, (list, tuple, np.ndarray)))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one simulation of a sweep depends on, and nothing else.

    Parameters
    ----------
    problem : str
        One of :func:`convergence.problems.available`.
    parameters : mapping
        Of the problem: ``noise`` (σ²), ``bias`` (ζ²), ``order`` (α), ``beta`` (β), ``students`` (K), ``dim``, …
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
        size = self.step if self.h is None else self.h
        if isinstance(size, bool) or not isinstance(size, int | float) or not (np.isfinite(size) and size > 0):
            raise ValueError(f"step or h = {size!r}: expected a finite number > 0")
        for name, least, most in (
            ("steps", 1, MOST_STEPS), ("replicas", 8, 10**7), ("seed", 0, None), ("records", 1, 10**5),
        ):  # fmt: skip
            number = getattr(self, name)
            whole = isinstance(number, int) and not isinstance(number, bool)
            if not whole or number < least or (most is not None and number > most):
                allowed = f">= {least}" if most is None else f"between {least} and {most}"
                raise ValueError(f"{name} = {number!r}: expected an integer {allowed}")
        if self.problem not in problems.available():
            raise ValueError(
                f"problem = {self.problem!r}: no such problem; available are {', '.join(problems.available())}"
            )
        for name, hint in problems.parameters(self.problem).items():
            if name in self.parameters and not _fits(self.parameters[name], hint):
                words = " or ".join(
                    dict.fromkeys(_WORDS.get(part, "a list") for part in hint.split(" | ") if part != "None")
                )
                raise ValueError(f"{name} = {self.parameters[name]!r}: expected {words}")
        problems.get(self.problem, **self.parameters)

    def content(self) -> dict[str, Any]:
        """The cell as plain data; 1 and 1.0 are the same number."""
        size = {"h": float(self.h)} if self.step is None else {"step": float(self.step)}  # type: ignore[arg-type]
        whole = {name: getattr(self, name) for name in ("problem", "steps", "replicas", "seed", "records")}
        hints = problems.parameters(self.problem)
        parameters = {
            name: float(value) if isinstance(value, int) and "float" in hints[name].split(" | ") else value
            for name, value in sorted(self.parameters.items())
        }
        return whole | size | {"parameters": parameters}

    def key(self) -> str:
        """A digest of the content and of the sources and the NumPy that compute it."""
        document = json.dumps(self.content(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(f"{_sources()}/{np.__version__}/{document}".encode()).hexdigest()


def _sources() -> str:
    """A digest of this package's sources: a cell computed by others is computed anew."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


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
    result: dict[str, Any] = {
        "cell": cell.content(), "step": step, "h": step * problem.smoothness,
        "constants": {n: getattr(run.assumptions, n) for n in ("smoothness", "gap", "noise", "bias", "relative_bias")},
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
    return result | {"bound": float(bound), "ratio": verdict.observed / float(bound), "outcome": verdict.outcome}
