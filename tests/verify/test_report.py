"""The report is one file that needs nothing else, shows everything the records say, and lets no markup through."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import re
import time
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from rdml_theory import symbolic
from rdml_theory.symbolic import to_latex, to_text
from rdml_theory.symbolic.kernel import Proof
from verify import formulas, plots, report
from verify.exports import differences, json_schema, junit
from verify.paragraphs import changed
from verify.records import (
    CertificateRecord,
    CheckRecord,
    ClaimRecord,
    Comparison,
    ControlRecord,
    Curve,
    Environment,
    Panel,
    RunRecord,
    Segment,
    Source,
    StepRecord,
    Summary,
)  # fmt: skip

HOSTILE = '<script>alert("1")</script> & <img src=x onerror=alert(2)>'

DERIVATIONS = {
    "student gradient": symbolic.student_gradient,
    "student Hessian": symbolic.student_hessian,
    "teacher gradient": symbolic.teacher_gradient,
    "derivative in the order": symbolic.alpha_derivative,
    "other gradients": symbolic.derivatives,
    "limits": symbolic.limits,
    "bounded gradient": symbolic.bounded_gradient,
    "plateau law": symbolic.plateau_law,
}


def segments(proof: Proof) -> tuple[Segment, ...]:
    formula = Segment(text=to_text(proof.statement), latex=to_latex(proof.statement))
    return (Segment(text="For every order, "), formula, Segment(text=", always."))


def environment(**changes: Any) -> Environment:
    values: dict[str, Any] = {
        "versions": {"numpy": "2.1.0", "rdml-theory": "0.1.0"}, "python": "3.11.7", "platform": "Linux",
        "processor": "A processor", "cores": 2, "commit": "abc123", "source_digest": "d1ge57",
        "started": "2026-01-01T00:00:00+00:00", "seconds": 61.25, "jobs": 2, "check_seconds": {"D1.numeric": 1.25},
    }  # fmt: skip
    return Environment(**values | changes)


def claim(**changes: Any) -> ClaimRecord:
    derivation = symbolic.teacher_gradient()
    steps = tuple(
        StepRecord(
            reason=line.theorem.reason, text=line.theorem.conclusion.text(), latex=line.theorem.conclusion.latex(),
            outcome="confirmed",
        )
        for line in derivation.lines
    )  # fmt: skip
    numeric = Comparison(
        name="distance", outcome="confirmed", relation="≤", observed=1.23456789e-13, allowed=1e-12, margin=0.876543211,
        samples=60,
    )  # fmt: skip
    statistical = Comparison(
        name="mean", outcome="confirmed", relation="∈", observed=0.5, allowed=0.51, margin=0.01, interval=(0.49, 0.525),
        error_rate=8e-6, samples=1024,
    )  # fmt: skip
    checks = (
        CheckRecord(
            id="symbolic", kind="symbolic", question="Does it hold?", outcome="confirmed", error_rate=0.0, steps=steps,
            comparisons=(Comparison(name="joints", outcome="confirmed", relation="holds"),),
        ),
        CheckRecord(
            id="sampling", kind="monte-carlo", question="Does `renyi_gradient` agree?", outcome="confirmed",
            error_rate=8e-6, comparisons=(numeric, statistical),
        ),
    )  # fmt: skip
    worse = numeric.model_copy(
        update={"name": "the decisive one", "outcome": "refuted", "observed": 2.5, "margin": -2.5e12}
    )
    slight = worse.model_copy(update={"name": "the slight one", "margin": -1.0})
    false_step = steps[-1].model_copy(update={"outcome": "refuted"})
    judged = (
        checks[0].model_copy(update={"outcome": "refuted", "steps": (*steps[:-1], false_step)}),
        checks[1].model_copy(update={"outcome": "refuted", "comparisons": (slight, worse)}),
    )
    controls = (
        ControlRecord(
            id="sign", falsehood="the sign of w flipped", statement=segments(derivation), outcome="refuted",
            checks=judged,
        ),
        ControlRecord(
            id="other", falsehood="another falsehood", statement=segments(derivation), outcome="refuted",
            checks=(judged[0], checks[1]),
        ),
    )  # fmt: skip
    curve = Curve(label="measured", role="measured", x=(1.0, 2.0), y=(1.0, 4.0))
    values: dict[str, Any] = {
        "id": "D1", "title": "Student gradient", "direction": "equality", "statement": segments(derivation),
        "assumptions": ("p and q positive", "α finite"),
        "source": Source(work="A. Uthor 2023", arxiv="2209.05732", own=True), "outcome": "confirmed",
        "error_rate": 8e-6, "margin": 0.01, "checks": checks, "controls": controls, "caption": "What is to be seen.",
        "panels": (Panel(title="a panel", x_label="x", y_label="y", curves=(curve,)),),
    }  # fmt: skip
    return ClaimRecord(**values | changes)


def run(*claims: ClaimRecord, **changes: Any) -> RunRecord:
    outcomes = [c.outcome for c in claims]
    controls = [k.outcome for c in claims for k in c.controls]
    kinds: Any = ("confirmed", "refuted", "undecided")
    values: dict[str, Any] = {
        "profile": "quick", "seed": 7, "error_rate": 1e-3, "statistical_tests": 125, "claims": claims,
        "summary": Summary(
            claims={k: outcomes.count(k) for k in kinds}, controls={k: controls.count(k) for k in kinds}, exit_code=0
        ),
        "environment": environment(),
    }  # fmt: skip
    return RunRecord(**values | changes)


class Reader(HTMLParser):
    """Checks that tags balance, and collects what is asked about."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input"})

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"<{tag}> repeats an attribute"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


