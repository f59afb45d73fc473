"""The table of the built-in problems, from what the library says of them, for the page on problems."""

from __future__ import annotations

import inspect

from convergence import problems

__all__ = ["MARK", "table"]

MARK = "<!-- the problems of the library -->"
"""Where the table goes."""


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
