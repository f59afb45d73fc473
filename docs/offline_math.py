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


_LONG, _PART, _SHEET = 48, 16, 60
"""Widths in letters: of a formula that is broken, of the least part of one, and of what fits a line on paper."""

_RELATIONS = frozenset("=≤≥<>≠→∈∀")


def _parts(math: ElementTree.Element) -> Iterator[str]:
    """A formula, broken before relations and sums, within brackets only where these are long themselves."""
    row = [*_row(math)] if _width(math) > _LONG else []
    if len(row) < 2:
        yield _written(math)
        return
    part, depth, last = ElementTree.Element("math", displaystyle="true"), 0, "("
    for node in row:
        sign = (node.text or "") if node.tag == "mo" else ""
        is_sum = sign != "" and sign in "+-−" and last not in _RELATIONS and last != "("
        if (node.tag == "mspace" or sign in _RELATIONS or is_sum) and _width(part) >= (_LONG if depth else _PART):
            yield _written(part)
            part = ElementTree.Element("math", displaystyle="true")
            if is_sum:
                node.set("form", "infix")
        depth += (sign == "(") - (_closes(node) == ")")
        part.append(node)
        last = sign
    yield _written(part)


def _row(node: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """What stands in a row; long rows within it are part of it, and a power of one is one of its closing bracket."""
    for child in node:
        if child.tag == "mrow" and _width(child) > _SHEET:
            yield from _row(child)
        elif child.tag in ("msup", "msub") and child[0].tag == "mrow" and _width(child) > _SHEET:
            *inner, closing = _row(child[0])
            power = ElementTree.Element(child.tag)
            power.extend([closing, *child[1:]])
            yield from (*inner, power)
        else:
            yield child


def _closes(node: ElementTree.Element) -> str:
    return (node[0] if node.tag in ("msup", "msub") else node).text or ""


def _width(node: ElementTree.Element) -> float:
    """About how wide a formula is, in letters."""
    inner = [_width(child) for child in node]
    match node.tag:
        case "mfrac" | "munder" | "mover" | "munderover":
            return max(inner)
        case "msub" | "msup":
            return inner[0] + 0.7 * inner[1]
        case "msubsup":
            return inner[0] + 0.7 * max(inner[1:])
        case "mspace":
            return 2 * float((node.get("width") or "0").removesuffix("em"))
        case "mo":
            return 1 + 1.2 * ((node.text or "") in _RELATIONS or (node.text or "") in "+-−")
    return sum(inner, len((node.text or "").strip()))


def _written(part: ElementTree.Element) -> str:
    """With its width, if it is for a sheet of paper to be set smaller."""
    if (width := _width(part)) > _SHEET:
        part.set("class", "wide")
        part.set("style", f"--letters: {width:.0f}")
    return ElementTree.tostring(part, encoding="unicode")


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
