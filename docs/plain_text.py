"""What pages say in plain text is set as it is meant: x_t with an index, claims as links, numbers beside their units.

Code and formulas stay as they are, and on the page of a claim its own id is no link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from claim_pages import page_name
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from verify.claims import all_claims
from verify.formulas import MINUS, with_indices

_CODE = (nodes.literal, nodes.FixedTextElement, nodes.math, nodes.math_block, nodes.raw, addnodes.desc_signature)
_NOT_LINKED = (nodes.reference, nodes.title, nodes.caption, nodes.term)

_CLAIM = re.compile(rf"\b({'|'.join(sorted(all_claims(), key=len, reverse=True))})\b")

_STAY = "\N{NO-BREAK SPACE}"
_KEPT = (
    # A number and its unit, and short relations, end no line in between; a minus is no hyphen.
    (re.compile(r"(?<=\d) (?=(?:s|ms|min|minutes|[KM]i?B|GB|GiB|points|nats|pixels)\b)"), _STAY),
    (re.compile(r"(?<![^\s(\[])(\S{1,3}) ([=<>≤≥]) (?=\S{1,5}(?:[\s,.;:)\]]|$))"), f"\\1{_STAY}\\2{_STAY}"),
    (MINUS, "\N{MINUS SIGN}"),
)


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a text with what each is: "text", "claim", "sub" or "sup".

    >>> list(pieces("by C2, ‖∇f(x_{t+1})‖ ~ q^(1-h)"))
    [('text', 'by '), ('claim', 'C2'), ('text', ', ‖∇f(x'), ('sub', 't+1'), ('text', ')‖ ~ q'), ('sup', '1−h')]
    """
    for pattern, better in _KEPT:
        text = pattern.sub(better, text)
    for kind, words in with_indices(text):
        parts = enumerate(_CLAIM.split(words)) if kind == "text" else [(0, words)]
        yield from (("claim" if number % 2 else kind, part) for number, part in parts if part)


def _within(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, kinds):
            return True
    return False


def _set(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Set the texts of a page."""
    claims = all_claims()
    pages = {name: f"theory/generated/{page_name(claim)}" for name, claim in claims.items()}
    for text in list(doctree.findall(nodes.Text)):
        if _within(text, _CODE):
            continue
        linked = not _within(text, _NOT_LINKED)
        out: list[Any] = []
        for kind, words in pieces(str(text)):
            if kind == "sub":
                out.append(nodes.subscript("", words))
            elif kind == "sup":
                out.append(nodes.superscript("", words))
            elif kind == "claim" and linked and pages[words] != docname:
                where = app.builder.get_relative_uri(docname, pages[words])
                out.append(nodes.reference("", words, internal=True, refuri=where, reftitle=claims[words].message))
            else:
                out.append(nodes.Text(words))
        if any(not isinstance(node, nodes.Text) for node in out) or "".join(map(str, out)) != str(text):
            text.parent.replace(text, out)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register what is to be done."""
    app.connect("doctree-resolved", _set)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