@pytest.fixture(scope="module")
def document() -> str:
    return report.render_report(run(claim(), claim(id="D9", title="Without a figure", panels=())))


@pytest.fixture(scope="module")
def page(document: str) -> Reader:
    return Reader(document)


def test_it_is_well_formed_and_has_the_marks_of_an_accessible_page(document: str, page: Reader) -> None:
    assert document.startswith("<!DOCTYPE html>")
    assert page.of("html") == [{"lang": "en"}]
    assert [tag for tag, _ in page.tags if tag == "h1"] == ["h1"]
    assert all(a.get("scope") in ("row", "col") for a in page.of("th"))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in page.of("a") if (a["href"] or "").startswith("#")} <= {f"#{i}" for i in ids}
    assert all(a["aria-labelledby"] in ids for _, a in page.tags if "aria-labelledby" in a)


def test_it_needs_no_network(page: Reader, document: str) -> None:
    assert not page.of("script")
    assert not page.of("link")
    sources = [a["src"] or "" for _, a in page.tags if "src" in a]
    assert sources
    assert all(s.startswith("data:image/webp;base64,") for s in sources)
    links = [a["href"] or "" for a in page.of("a")]
    assert {x for x in links if not x.startswith("#")} == {"https://arxiv.org/abs/2209.05732"}
    without = re.sub(r'src="data:[^"]*"|href="https://arxiv.org/abs/[^"]*"', "", document)
    assert "http:" not in without
    assert "https:" not in without
    assert "@import" not in without
    assert re.findall(r"url\([^)]*\)", without) == []


def test_the_figure_is_a_picture_with_its_caption(page: Reader) -> None:
    (image,) = page.of("img")
    assert image["alt"] == "What is to be seen."
    shown = Image.open(io.BytesIO(base64.b64decode((image["src"] or "").partition(",")[2])))
    drawn = Image.open(io.BytesIO(plots.render_all(run(claim()), formats=("png",))["D1"]["png"])).convert("RGB")
    assert (shown.format, shown.size) == ("WEBP", drawn.size)
    # Few colours, but no other picture: the ones that it is drawn in.
    few, many = ({colour: n for n, colour in image.convert("RGB").getcolors(10**6)} for image in (shown, drawn))
    assert len(few) < 30 < len(many)
    curve = tuple(bytes.fromhex("0072B2"))
    assert few[curve] >= many[curve] > 100
    assert float(np.abs(np.asarray(shown.convert("RGB"), int) - np.asarray(drawn, int)).mean()) < 1


