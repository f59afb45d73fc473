"""Mathematics as MathML, which browsers draw without a network; a formula that cannot be converted ends the build.

Browsers do not break formulas, and neither paper nor a small screen holds all of them: a long formula is several,
between which a line may end. What brackets hold together is a box, broken only where it is longer than a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
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
    math = ElementTree.fromstring(converted)
    parts = _broken(math)
    whole = [part for top in parts for part in top.iter("math")]
    # What is too wide for a small screen or a sheet of paper is set smaller there, as one.
    if (widest := max(map(_width, whole))) > _LINE:
        for part in whole:
            part.attrib |= {"class": "wide", "style": f"--letters: {widest:.0f}"}
    return "<wbr />".join(ElementTree.tostring(part, encoding="unicode") for part in parts)


_LINE, _PART, _LEAST, _SHEET = 30, 12, 6, 60
"""Widths in letters: of a line on a small screen, of what is broken off, of the least of it, and of a line on paper."""

_RELATIONS, _SUMS = frozenset("=≤≥<>≠→∈∀"), frozenset("+-−")
_PAIRS = {"(": ")", "[": "]", "{": "}", "⟨": "⟩", "‖": "‖", "|": "|"}
_BRACKETS = frozenset((*_PAIRS, *_PAIRS.values()))
_TALL = frozenset(("mfrac", "msup", "msqrt"))


def _broken(math: ElementTree.Element) -> list[ElementTree.Element]:
    """A formula as formulas in a line; within brackets, and between factors, it is broken only if they fill a line."""
    row = [*_row(math)] if _width(math) > _LINE else []
    levels = _levels(row)
    if not any(level is not None for level in levels[1:]):
        return [math]
    return _parts(row, levels, 0)


def _parts(row: Sequence[ElementTree.Element], levels: Sequence[int | None], least: int) -> list[ElementTree.Element]:
    """What a row is broken into at the first level from ``least`` that has breaks, and each part at the next one."""
    level = min((n for n in levels[1:] if n is not None and n >= least), default=None)
    if level is None or _length(row) <= _LINE:
        part = ElementTree.Element("math", displaystyle="true")
        part.extend(row)
        return [part]
    ends = [place for place, n in enumerate(levels) if n == level and place]
    groups = [0]
    for begin, end in pairwise([*ends, len(row)]):
        before = _length(row[groups[-1] : begin])
        if before >= _PART or (before >= _LEAST and before + _length(row[begin:end]) > _LINE):
            groups.append(begin)
    parts = []
    for begin, end in pairwise([*groups, len(row)]):
        inner = _parts(row[begin:end], levels[begin:end], level + 1)
        if len(inner) > 1 and len(groups) > 1:
            box = ElementTree.Element("span", {"class": "together"})
            for part in inner:
                box.extend([part, ElementTree.Element("wbr")])
            del box[-1]
            inner = [box]
        parts += inner
    return parts


def _levels(row: list[ElementTree.Element]) -> list[int | None]:
    """How reluctantly a line may end before each node of a row; None is never.

    It is 2d for relations and sums within d brackets that hold more than a few letters, and 2d + 1 for other factors.
    Brackets get the height of all that is within them, since a line may end there.
    """
    levels, open_, last = list[int | None](), list[int](), "("
    for place, node in enumerate(row):
        sign = _sign_of(node)
        is_sum = sign in _SUMS and last not in _RELATIONS and last not in _PAIRS
        if is_sum:
            node.set("form", "infix")
        if open_ and _sign_of(_closing(node)) == _PAIRS[_sign_of(row[open_[-1]])]:
            begin = open_.pop()
            _fix_brackets(row[begin], _closing(node), max(map(_height, row[begin + 1 : place]), default=1.0))
            if _length(row[begin:place]) < _PART:
                levels[begin + 1 :] = [None] * (place - begin - 1)
            levels.append(None)
        elif is_sum or sign in _RELATIONS or (last == "," and open_) or _parts_words(node):
            levels.append(2 * len(open_))
        else:
            after = row[place - 1].tag in _TALL or _end(row[place - 1], -1) in _PAIRS.values()
            factor = (after and (_end(node, 0) in _PAIRS or node.tag == "mfrac" or node.text in ("𝔼", "exp"))) or (
                node.tag in ("munder", "munderover") and last not in _RELATIONS | _SUMS | {*_PAIRS, "/"}
            )
            levels.append(2 * len(open_) + 1 if factor else None)
            if sign in _PAIRS:
                open_.append(place)
        last = sign
    return levels


def _sign_of(node: ElementTree.Element) -> str:
    """An operator or a bracket; of all else "letter"."""
    text = node.text or ""
    return text if node.tag == "mo" or text in _BRACKETS else "letter"


def _end(node: ElementTree.Element, place: int) -> str:
    """The sign that a formula begins with, or ends with: place 0 or -1; powers do not count."""
    if node.tag not in ("mrow", "msup", "msub") or not len(node):
        return _sign_of(node)
    return _end(node[place if node.tag == "mrow" else 0], place)


def _fix_brackets(opening: ElementTree.Element, closing: ElementTree.Element, height: float) -> None:
    for bracket, form in ((opening, "prefix"), (closing, "postfix")):
        bracket.tag = "mo"
        bracket.attrib.update(form=form, stretchy="true", minsize=f"{height:.1f}em", maxsize=f"{height:.1f}em")


def _parts_words(node: ElementTree.Element) -> bool:
    """A wide space, or words after a formula."""
    return (node.tag == "mspace" and _width(node) >= 1) or (node.tag == "mtext" and (node.text or "")[:1].isspace())


def _length(row: Sequence[ElementTree.Element]) -> float:
    return sum(map(_width, row))


def _row(node: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """What stands in a row; long rows within it are part of it, and a power of one is one of its closing bracket."""
    for child in node:
        if child.tag == "mrow" and _width(child) > _LINE:
            yield from _row(child)
        elif child.tag == "msup" and child[0].text == "e" and _width(child) > _LINE:
            yield from (_named("exp"), _sign("("), *_row(child[1]), _sign(")"))
        elif child.tag in ("msup", "msub") and child[0].tag == "mrow" and _width(child) > _LINE:
            *inner, closing = _row(child[0])
            yield from (*inner, _with_power(child, closing))
        elif child.tag in ("msup", "msub") and child[0].text in _BRACKETS:
            yield _with_power(child, child[0])
        elif child.tag == "mfrac" and _width(child) > _SHEET:
            above, below = child
            yield from (*_bracketed(above), _sign("/"), *_bracketed(below))
        else:
            yield child


def _with_power(node: ElementTree.Element, closing: ElementTree.Element) -> ElementTree.Element:
    """A bracket with a power, in a row of its own: Chromium lets no bracket grow that is itself what has the power."""
    power, base = ElementTree.Element(node.tag), ElementTree.Element("mrow")
    base.append(closing)
    power.extend([base, *node[1:]])
    return power


def _sign(text: str) -> ElementTree.Element:
    sign = ElementTree.Element("mo")
    sign.text = text
    return sign


def _named(text: str) -> ElementTree.Element:
    name = ElementTree.Element("mi")
    name.text = text
    return name


def _bracketed(node: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """A side of a fraction that is written in a line."""
    if node.tag == "mrow" and len(node) > 1:
        yield from (_sign("("), *_row(node), _sign(")"))
    else:
        yield node


def _closing(node: ElementTree.Element) -> ElementTree.Element:
    base = node[0] if node.tag in ("msup", "msub") else node
    return base[0] if base.tag == "mrow" and len(base) == 1 else base


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
