"""The registry, and a quick run of each claim: confirmed, its controls refuted, every check able to refute."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from drawn import faults_of_figure

from convergence import detectable_violation, train_cohort
from rdml_theory.symbolic.kernel import Proof
from verify.claim import Check, Claim, Control, Finding, Source, Statement
from verify.claims import all_claims, statistical_tests
from verify.claims.c5_plateau_law import STEPS, _cohort
from verify.context import Context
from verify.plots import figure_of
from verify.records import Comparison, place_of
from verify.runner import RunSettings, _record, _run_unit, as_stated, run_claims

IDS = list(all_claims())

QUICK = {"D1", "D12", "D14", "C1", "C2a", "C2d", "C14", "X2"}
"""A claim of each kind, of a few seconds at most; `make verify` and `make test-full` run all."""


def test_registry_order_and_content():
    claims = all_claims()
    assert {"D1", "D2", "D3", "D5", "D10", "D4", "D7", "C1", "C2", "C5"} <= set(claims)
    assert list(claims) == sorted(claims, key=place_of)
    assert list(claims).index("C9") < list(claims).index("C10")


@pytest.mark.parametrize("identifier", IDS)
def test_a_claim_is_complete_and_its_controls_print_differently(identifier):
    claim = all_claims()[identifier]
    assert claim.assumptions
    assert claim.caption
    if identifier[0] != "V":  # the instruments are measured, not derived
        assert any(check.kind == "symbolic" for check in claim.checks)
        assert len(claim.checks) >= 2
    text = claim.statement(claim.subject).text()
    for control in claim.controls:
        changed = claim.statement(control.subject).text() != text
        assert changed, f"{claim.id}: the control {control.id} prints like its original"


SENTENCE = re.compile(r"[.!?](?= [A-Z]|$)")


@pytest.mark.parametrize("identifier", IDS)
def test_a_claim_says_what_it_means_and_why_it_matters(identifier):
    claim = all_claims()[identifier]
    for name, sentences in (("meaning", 2), ("matters", 1)):
        text = getattr(claim, name)
        found = len(SENTENCE.findall(text)) if text[-1:] in (".", "!", "?") else 0
        assert found == sentences, (
            f"verify/claims/{identifier.lower()}_*.py: {name} has {found} whole sentences, expected {sentences}. Give "
            "CLAIM meaning='...', two sentences for a reader who has not seen the formulas, and matters='...', one on "
            "why it matters: `rdml show`, the documentation and the report print them"
        )
        assert text not in (claim.title, claim.caption)
    assert 10 <= len(claim.message) <= 72, (
        f"verify/claims/{identifier.lower()}_*.py: give CLAIM message='...', what a reader should take away, in 10 "
        "to 72 letters: it stands in `rdml list` and above the figure"
    )
    assert claim.message[-1] != "."


BARE = {"C1", "C2", "C2a", "C2b", "C2c", "C2d", "C2e", "C3", "C4a", "C10", "C14"}
"""Claims whose assumptions are their theorem's hypotheses and nothing else."""


@pytest.mark.parametrize("identifier", IDS)
def test_a_theorem_of_the_kernel_is_what_its_claim_prints(identifier):
    claim = all_claims()[identifier]
    if claim.derivation is None:
        assert identifier[0] in "NEV", f"{identifier}: expected a proof of a claim of this letter"
        return
    proof = claim.derivation(claim.subject)
    assert isinstance(proof, Proof)
    assert [told for told in as_stated(claim, proof) if told.outcome != "confirmed"] == []
    if identifier in BARE:
        assert set(claim.assumptions) == {h.text() for h in proof.hypotheses}


def test_a_run_refutes_a_claim_that_prints_or_assumes_something_else_than_its_proof(monkeypatch):
    claim = all_claims()["D7"]
    d8 = all_claims()["D8"]
    changed = {
        "the statement as printed is the one proved": replace(
            claim, statement=lambda subject: d8.statement(d8.subject)
        ),
        "missing: Σ_{i ≤ C} q_i = 1": replace(
            claim, assumptions=tuple(line for line in claim.assumptions if line != "Σ_{i ≤ C} q_i = 1")
        ),
    }
    for said, wrong in changed.items():
        monkeypatch.setitem(all_claims(), "D7", wrong)
        (record,) = run_claims(["D7"], RunSettings()).claims
        assert record.outcome == "refuted"
        (symbolic,) = (check for check in record.checks if check.kind == "symbolic")
        (refuted,) = (told for told in symbolic.comparisons if told.outcome != "confirmed")
        assert said in refuted.name


