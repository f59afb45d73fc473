"""What the documentation lists of the built-in problems, from the library itself: a table, and the modules."""

from __future__ import annotations

import inspect

from convergence import problems

__all__ = ["MARK", "modules", "table"]

MARK = "<!-- the problems of the library -->"
"""Where they go: the table on the page on problems, the modules on that of the interface."""


def table() -> str:
    """A row for each problem: what it is, Λ with the default parameters, how tight it is, and its minimum."""
    rows = ["| name | function | Λ | reached by a search | minimum |", "| --- | --- | --- | --- | --- |"]
    for name in problems.available():
        kind = problems.factory(name)
        what = (inspect.getdoc(kind) or "").partition("\n")[0].replace("|", "\\|")
        reached = "all of it" if kind.tightness == 1 else f"{kind.tightness:.0%}"
        minimum = "exact" if kind.attains_minimum else "lower bound"
        rows.append(f"| `{name}` | {what} | {problems.get(name).smoothness:.4g} | {reached} | {minimum} |")
    return "\n".join(rows)


def modules() -> str:
    """The documentation of each problem's class, as reStructuredText."""
    kinds = [problems.factory(name) for name in problems.available()]
    return "\n".join(f".. automodule:: {kind.__module__}\n   :members: {kind.__name__}\n" for kind in kinds)