def test_it_says_what_came_out(page: Reader) -> None:
    assert "2 of 2 claims confirmed; 4 of 4 negative controls refuted, as they must be." in page.text
    assert "shared equally among all 125 statistical comparisons" in page.text
    assert "8 × 10−6 each" in page.text
    assert "2 of 2 refuted" in page.text
    assert "✓ confirmed" in page.text
    assert "✗ refuted" in page.text
    assert (
        "Assuming p and q positive; α finite" in page.text.replace("\n", " ")
        or "p and q positive; α finite" in page.text
    )
    assert "A. Uthor 2023, arXiv:2209.05732 this toolkit’s own" in page.text
    steps = len(symbolic.teacher_gradient().lines)
    assert f"Proof: {steps} of {steps} steps verified" in page.text
    for fact in (
        "abc123",
        "d1ge57",
        "7, quick",
        "3.11.7",
        "numpy",
        "2.1.0",
        "A processor, 2 cores",
        "61.2 s",
        "D1.numeric",
    ):
        assert fact in page.text


def test_numbers_are_short_and_their_titles_are_full(document: str, page: Reader) -> None:
    assert '<span title="1.23456789e-13">1.235\xa0×\xa010<sup>−13</sup></span>' in document
    assert '<span title="0.876543211">0.877</span>' in document
    assert "[0.49, 0.525]" in page.text
    assert "1024" in page.text


def test_a_negative_control_tells_what_refuted_it(page: Reader) -> None:
    assert "the sign of w flipped" in page.text
    step = "collect: the weights that appear are those of the escort"
    assert f"Refuted by the symbolic check: the step “{step}” does not hold" in page.text
    assert "Refuted by the monte-carlo check sampling: the decisive one, observed 2.5, needed ≤ 1 × 10−12" in page.text
    assert "the slight one, observed" not in page.text
    assert "Not refuted by the monte-carlo check sampling: confirmed" in page.text


@pytest.mark.parametrize("name", DERIVATIONS)
def test_every_formula_of_the_theory_becomes_mathml(name: str) -> None:
    for formula in (theorem.conclusion.relation() for theorem in DERIVATIONS[name]().theorems):
        markup = str(formulas.mathml(to_latex(formula), to_text(formula)))
        tree = ElementTree.fromstring(markup)
        assert tree.tag == "math"
        assert tree.get("alttext") == to_text(formula)
        assert "\\" not in "".join(tree.itertext())
        assert "{" not in "".join(tree.itertext())
        # The converter's table for one-line substacks, and operators without brackets around norms.
        assert not list(tree.iter("mtable"))
        fences = [e.get("form") for e in tree.iter("mo") if e.text == "‖"]
        assert fences.count("prefix") == fences.count("postfix") == len(fences) / 2


def test_formulas_are_read_as_meant() -> None:
    def words(latex: str) -> str:
        return str(formulas.mathml(latex, "x"))

    assert "<munder><mo>lim</mo>" in words(r"\lim_{\alpha \to 0^+} x")
    assert "<munder><mo>max</mo>" in words(r"\max_i \tfrac{p_i}{q_i}")
    assert "<munderover><mo>∑</mo>" in words(r"\sum_{i=1}^{C} x_{i}")
    assert "<munder><mo>∑</mo>" in words(r"\tfrac{1}{\sum_{i} x}")
    assert '<mspace width="0.167em" /><mi>tanh</mi>' in words(r"\sqrt{2} \tanh{\left(x \right)}")
    assert "<mspace" not in words(r"1 + \tanh{\left(x \right)}")
    at = words(r"\left. x \right|_{\substack{ s=\frac{1}{y + 2} }}")
    assert "mtable" not in at
    assert "<mfrac>" in at


