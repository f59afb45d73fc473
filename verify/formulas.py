r"""Formulas of a report: LaTeX from the records, as MathML.

The LaTeX may come from anybody, and the converter knows commands that style, link and name (``\style``, ``\href``,
``\class``). So only the commands of a list are converted, and only the elements and attributes of another list leave:
whatever else is in a formula, it is shown as text. Length and depth are bounded, and reading takes linear time.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Literal
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element
from markupsafe import Markup

__all__ = ["MINUS", "mathml", "with_indices"]

_LONGEST, _DEEPEST, _TALLEST = 3_000, 24, 200
"""Characters of a formula, braces or fences within each other, and elements within each other: half again what the
theory needs, and more."""

_WORDS = r"""
alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma tau
upsilon phi varphi chi psi omega
Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar infty nabla partial top
log ln exp sin cos tan tanh sinh cosh arcsin arccos arctan max min sup inf lim limsup liminf limits arg det Pr
le ge ne leq geq neq lt gt leftarrow approx sim equiv propto to in notin subset subseteq cup cap forall exists mapsto
cdot times pm mp circ mid parallel ldots cdots dots
sum prod int frac tfrac dfrac sqrt binom bar hat tilde overline substack
left right lVert rVert lvert rvert Vert vert langle rangle lfloor rfloor lceil rceil
mathrm mathbb mathbf mathcal operatorname text quad qquad
"""
_COMMANDS = frozenset(_WORDS.split())
_SIGNS = frozenset(r",;:!{}|\ ")

_ELEMENTS = frozenset({
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup", "munder",
    "mover", "munderover", "mtable", "mtr", "mtd", "mstyle",
})  # fmt: skip
_ATTRIBUTES = {
    "fence": "true|false", "stretchy": "true|false", "symmetric": "false", "form": "prefix|infix|postfix",
    "movablelimits": "true|false", "accent": "true|false", "displaystyle": "true|false",
    "mathvariant": "normal|bold|italic|double-struck|script",
    "scriptlevel": "[0-2]", "width": r"-?[0-9]{0,2}(\.[0-9]{1,3})?em", "linethickness": "0(pt)?",
    "rowspacing": r"[0-9.]{1,6}em", "columnalign": "left|center|right",
}  # fmt: skip

_SIZES = re.compile(r"\\[bB]igg?[lrm]?(?![A-Za-z])")
"""Sizes of fences in TeX; in MathML fences grow by themselves."""

_TOKEN = re.compile(r"\\([A-Za-z]+|.)|[^\\]+", re.DOTALL)
_RELATIONS = frozenset({r"\le", r"\ge", r"\ne", r"\to", r"\in", r"\quad", r"\cdot", r"\left", r"\right"})


def mathml(latex: str, text: str, *, display: Literal["block", "inline"] = "inline") -> Markup:
    r"""A formula as MathML; the style sheets set formulas in a line in display style, too.

    Parameters
    ----------
    latex : str
        The formula.
    text : str
        The formula as a line of text, for readers of screens, and where the LaTeX is not converted.
    display : {"inline", "block"}
        Whether it stands in a line of words or in a line of its own.

    Examples
    --------
    >>> print(mathml("q^2", "q²"))
    <math alttext="q²"><msup><mi>q</mi><mn>2</mn></msup></math>
    >>> print(mathml(r"\href{https://example.org}{q} < 1", "q < 1"))
    <code>q &lt; 1</code>
    """
    latex = _SIZES.sub("", latex)
    tree = _element(latex) if _is_admissible(latex) else None
    if tree is None:
        return Markup("<code>{}</code>").format(text)
    _unwrap(tree)
    # In HTML the namespace is implied.
    tree.attrib.clear()
    tree.attrib.update({"display": "block", "alttext": text} if display == "block" else {"alttext": text})
    return Markup(ElementTree.tostring(tree, encoding="unicode"))


def _is_admissible(latex: str) -> bool:
    """Whether a formula is short, its braces balance, and all its commands are on the list."""
    if len(latex) > _LONGEST or "&" in latex or not latex.isprintable():
        return False
    depth = 0
    for token in _TOKEN.finditer(latex):
        command = token[1]
        if command is None:
            for brace in re.findall("[{}]", token[0]):
                depth += 1 if brace == "{" else -1
                if not 0 <= depth <= _DEEPEST:
                    return False
        elif command not in (_COMMANDS if command.isalpha() else _SIGNS):
            return False
    # The converter reads scripts recursively, too.
    nested = max(latex.count(r"\left"), latex.count(r"\right"))
    return depth == 0 and latex[-1:] != "\\" and nested <= 4 * _DEEPEST


def _prepared(latex: str) -> str:
    r"""LaTeX as the converter reads it best; the formula stays the same.

    >>> print(_prepared(r"y \le \max_i \alpha \tanh{\left(x_{i} \right)}"))
    y \le \max\limits_i \alpha \, \tanh{\left(x_{i} \right)}
    >>> print(_prepared(r"\left. x \right|_{\substack{ s=\frac{1}{2} }}"))
    \left. x \right|_{s=\frac{1}{2}}
    """
    latex = _without_substacks(re.sub(r"\s+", " ", latex))
    # In display style what a limit, a maximum or a sum runs over stands below it.
    latex = re.sub(r"\\(lim|max|min|sup|inf|sum|prod) ?_", r"\\\1\\limits_", latex)
    # A pair of fences, not two operators with space on both sides.
    if latex.count(r"\lVert") == latex.count(r"\rVert"):
        latex = latex.replace(r"\lVert", r"\left\lVert").replace(r"\rVert", r"\right\rVert")

    # TeX puts a thin space between a factor and a function's name.
    def spaced(match: re.Match[str]) -> str:
        return match[0] if match[1] in _RELATIONS else f"{match[1]} \\, {match[2]}"

    return re.sub(r"(\\[A-Za-z]+|[\w})]) (\\(?:log|exp|tanh|max|min)\b)", spaced, latex)


def _without_substacks(latex: str) -> str:
    r"""The same without ``\substack`` of a single line, which the converter would turn into a table."""
    opening = r"_{\substack{"
    out, start = [], 0
    while (found := latex.find(opening, start)) >= 0:
        begin = found + len(opening)
        end = _closing(latex, begin)
        rest = latex[end + 1 :].lstrip(" ") if end >= 0 else ""
        if end < 0 or not rest.startswith("}") or r"\\" in latex[begin:end] or opening in latex[begin:end]:
            out.append(latex[start:begin])
            start = begin
            continue
        out.append(latex[start:found] + "_{" + latex[begin:end].strip())
        start = len(latex) - len(rest)
    return "".join(out) + latex[start:]


def _closing(latex: str, begin: int) -> int:
    """Where the brace that is open at ``begin`` closes; -1 if it does not."""
    depth = 1
    for place in re.finditer(r"\\.|[{}]", latex[begin:]):
        depth += {"{": 1, "}": -1}.get(place[0], 0)
        if depth == 0:
            return begin + place.start()
    return -1


def _element(latex: str) -> ElementTree.Element | None:
    """The converted formula, or None if the converter left something of the LaTeX in it, or made what is not listed."""
    try:
        tree = convert_to_element(_prepared(latex), display="block")
    except Exception:
        # The converter's errors have no common base; any of them means that it could not read the formula.
        return None
    if _height(tree) > _TALLEST:
        return None
    for node in tree.iter():
        if node.tag not in _ELEMENTS or (node is not tree and not all(map(_is_listed, node.attrib.items()))):
            return None
        # It writes characters as references inside the text, to be unescaped after serialisation, which would let
        # markup through. Unescaped here, they are escaped properly when the tree is written.
        node.text = html.unescape(node.text) if node.text else node.text
        if node.text and "\\" in node.text:
            return None
    return tree


def _height(tree: ElementTree.Element) -> int:
    """How many elements are within each other, found without recursion."""
    height, layer = 0, [tree]
    while layer:
        height, layer = height + 1, [child for node in layer for child in node]
    return height


def _is_listed(attribute: tuple[str, str]) -> bool:
    name, value = attribute
    return name in _ATTRIBUTES and re.fullmatch(_ATTRIBUTES[name], value) is not None


_BRACKETS = frozenset("()[]{}")


def _unwrap(tree: ElementTree.Element) -> None:
    """Drop rows of a single element, which the converter makes of every pair of braces, and what brackets are anyway.

    A bracket that begins or ends a row is a fence that stretches, unless it says otherwise.
    """
    if tree.tag == "mo" and tree.text in _BRACKETS and tree.get("stretchy") == "true":
        tree.attrib.clear()
    if tree.tag == "mrow" and len(tree) > 1 and tree[0].text in _BRACKETS and tree.find(".//mfrac") is not None:
        # Around a fraction with a tall numerator, brackets as deep as they are high would hang below it.
        for fence in (tree[0], tree[-1]):
            fence.attrib = {"symmetric": "false"} if fence.tag == "mo" and fence.text in _BRACKETS else fence.attrib
    for place, child in enumerate(tree):
        _unwrap(child)
        if child.tag == "mrow" and len(child) == 1 and not child.attrib:
            tree[place] = child[0]


MINUS = re.compile(
    r"(?<![^\s(\[])-(?=[\d√]|[a-zα-ω](?![A-Za-z]))|(?<=[\dα-ω])-(?=[a-ce-zα-ω]\b|[Α-Ωα-ω])|(?<=[α-ω])-(?=\d)"
    r"|(?<=\([A-Z])-(?=[\da-z]\b)|(?<= )-(?= )"
)
"""A minus in a line of words, which is written there as a hyphen."""

_INDEX = r"[0-9½∞]+|[A-Za-zΑ-Ωα-ω]+"
_INDEXED = re.compile(
    rf"(?:(?<![A-Za-z_])[^\W\d_]|∂|\b(?:Cov|Var|max|min|inf|sum|sup))_(?P<sub>\{{[^{{}}]+\}}|\([^()]+\)|{_INDEX})"
    rf"|(?<=[\w)\]])\^(?P<sup>\{{[^{{}}]+\}}|\([^()]+\)|[-−]?(?:{_INDEX}))"
)


def with_indices(text: str) -> Iterator[tuple[Literal["text", "sub", "sup"], str]]:
    """A line of plain text in parts: what is an index or a power in it, and what is neither.

    Examples
    --------
    >>> list(with_indices("‖∇f(x_{t+1})‖ and q^(1−α)"))
    [('text', '‖∇f(x'), ('sub', 't+1'), ('text', ')‖ and q'), ('sup', '1−α')]
    >>> list(with_indices("∂_i f = c^{exp(a)}"))
    [('text', '∂'), ('sub', 'i'), ('text', ' f = c'), ('sup', 'exp(a)')]
    """
    end = 0
    for found in _INDEXED.finditer(text):
        kind: Literal["sub", "sup"] = "sub" if found["sub"] else "sup"
        # Outer braces and parentheses only say how far an index or a power reaches.
        if before := text[end : found.start(kind) - 1]:
            yield "text", before
        yield kind, found[kind][1:-1] if found[kind][0] in "{(" else found[kind]
        end = found.end()
    if text[end:]:
        yield "text", text[end:]
