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
    parts = _parts(ElementTree.fromstring(converted))
    # What is too wide for a sheet of paper is set smaller there, as one.
    if (widest := max(map(_width, parts))) > _SHEET:
        for part in parts:
            part.attrib |= {"class": "wide", "style": f"--letters: {widest:.0f}"}
    return "<wbr>".join(ElementTree.tostring(part, encoding="unicode") for part in parts)


_LONG, _PART, _LEAST, _SHEET = 48, 16, 6, 60
"""Widths in letters: of a formula that is broken, of its parts, of the least of them, and of a line on paper."""

_RELATIONS = frozenset("=≤≥<>≠→∈∀")


def _parts(math: ElementTree.Element) -> list[ElementTree.Element]:
    """A formula, broken before relations and sums, within brackets only where these are long themselves."""
    row = [*_row(math)] if _width(math) > _LONG else []
    if len(row) < 2:
        return [math]
    _fix_brackets(row)
    parts = [ElementTree.Element("math", displaystyle="true")]
    for depth, piece in _pieces(row):
        before = _width(parts[-1])
        full = before >= _LEAST and before + sum(map(_width, piece)) > _SHEET
        if full or before >= (_LONG if depth else _PART):
            parts.append(ElementTree.Element("math", displaystyle="true"))
        parts[-1].extend(piece)
    return parts


def _pieces(row: list[ElementTree.Element]) -> Iterator[tuple[int, list[ElementTree.Element]]]:
    """What no line may end within, and how many brackets are open before it; products end lines only if they must."""
    piece, depth, before, last = list[ElementTree.Element](), 0, 0, "("
    for place, node in enumerate(row):
        sign = (node.text or "") if node.tag == "mo" else ""
        is_sum = sign != "" and sign in "+-−" and last not in _RELATIONS and last != "("
        factor = (sign == "(" or node.tag in ("munderover", "munder")) and last not in _RELATIONS | set("(+-−/")
        long = factor and sum(map(_width, piece)) >= _PART and sum(map(_width, row[place:])) > _PART
        wide_space = node.tag == "mspace" and _width(node) >= 1
        if piece and (wide_space or sign in _RELATIONS or is_sum or long):
            yield before, piece
            piece, before = [], depth
            if is_sum:
                node.set("form", "infix")
        depth += (sign == "(") - (_closes(node) == ")")
        piece.append(node)
        last = sign
    yield before, piece


def _row(node: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """What stands in a row; long rows within it are part of it, and a power of one is one of its closing bracket."""
    for child in node:
        if child.tag == "mrow" and _width(child) > _SHEET:
            yield from _row(child)
        elif child.tag in ("msup", "msub") and child[0].tag == "mrow" and _width(child) > _SHEET:
            *inner, closing = _row(child[0])
            # In a row of its own: Chromium lets no bracket grow that is itself what has the power.
            power, base = ElementTree.Element(child.tag), ElementTree.Element("mrow")
            base.append(closing)
            power.extend([base, *child[1:]])
            yield from (*inner, power)
        elif child.tag == "mfrac" and _width(child) > _SHEET:
            above, below = child
            yield from (*_bracketed(above), _sign("/"), *_bracketed(below))
        else:
            yield child


def _sign(text: str) -> ElementTree.Element:
    sign = ElementTree.Element("mo")
    sign.text = text
    return sign


def _bracketed(node: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """A side of a fraction that is written in a line."""
    if node.tag == "mrow" and len(node) > 1:
        yield from (_sign("("), *_row(node), _sign(")"))
    else:
        yield node


def _closing(node: ElementTree.Element) -> ElementTree.Element:
    base = node[0] if node.tag in ("msup", "msub") else node
    return base[0] if base.tag == "mrow" and len(base) == 1 else base


def _closes(node: ElementTree.Element) -> str:
    return _closing(node).text or ""


def _fix_brackets(row: list[ElementTree.Element]) -> None:
    """Give both brackets of a pair, between which a line may end, the height of all that is within them."""
    open_ = []
    for place, node in enumerate(row):
        if node.tag == "mo" and node.text == "(":
            open_.append(place)
        elif _closes(node) == ")" and open_:
            height = max((_height(inner) for inner in row[open_[-1] + 1 : place]), default=1.0)
            for bracket in (row[open_.pop()], _closing(node)):
                bracket.attrib.update(stretchy="true", minsize=f"{height:.1f}em", maxsize=f"{height:.1f}em")


def _height(node: ElementTree.Element) -> float:
    """About how tall a formula is, in the height of its letters."""
    inner = [_height(child) for child in node]
    match node.tag:
        case "mfrac":
            return sum(inner) + 0.2
        case "munder" | "mover" | "munderover":
            return inner[0] + 0.8 * sum(inner[1:])
        case "msub" | "msup" | "msubsup":
            return inner[0] + 0.3 * sum(inner[1:])
    return max(inner, default=1.1)


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