def test_punctuation_stays_with_its_formula() -> None:
    out = str(report._sentence([Segment(text="Let "), Segment(text="x", latex="x"), Segment(text=", then; so.")]))
    assert out.startswith("Let ")
    assert out.endswith(",</span> then; so.")


def test_what_the_converter_cannot_read_is_shown_as_text() -> None:
    assert str(formulas.mathml(r"\nonsense{x", "x < y")) == "<code>x &lt; y</code>"
    assert str(formulas.mathml(r"\nonsense", "x")) == "<code>x</code>"


def test_nothing_in_the_records_is_taken_as_markup() -> None:
    hostile_segments = (Segment(text=HOSTILE), Segment(text=HOSTILE, latex=r"x < \text{<script>alert(3)</script>}"))
    base = claim()
    comparison = Comparison(name=HOSTILE, outcome="refuted", relation="≤", observed=1.0, allowed=0.0)
    step = StepRecord(reason=HOSTILE, text=HOSTILE, latex=r"\unknown <script>", outcome="refuted")
    check = base.checks[0].model_copy(
        update={
            "question": HOSTILE,
            "id": HOSTILE,
            "comparisons": (comparison,),
            "steps": (step,),
            "outcome": "refuted",
        }
    )
    symbolic_only = check.model_copy(update={"comparisons": ()})
    control = ControlRecord(
        id=HOSTILE, falsehood=HOSTILE, statement=hostile_segments, outcome="confirmed", checks=(check, symbolic_only)
    )
    bad = claim(
        id=HOSTILE, title=HOSTILE, message=HOSTILE, meaning=HOSTILE, matters=HOSTILE, statement=hostile_segments,
        assumptions=(HOSTILE,), caption=HOSTILE, checks=(check,),
        controls=(control,), source=Source(work=HOSTILE, arxiv='1" onclick="alert(4)'),
        panels=(Panel(title=HOSTILE, x_label=HOSTILE, y_label=HOSTILE, curves=base.panels[0].curves),),
    )  # fmt: skip
    facts = environment(
        versions={HOSTILE: HOSTILE}, python=HOSTILE, platform=HOSTILE, processor=HOSTILE, commit=HOSTILE,
        source_digest=HOSTILE, started=HOSTILE, check_seconds={HOSTILE: 1.0},
    )  # fmt: skip
    document = report.render_report(run(bad, environment=facts))
    page = Reader(document)
    assert "<script" not in document
    assert not page.of("script")
    assert [a.get("alt") for a in page.of("img")] == [HOSTILE]
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not [a for a in page.of("a") if not re.match("#(claim-|environment$)", a["href"] or "")]
    assert HOSTILE in page.text
    assert "alert(3)" in page.text


HOSTILE_LATEX = [
    r"\style{position:fixed;inset:0;background:url(https://example.org/x.png)}{x}",
    r"\href{javascript:alert(1)}{x}",
    r"\class{keep}{x}",
    r"\unicode{x41}",
    r"\require{html}x",
    r"\newcommand{\x}{y}\x",
    r"\color{red}x",
    r"\rule{99em}{99em}",
    r"\hspace{9999em}x",
    r"\begin{array}{c}x\end{array}",
    "x & y",
    "\N{RIGHT-TO-LEFT OVERRIDE}x",
    "x\\",
    "}{",
    "{" * 40 + "x" + "}" * 40,
    "x" * 100_000,
    r"_{\substack{" + " " * 800,
    r"_{\substack{" * 200,
    # the converter puts each into the one before
    r"\substack{x}" * 240,
]


