"""Mathematics as MathML, which browsers draw without a network; a formula that cannot be converted ends the build."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from verify.formulas import mathml


def _converted(node: nodes.Element, display: Any) -> str:
    formula = " ".join(node.astext().split())
    converted = mathml(formula, formula, display=display)
    if not converted.startswith("<math"):
        raise ExtensionError(f"{node.source}: cannot be converted to MathML (see verify/formulas.py): {formula}")
    return converted


def _inline(translator: Any, node: nodes.Element) -> None:
    translator.body.append(_converted(node, "inline"))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.Element) -> None:
    translator.body.append(f'<div class="formula">{_converted(node, "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
