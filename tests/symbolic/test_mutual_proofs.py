"""The theorems of mutual learning and of what is measured: hypotheses hold, a changed statement is refused."""

import numpy as np
import pytest
from test_proofs import Case, refused

from rdml_theory.symbolic import shared_rate
from rdml_theory.symbolic.kernel import AXIOMS, Proof, ProofError
from rdml_theory.symbolic.mutual import (
    composed,
    gain,
    game,
    influence,
    one_input,
    plateau,
    resting,
    scaling,
    smooth_potential,
    stability,
)
from rdml_theory.symbolic.sgd import descent, growth, minibatch, settling, single_runs, step_condition
from verify.checks.instances import satisfied_by
from verify.claims.g2_diversity import three_apart

CASES = {
    "C5": Case(plateau.plateau_law, {"right_side": plateau.beta * plateau.MUTUAL_NORM}, plateau.ASSUMPTIONS),
    "X1": Case(composed.composed_bound, {"right_side": composed.COMPOSED}, composed.ASSUMPTIONS),
    "X2": Case(
        resting.resting_cohort,
        {"right_side": resting.RESTING, "saturated": resting.SATURATED, "turning": resting.TURNING},
        resting.ASSUMPTIONS,
    ),
    "X2, at most": Case(
        lambda saturated=resting.SATURATED: Proof((one_input.at_most_saturated(saturated),)),
        {"saturated": resting.SATURATED},
        one_input.ASSUMPTIONS,
    ),
    "C7, the bound": Case(
        lambda bound=game.WITHOUT_BIAS: Proof(smooth_potential.smooth_potential(bound=bound)[-1:]),
        {"bound": game.WITHOUT_BIAS},
        (*smooth_potential.BOUND_ASSUMPTIONS, *smooth_potential.POTENTIAL_ASSUMPTIONS),
    ),
    "X3": Case(stability.step_limit, {"limit": stability.LIMIT}, stability.ASSUMPTIONS),
    "G3": Case(influence.influence, {"right_side": influence.INFLUENCE}, influence.INFLUENCE_ASSUMPTIONS),
    "G4": Case(
        influence.recipe,
        {"kept": influence.KEPT, "wanted_product": influence.PRODUCT},
        influence.RECIPE_ASSUMPTIONS,
    ),
    "N2": Case(step_condition.step_condition, {"right_side": step_condition.CHANGE}, step_condition.ASSUMPTIONS),
    "N3": Case(minibatch.minibatch, {"weight": plateau.beta, "variance": minibatch.VARIANCE}, minibatch.ASSUMPTIONS),
    "N6": Case(shared_rate.shared_rate, {"value": shared_rate.LEVEL}, shared_rate.ASSUMPTIONS),
    "E1": Case(settling.plateau_of_quadratic, {"plateau": settling.PLATEAU}, settling.ASSUMPTIONS),
    "E2": Case(scaling.plateau_of_cohort, {"right_side": scaling.COHORT}, scaling.ASSUMPTIONS),
    "E3": Case(settling.decreasing_steps, {"value": descent.Z**2}, settling.DECREASING),
    "G1": Case(gain.gain_law, {"right_side": gain.GAIN}, gain.ASSUMPTIONS),
    "G2": Case(gain.shared_law, {"right_side": gain.SHARED}, gain.ALIKE_ASSUMPTIONS),
}
ARGUMENTS = [(name, argument) for name, case in CASES.items() for argument in case.formulas]


@pytest.mark.parametrize("name", CASES)
def test_it_follows_from_what_is_printed(name):
    proof = CASES[name].prove()
    assert set(proof.axioms) <= set(AXIOMS)
    assert {h.text() for h in proof.hypotheses} <= set(CASES[name].assumptions)
    for theorem in proof.theorems:
        found, false = satisfied_by(theorem)
        assert found, theorem
        assert not false, theorem


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_runs_again(name):
    assert CASES[name].prove().verify()


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_a_changed_statement_is_refused(name, argument):
    refused(CASES[name], argument, every=40)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_each_changed_statement_is_refused(name, argument):
    refused(CASES[name], argument, every=1)


@pytest.mark.parametrize(
    ("place", "of", "bias"),
    [
        (-2, lambda: single_runs.single_runs().theorems[1], "‖b_t‖² ≤ ζ² for every t"),
        (-1, growth.closer_bound, "E[‖b_t‖²] ≤ Z² + m·E[‖∇f(x_t)‖²] for every t"),
    ],
    ids=["V3", "C9"],
)
def test_x1_has_the_hypotheses_of_another_claim_with_its_own_bias(place, of, bias):
    """Of single runs, and of the last iterate."""
    theorem, given = composed.composed_bound().theorems[place], {h.text() for h in of().hypotheses}
    told = {h.text() for h in theorem.hypotheses} - set(composed.ASSUMPTIONS)
    assert bias in given - told
    new = told - given
    assert len(new) == 2
    assert all("G" in text or text == "|h - 1| < 1" for text in new)


@pytest.mark.parametrize("wider", [{"convex": False}, {"any_order": True}], ids=str)
def test_the_same_data_change_nothing_for_convex_losses_alone_and_many_students_at_order_one(wider):
    with pytest.raises(ProofError):
        gain.shared_law(**wider)


def test_three_students_of_one_strongly_convex_loss_may_rest_apart_where_two_may_not():
    """G2 holds for two: here are three, α = 1/10 and β = 1, at rest on a quadratic; the point is not stable."""
    found = three_apart()
    assert (found.share > 0).all()
    assert np.linalg.eigvalsh(found.hessian).min() > 1e-5
    assert np.abs(found.forces(found.logits)).max() < 1e-12
    assert np.abs(found.logits - found.minimiser).max(axis=1).min() > 0.05
    steps = 1e-4 * np.eye(9).reshape(9, 3, 3)
    forces = [[found.forces(found.logits + sign * step) for sign in (1, -1)] for step in steps]
    slopes = np.array([(ahead - behind).ravel() / 2e-4 for ahead, behind in forces])
    assert np.linalg.eigvals(slopes).real.min() < -1e-3
