"""A name of a formula is described in the reference by what it stands for: `PINSKER` by α·‖p - q‖₁²/2."""

from __future__ import annotations

from typing import Any

import sympy
from sympy.core.function import UndefinedFunction

from rdml_theory.symbolic import to_text
from rdml_theory.symbolic.kernel.propositions import Proposition


def formula(value: Any) -> str | None:
    """How what a name stands for is printed: symbols, expressions, propositions, and tuples of them; else None."""
    if isinstance(value, tuple) and value and all(isinstance(part, sympy.Basic) for part in value):
        return ", ".join(map(to_text, value))
    if isinstance(value, Proposition):
        return value.text()
    return to_text(value) if isinstance(value, sympy.Basic | UndefinedFunction) else None


def _keep(app: Any, what: str, name: str, value: Any, skipped: bool, options: Any) -> bool | None:
    return False if what == "module" and not name.startswith("_") and formula(value) else None


def _describe(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    if what == "data" and not lines and (text := formula(value)):
        lines[:] = [f"``{text}``"]


def setup(app: Any) -> dict[str, Any]:
    """Register what is to be done."""
    app.connect("autodoc-skip-member", _keep)
    app.connect("autodoc-process-docstring", _describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
