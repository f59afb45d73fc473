"""Mathematics as MathML, which browsers draw without a network; a formula that cannot be converted ends the build.

Browsers do not break formulas, and paper does not scroll: a long formula is several, between which a line may end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from verify.formulas import mathml


def _converted(node: nodes.Element, display: Any) -> str:
    formula = " ".join(node.astext().split())
    converted = mathml(formula, formula, display=display)
    if not converted.startswith("<math"):
        raise ExtensionError(f"{node.source}: cannot be converted to MathML (see verify/formulas.py): {formula}")
    return "<wbr>".join(_parts(ElementTree.fromstring(converted)))


_LONG, _PART = 48, 16
"""Letters of a formula that is broken, and of the least part of one."""

_RELATIONS = frozenset("=≤≥<>≠→∈∀")


def _parts(math: ElementTree.Element) -> Iterator[str]:
    """A formula, broken before the relations and sums that stand in no fraction, root or bracket."""
    row = [*(math[0] if len(math) == 1 and math[0].tag == "mrow" else math)]
    if _letters(math) <= _LONG or len(row) == 1:
        yield ElementTree.tostring(math, encoding="unicode")
        return
    part, depth, last = ElementTree.Element("math", displaystyle="true"), 0, ""
    for node in row:
        sign = node.text or "" if node.tag == "mo" else ""
        ends = node.tag == "mspace" or sign in _RELATIONS or (sign in "+-−" and last not in _RELATIONS)
        if ends and sign + node.tag and not depth and _letters(part) >= _PART:
            yield ElementTree.tostring(part, encoding="unicode")
            part = ElementTree.Element("math", displaystyle="true")
            if sign:
                node.set("form", "infix")
        depth += (sign in "([{") - (sign in ")]}") if sign else 0
        part.append(node)
        last = sign
    yield ElementTree.tostring(part, encoding="unicode")


def _letters(node: ElementTree.Element) -> int:
    return len("".join(node.itertext()).strip())


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