@pytest.mark.parametrize("latex", HOSTILE_LATEX)
def test_latex_beyond_the_list_is_shown_as_text(latex: str) -> None:
    begin = time.process_time()
    assert str(formulas.mathml(latex, "x < y")) == "<code>x &lt; y</code>"
    assert time.process_time() - begin < 5  # it took minutes; a collection of a worker's garbage alone takes a second


@pytest.mark.parametrize("seed", [0, 1, pytest.param(None, marks=pytest.mark.slow)])
def test_listed_commands_in_any_order_give_listed_elements_in_time(seed: int | None) -> None:
    """Formulas made of what is allowed, in no order: nothing but listed markup, each within a fraction of a second."""
    seed = random.randrange(2**32) if seed is None else seed
    rng = random.Random(seed)
    parts = [f"\\{c} " for c in sorted(formulas._COMMANDS)] + ["{", "}", "_", "^", "(", ")", "x", "1", " ", "'", "<b>"]
    converted = 0
    for _ in range(150):
        chosen = [*rng.sample(parts, 6), "{", "}", "x"]
        latex = "".join(rng.choice(chosen) for _ in range(rng.choice([4, 12, 40, 1_000])))
        begin = time.process_time()
        markup = str(formulas.mathml(latex, "T"))
        assert time.process_time() - begin < 2, (seed, latex)
        tree = ElementTree.fromstring(markup)
        converted += tree.tag == "math"
        for node in tree.iter():
            assert node.tag in {*formulas._ELEMENTS, "code"}, (seed, latex)
            assert set(node.attrib) <= {*formulas._ATTRIBUTES, "display", "alttext"}, (seed, latex)
    assert converted > 10