@pytest.mark.parametrize("identifier", [pytest.param(i, marks=[] if i in QUICK else [pytest.mark.slow]) for i in IDS])
def test_a_claim_is_confirmed_and_each_check_refutes_a_control(identifier, finished):
    run = finished.run(identifier)
    (claim,) = run.claims
    assert claim.outcome == "confirmed"
    assert {c.id: c.outcome for c in claim.controls} == dict.fromkeys((c.id for c in claim.controls), "refuted")
    assert run.summary.exit_code == 0
    for number, check in enumerate(claim.checks):
        outcomes = [control.checks[number].outcome for control in claim.controls]
        assert "refuted" in outcomes, f"{claim.id}/{check.id} refutes no control: it cannot fail"
    check_records(claim)
    check_error_rates(run)
    check_bases(claim)
    check_detected(claim)
    check_figure(claim, ("column",) if identifier in QUICK else ("screen", "column", "page"))


CUT = {"C10", "C17", "E1", "E2", "E3", "E4", "G1", "G2", "G3", "G4", "N1", "N3"}
"""Claims with verdicts on replicas that are cut, since no envelope is proved."""


def test_the_page_names_the_claims_whose_replicas_are_cut():
    words = "in C10, C17, E1 to E3, G1 to G4, N1, N3 and, on real data, E4"
    assert words in (Path(__file__).parents[2] / "docs/verdicts.md").read_text()


def check_bases(claim):
    """Random numbers are judged at an error rate, or called a description; what it rests on is said on the page."""
    comparisons = [c for check in claim.checks for c in check.comparisons]
    assert not any(c.basis == "asymptotic" for c in comparisons)
    cut = [c for c in comparisons if c.basis == "cut"]
    assert bool(cut) == (claim.id in CUT), f"{claim.id}: CUT and docs/verdicts.md name the claims with clipped replicas"
    assert all(c.cut is not None and c.cut <= 0.01 * c.samples and "replicas clipped to [" in c.name for c in cut)
    for check in claim.checks:
        if check.kind == "monte-carlo":
            assert any(c.error_rate for c in check.comparisons), f"{claim.id}/{check.id} has no error rate"


def check_detected(claim):
    """The page's row of a claim, of the relative violations that its comparisons of means detect."""
    page = (Path(__file__).parents[2] / "docs/experiments.md").read_text()
    rows = [row for row in page.split("## What a profile detects")[1].splitlines() if row.startswith(f"| {claim.id} |")]
    found = [
        detectable_violation(c.observed, c.interval[0], c.allowed, error_rate=c.error_rate)
        for check in claim.checks for c in check.comparisons if c.basis and c.allowed
    ]  # fmt: skip
    told = [f"| {claim.id} | {100 * max(found):.1f}% | {100 * min(found):.1f}% |"] if found else []
    assert rows in ([], told)


def check_figure(claim, sizes):
    """Controls that are drawn are contradicted by what is drawn with them, and all words can be read at each size."""
    for control in all_claims()[claim.id].controls:
        false = [
            [c for c in panel.curves if c.label == f"false: {control.falsehood}" and c.role == "control"]
            for panel in claim.panels
        ]
        where = [[c.contradicted for c in curves if c.contradicted is not None] for curves in false]
        assert all(len(points) == bool(curves) for points, curves in zip(where, false, strict=True))
        if control.drawn:
            assert any(where), f"{claim.id}: nothing drawn contradicts the control {control.id}"
    for size in sizes:
        figure = figure_of(claim, size=size)
        assert figure.get_suptitle().replace("\n", " ") == f"{claim.id}: {claim.message}"
        assert faults_of_figure(figure, size) == [], f"{claim.id} at the size {size}"


def check_records(claim):
    """A record holds what its verdict rests on."""
    assert claim.panels
    for check in claim.checks:
        assert check.comparisons or check.steps or check.certificates
        for part in check.comparisons:
            if part.relation != "holds":
                assert None not in (part.observed, part.allowed, part.margin)
            if part.error_rate:
                assert part.interval is not None
                assert part.samples is not None


