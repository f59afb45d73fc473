"""What pages say in plain text is set as it is meant, and code is left alone."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest

pytest.importorskip("sphinx")

from docutils import nodes
from docutils.utils import new_document


@pytest.fixture(scope="module")
def plain_text():
    return importlib.import_module("plain_text")


def as_set(module, *content, docname="faq"):
    document = new_document("page")
    document += nodes.paragraph("", "", *content)
    app = SimpleNamespace(builder=SimpleNamespace(get_relative_uri=lambda _, target: target))
    module._set(app, document, docname)
    return document


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("w ∝ p^α q^(1−α)", [], ["α", "1−α"]),
        ("D_α(p ‖ q), Cov_q and ‖∇f(x_{t+1})‖², ζ_t²", ["α", "q", "t+1", "t"], []),
        ("L_k + βR_k, D_(1−α)(q ‖ p)", ["k", "k", "1−α"], []),
        ("a file lost_students_table.json or 1e-300, and h^2", [], ["2"]),
    ],
)
def test_indices_and_powers(text, low, high, plain_text):
    page = as_set(plain_text, nodes.Text(text))
    assert [node.astext() for node in page.findall(nodes.subscript)] == low
    assert [node.astext() for node in page.findall(nodes.superscript)] == high


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("took 127 s at h = 1, and", "took 127\xa0s at h\xa0=\xa01, and"),
        ("between -0.1 and 2-h, x - ηv", "between −0.1 and 2−h, x − ηv"),
        ("two 1-D CNNs, a 0-d tensor, a-priori, 1e-9", "two 1-D CNNs, a 0-d tensor, a-priori, 1e-9"),
    ],
)
def test_spaces_and_signs(text, kept, plain_text):
    assert as_set(plain_text, nodes.Text(text)).astext() == kept


def test_claims_are_links_but_on_their_own_page_and_in_code(plain_text):
    def links(*content, docname="faq"):
        return [
            (r.astext(), r["refuri"]) for r in as_set(plain_text, *content, docname=docname).findall(nodes.reference)
        ]

    name = "theory/generated/d8_self_bounding_gradient"
    assert links(nodes.Text("by D8, not by D80 or MD8")) == [("D8", name)]
    assert links(nodes.Text("by D8"), docname=name) == []
    assert links(nodes.literal("", "rdml run D8")) == []
    assert as_set(plain_text, nodes.literal("", "x_t - 2")).astext() == "x_t - 2"