def test_a_browser_may_show_the_page_and_nothing_else(document: str, page: Reader) -> None:
    """No script, no request, no style but the sheet, whose digest the policy names."""
    (policy,) = [a["content"] or "" for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    style = re.search(r"<style>(.*?)</style>", document, re.DOTALL)
    assert style is not None
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in policy
    assert document.index("Content-Security-Policy") < document.index("<style>")
    assert not [attributes for _, attributes in page.tags if "style" in attributes]


def test_the_first_page_says_what_is_not_confirmed_and_what_is_in_words() -> None:
    sayable = {"message": "A message for the first page", "id": "C2"}
    good, bad = claim(**sayable, panels=()), claim(id="D7", outcome="refuted", message="Said by nobody", panels=())
    document = report.render_report(run(bad, good, claim(id="Z1", panels=())))
    text = Reader(document).text
    first = text[: text.index("Show all claims")]
    assert first.index("What is not confirmed D7 ✗ refuted: Said by nobody") < first.index(
        "A message for the first page."
    )
    assert first.count("Said by nobody") == 1
    assert "Biased SGD A message for the first page. 1 of 1 confirmed." in first
    assert "Divergence 0 of 1 confirmed." in first
    assert "Other 1 of 1 confirmed." in first
    good = Reader(report.render_report(run(claim(panels=())))).text
    assert "What is not confirmed" not in good[: good.index("Show all claims")]


def test_a_sentence_of_the_abstract_gets_its_verdict_only_if_all_of_its_claims_hold() -> None:
    sentence = next(s for s in report.abstract() if s.claims == ("G1", "N6"))
    says = sentence.says.replace('"', "“", 1).replace('"', "”")

    def said(*claims: ClaimRecord) -> str:
        return Reader(report.render_report(run(*claims))).text

    good = claim(id="G1", panels=()), claim(id="N6", panels=())
    assert f"{says} {sentence.verdict} G1 N6" in said(*good)
    assert sentence.remains in said(*good)
    bad = said(good[0], claim(id="N6", outcome="refuted", panels=()))
    assert f"{says} not borne out by N6 G1 N6" in bad
    some = said(good[0])
    assert f"{says} open here: N6 not run G1 N6" in some
    for text in (bad, some):
        assert sentence.verdict not in text
        assert sentence.remains not in text
    lazy = claim().controls[0].model_copy(update={"outcome": "confirmed"})
    assert "true on CPUs benchmarks" in some
    assert "not borne out by N6" in said(good[0], claim(id="N6", controls=(lazy,), panels=()))
    assert "The paper’s abstract" in some
    assert "The paper’s abstract" not in said(claim(panels=()))  # none of its claims was run


def test_what_stands_behind_a_claim_is_said() -> None:
    whole = claim()
    controls = tuple(control.model_copy(update={"checks": control.checks[1:]}) for control in whole.controls)
    measured = claim(id="D9", checks=whole.checks[1:], controls=controls, panels=())
    page = Reader(report.render_report(run(claim(panels=()), measured)))
    assert "D1 · Student gradient ✓ confirmed · equality, a theorem of the proof kernel" in page.text
    assert "D9 · Student gradient ✓ confirmed · equality, measured, not proved" in page.text


def test_filters_need_no_script_and_hide_what_they_say(document: str, page: Reader) -> None:
    style = re.search(r"<style>(.*?)</style>", document, re.DOTALL)
    assert style is not None
    boxes = [a["id"] or "" for a in page.of("input")]
    assert boxes[0] == "which-all"
    for box in boxes[1:]:
        kind = box.removeprefix("which-")
        assert f"body:has(#{box}:checked) .claim:not(.{kind})" in style[1]
        assert f"body:has(#{box}:checked) .group:not(:has(.claim.{kind}))" in style[1]
    classes = [(a["class"] or "").split() for a in page.of("article")]
    assert classes == [["claim", "own", "measured"]] * 2
    lazy = claim().controls[0].model_copy(update={"outcome": "undecided"})
    opened = Reader(report.render_report(run(claim(controls=(lazy,), direction="tight", panels=()))))
    assert (opened.of("article")[0]["class"] or "").split() == ["claim", "open", "own", "tight", "measured"]
    assert ("what is not confirmed (0)" in page.text, "what is not confirmed (1)" in opened.text) == (True, True)


def test_evidence_is_folded_and_paper_has_the_figures() -> None:
    document = report.render_report(run(claim()))
    assert document.index("What is to be seen.") > document.index('<details class="picture">')
    assert document.index("Checks</h4>") > document.index('<details class="evidence-of">')
    paper = document[document.index("@media print") :]
    assert re.search(r"details\.picture::details-content, [^{]*\{ content-visibility: visible", paper)
    assert re.search(r"details\.evidence-of, [^{]*\{ display: none", paper)


def test_an_and_behind_a_displayed_formula_stands_apart() -> None:
    long = Segment(text=f"{'x' * 40} = 1", latex="x = 1")
    shown = report._statement((long, Segment(text=" and "), long, Segment(text=", and "), long))
    assert re.findall(r"</math>(,?)</span>(\W*and)</span>", shown) == [("", "\N{EM SPACE}and"), (",", " and")]


def test_a_negative_control_shows_the_formulas_that_differ() -> None:
    same, other, new, short, two = (Segment(text=t, latex=t) for t in ("a = 1", "b = 1", "c = 1", "∞", "2"))
    words, first = Segment(text=", where "), Segment(text="First.\nThen ")
    assert changed((new, words, same), (other, words, same)) == [new]
    assert changed((short, words, same), (other, words, same)) == [short, words, same]
    assert changed((first, short), (first, same)) == [Segment(text="Then "), short]
    assert changed((new, Segment(text=" if "), same), (other, words, same)) == [new, Segment(text=" if "), same]
    assert changed((two, words, same), (other, words, same)) == []


def test_what_did_not_come_out_as_it_should_stands_out() -> None:
    lazy = claim().controls[0].model_copy(update={"outcome": "undecided"})
    document = report.render_report(
        run(
            claim(outcome="refuted", margin=-0.5, panels=()),
            claim(id="D2", outcome="undecided", margin=None, controls=(lazy,), panels=()),
        )
    )
    text = Reader(document).text
    assert (
        "0 of 2 claims confirmed, 1 refuted, 1 undecided; 2 of 3 negative controls refuted, as they must be, "
        "but 1 undecided." in text
    )
    assert '<span class="outcome bad"><span aria-hidden="true">✗</span> refuted</span>' in document
    assert '<span class="outcome open"><span aria-hidden="true">?</span> undecided</span>' in document
    assert "0 of 1 refuted" in text


def certificates(outcome: str, evidence: str) -> CheckRecord:
    certificate = CertificateRecord(
        kind="smt", reason="a square", text="x² + 1 ≥ 2·x for x in [0, ∞)",
        latex=r"x^{2} + 1 \ge 2 x \quad x \in [0, 1)", evidence=evidence, digest="0123456789abcdef", outcome=outcome,
    )  # fmt: skip
    alone = certificate.model_copy(update={"reason": "another", "kind": "balls"})
    step = StepRecord(reason="a square", text="x² + 1 ≥ 2·x", latex=r"x^{2} + 1 \ge 2 x", outcome=outcome)
    searched = Comparison(
        name="greatest ratio", outcome="confirmed", relation="≤", observed=0.9999, allowed=1.0, margin=1e-4,
        where="C = 2, α = 0.5",
    )  # fmt: skip
    return CheckRecord(
        id="symbolic", kind="symbolic", question="?", outcome=outcome, error_rate=0.0, comparisons=(searched,),
        steps=(step,), certificates=(certificate, alone),
    )  # fmt: skip


def test_certificates_and_tightness_are_shown() -> None:
    good = certificates("confirmed", "its negation is unsatisfiable")
    bad = certificates("refuted", "fails at x = 2")
    control = ControlRecord(id="half", falsehood="half", statement=(), outcome="refuted", checks=(bad,))
    document = report.render_report(run(claim(checks=(good,), controls=(control,), panels=())))
    text = Reader(document).text
    assert "Proof: 1 of 1 step verified, 1 by an SMT solver, 1 by ball arithmetic" in text
    assert text.count("By an SMT solver: its negation is unsatisfiable 0123456789abcdef") == 1
    assert "Certificates: 1 by ball arithmetic" in text
    assert "By ball arithmetic: its negation is unsatisfiable" in text
    assert '<code class="line">x² + 1 ≥ 2·x for x in [0, ∞)</code>' in document
    assert "the step “a square” does not hold" in text
    assert "It fails at x = 2." in text
    assert "Tightness" in text
    assert "greatest ratio 0.9999, at C = 2, α = 0.5" in text
    assert "Tightness" not in Reader(report.render_report(run(claim()))).text


def test_the_evidence_of_a_lemma_is_shown_once() -> None:
    good = certificates("confirmed", "its negation is unsatisfiable")
    other = certificates("confirmed", "another evidence")
    checks = {"D1": good, "D2": good, "D3": other}
    claims = [claim(id=name, checks=(check,), controls=(), panels=()) for name, check in checks.items()]
    text = Reader(report.render_report(run(*claims))).text
    assert text.count("By an SMT solver: its negation is unsatisfiable") == 1
    assert text.count("By an SMT solver, as for D1.") == 1
    assert text.count("By an SMT solver: another evidence") == 1


def test_odd_numbers_and_empty_runs() -> None:
    odd = Comparison(
        name="odd", outcome="refuted", relation="≤", observed=float("nan"), allowed=float("inf"), margin=float("-inf")
    )
    check = claim().checks[1].model_copy(update={"comparisons": (odd,), "outcome": "refuted"})
    text = Reader(report.render_report(run(claim(checks=(check,), controls=(), panels=())))).text
    assert "undefined" in text
    assert "−∞" in text
    empty = Reader(
        report.render_report(run(statistical_tests=0, environment=environment(commit=None, check_seconds={})))
    )
    assert "it makes no statistical comparison" in empty.text
    assert "not run from a checkout" in empty.text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"), (-3.0, "−3"), (12345.678, "12346"), (0.0012345, "0.00123"), (0.00012345, "1.23\xa0×\xa010−4"),
        (-2.5e12, "−2.5\xa0×\xa01012"), (99999.0, "99999"), (1e5, "1\xa0×\xa0105"), (0.9999, "1"), (123.456, "123"),
    ],
)  # fmt: skip
def test_numbers(value: float, shown: str) -> None:
    markup = str(report.number(value))
    assert re.sub(r"<[^>]*>", "", markup) == shown