def check_error_rates(run):
    """The error rate is shared among all registered tests, of this claim and of the others."""
    assert run.statistical_tests == statistical_tests()
    (claim,) = run.claims
    share = run.error_rate / statistical_tests()
    parts = [part for checked in (claim, *claim.controls) for check in checked.checks for part in check.comparisons]
    spent = [part.error_rate for part in parts if part.error_rate]
    assert spent == pytest.approx([share] * len(spent))
    assert len(spent) <= all_claims()[claim.id].statistical_tests


@pytest.mark.slow
def test_the_digits_plateau_is_the_expected_one(finished):
    """Squared norms after 3000 full-gradient steps at α = 2: 0.0125 and 0.0125; they grow with the order."""
    (c5,) = finished.run("C5").claims
    (panel,) = (panel for panel in c5.panels if panel.title.startswith("full gradients"))
    base = next(c for c in panel.curves if c.role == "measured")
    stated = next(c for c in panel.curves if c.role == "statement")
    assert base.x[-1] == 3000
    assert (base.y[-1], stated.y[-1]) == pytest.approx((0.0125, 0.0125), rel=0.01)
    for alpha, expected, error in (
        (1.0, (3.12e-3, 3.03e-3), 0.01), (0.5, (5.6e-4, 4.7e-4), 0.02), (0.25, (2.7e-4, 2.1e-4), 0.02),
    ):  # fmt: skip
        cohort, step = _cohort(alpha)
        run = train_cohort(cohort, step=step, steps=STEPS)
        assert (run.base[-1, 0, 0], run.mutual[-1, 0, 0]) == pytest.approx(expected, rel=error)


def test_another_seed_gives_other_numbers(finished):
    (one,), (other,) = finished.run("D14").claims, run_claims(["D14"], RunSettings(seed=1)).claims
    assert other.outcome == "confirmed"
    assert other.model_dump() != one.model_dump()


def test_context_streams_are_named():
    a, b = Context("D1", "x", "quick", 0, 0.1), Context("D1", "y", "quick", 0, 0.1)
    assert a.rng("s").random() == a.rng("s").random()
    assert a.rng("s").random() != b.rng("s").random()
    assert a.rng("s").random() != a.rng("t").random()
    assert a.rng("s").random() != replace(a, seed=1).rng("s").random()
    assert a.pick(quick=1, full=2) == 1


def _claim(**change):
    check = Check("a", "numeric", "?", lambda subject, context: Finding())
    fields = {
        "id": "X1",
        "title": "t",
        "direction": "equality",
        "subject": 0,
        "statement": lambda s: Statement("s"),
        "assumptions": (),
        "source": Source("here"),
        "checks": (check,),
        "controls": (Control("b", "false", 1),),
        "caption": "",
    }
    return Claim(**(fields | change))


def test_a_claim_needs_checks_and_controls():
    check = Check("a", "numeric", "?", lambda subject, context: Finding())
    with pytest.raises(ValueError, match="at least one check and one negative control"):
        _claim(controls=())
    with pytest.raises(ValueError, match="share an id"):
        _claim(checks=(check, check))


def test_a_control_is_judged_up_to_what_refutes_it():
    """But for drawn ones, whose figure shows all of them."""
    found = _run_unit(("D14", "numeric"), RunSettings(), lambda fraction: None)
    told = {c.id: [part.outcome for part in found.checks[c.id].comparisons] for c in all_claims()["D14"].controls}
    assert told == {"peer": ["refuted", "confirmed"], "exchanged": ["refuted"], "order": ["refuted"]}
    assert len(found.checks[""].comparisons) == 2


def test_unregistered_statistical_tests_are_refused():
    part = Comparison(name="n", outcome="confirmed", relation="≤", error_rate=1e-3)
    check = Check("a", "monte-carlo", "?", lambda subject, context: Finding((part,)))
    with pytest.raises(RuntimeError, match="registered 0"):
        _record(check, Finding((part,)))


def test_a_run_refuses_what_it_does_not_know():
    with pytest.raises(KeyError, match=r"unknown claim 'C99'.*rdml list"):
        run_claims(["D1", "C99"])
    with pytest.raises(TypeError, match="expected a list of ids, such as"):
        run_claims("C14")
    with pytest.raises(ValueError, match="profile = 'fast': expected one of quick, full"):
        RunSettings(profile="fast")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="seed = -1"):
        RunSettings(seed=-1)
