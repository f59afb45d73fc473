"""A name of a formula is described in the reference by what it stands for: `PINSKER` by α·‖p - q‖₁²/2.

Autodoc describes data by the docstring below it, which would only say the formula again.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import sympy
from sympy.core.function import UndefinedFunction

from rdml_theory.symbolic import to_text
from rdml_theory.symbolic.kernel.propositions import Proposition

__all__ = ["formula", "with_formulas"]


def formula(value: Any) -> str | None:
    """How what a name stands for is printed: symbols, expressions, propositions, and tuples of them; else None."""
    if isinstance(value, tuple) and value and all(isinstance(part, sympy.Basic) for part in value):
        return ", ".join(map(to_text, value))
    if isinstance(value, Proposition):
        return value.text()
    return to_text(value) if isinstance(value, sympy.Basic | UndefinedFunction) else None


def with_formulas(page: str) -> str:
    """A page of the reference with the formulas of each module that it takes whole, below that module.

    What has a docstring of its own is left to autodoc.
    """
    from sphinx.pycode import ModuleAnalyzer

    def described(found: re.Match[str]) -> str:
        module = import_module(found[1])
        analyzer = ModuleAnalyzer.for_module(found[1])
        texts = {n: formula(getattr(module, n)) for n in module.__all__ if ("", n) not in analyzer.find_attr_docs()}
        data = (f"\n.. py:data:: {n}\n   :module: {found[1]}\n\n   ``{t}``\n" for n, t in texts.items() if t)
        return found[0] + "".join(data)

    return re.sub(r"\.\. automodule:: (\S+)\n   :members:\n(?:   .*\n)*", described, page)