def test_a_report_of_thirty_claims_is_light() -> None:
    assert 30 * len(report.render_report(run(claim())).encode()) < 3_000_000


def test_a_check_that_refutes_nothing_is_named() -> None:
    plain = run(claim())
    vacuous = plain.model_copy(update={"summary": plain.summary.model_copy(update={"vacuous": ("D1.numeric",)})})
    assert "refute no negative control" not in report.render_report(plain)
    assert "refute no negative control, so that what they confirm says little: D1.numeric." in report.render_report(
        vacuous
    )


# What a run says to other programs: a schema that its own records keep, JUnit XML, and differences of two runs.


def test_the_schema_names_every_field_and_fits_the_record():
    schema = json.loads(json_schema())
    record = json.loads(run(claim()).model_dump_json())
    assert set(schema["properties"]) == set(record)
    assert set(schema["$defs"]["ClaimRecord"]["properties"]) == set(record["claims"][0])
    assert schema["additionalProperties"] is False


def test_junit_tells_failures_from_what_is_not_settled():
    base = claim()
    lazy = base.controls[0].model_copy(update={"outcome": "confirmed"})
    open_check = base.checks[0].model_copy(update={"outcome": "undecided"})
    bad_check = base.checks[1].model_copy(update={"outcome": "refuted"})
    tree = ElementTree.fromstring(junit(run(base, claim(id="D2", checks=(open_check, bad_check), controls=(lazy,)))))
    good, bad = tree
    assert (good.get("tests"), good.get("failures"), good.get("errors")) == ("4", "0", "0")
    assert (bad.get("tests"), bad.get("failures"), bad.get("errors")) == ("3", "2", "1")
    assert [case.get("name") for case in bad if case.find("failure") is not None] == [
        "sampling",
        "negative control sign",
    ]
    assert "undecided" in (bad[0].find("error").get("message") or "")


def test_nothing_in_the_records_is_taken_as_xml():
    text = junit(run(claim(title=HOSTILE + "\x00\x0b", outcome="refuted")))
    assert "<script" not in text
    assert ElementTree.fromstring(text)[0].get("name") == f"D1 {HOSTILE}\ufffd\ufffd"


def test_differences_of_two_runs():
    base = claim(margin=0.4)
    assert differences(run(base), run(base)) == []

    def said(**changes):
        return [(d.says, d.worse) for d in differences(run(base), run(claim(**{"margin": 0.4, **changes})))]

    assert said(outcome="refuted") == [("confirmed, now refuted", True)]
    assert said(margin=0.1) == [("margin 0.4, now 0.1", False)]
    assert said(margin=0.3) == []
    assert said(statement=()) == [("the statement has changed", False)]
    assert said(controls=base.controls[:1]) == [("negative control other is gone", False)]
    lazy = base.controls[0].model_copy(update={"outcome": "undecided"})
    assert said(controls=(lazy, base.controls[1])) == [("negative control sign refuted, now undecided", True)]
    other = run(claim(id="D2"))
    assert {(d.claim, d.says) for d in differences(run(base), other)} == {
        ("D1", "only in the first run"), ("D2", "only in the second run"),
    }  # fmt: skip
