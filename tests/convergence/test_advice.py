"""Recipes: the gain law solved for the product, the natural range, errors."""

import numpy as np
import pytest

from convergence import recipe
from convergence.advice import natural_range


def law(product, students):
    return 1 / students + (1 - 1 / students) / (1 + product * students / (students - 1)) ** 2


@pytest.mark.parametrize("students", [2, 4, 100])
@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
def test_the_product_gives_the_risk(students, share):
    risk = 1 / students + (1 - 1 / students) * share
    found = recipe(students=students, risk=risk, log_ratio_range=0.5, reach=3.0)
    assert law(found.alpha * found.beta, students) == pytest.approx(risk, rel=1e-12)
    assert found.alpha == pytest.approx(6.0)
    assert found.cap == pytest.approx(np.sqrt(2) * found.beta)
    assert found.kept == pytest.approx((1 - np.exp(-3.0)) / 3.0)
    assert found.step_share == pytest.approx(1 / (1 + found.product * students / (students - 1)))


def test_more_reach_bounds_a_bad_peer_and_keeps_less():
    near, far = (recipe(students=3, risk=0.5, log_ratio_range=1.0, reach=x) for x in (1.0, 8.0))
    assert far.cap == pytest.approx(near.cap / 8)
    assert far.kept < near.kept
    assert far.product == near.product


def test_a_bad_student_does_not_move_the_natural_range():
    rng = np.random.default_rng(0)
    ranges = rng.uniform(0, 1, (4, 3, 1000))
    good = natural_range(ranges)
    bad = ranges.copy()
    bad[3] = 50.0
    bad[:3, 2] = 50.0
    assert good == pytest.approx(0.95, abs=0.02)
    assert natural_range(bad) == pytest.approx(0.95, abs=0.03)
    assert natural_range(2.5) == 2.5
    assert natural_range([0.0] * 94 + [1.0] * 6) == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"risk": 0.25}, "above 1/K = 0.25"),
        ({"risk": 1.01}, "at most 1"),
        ({"risk": np.nan}, "risk"),
        ({"risk": None}, "expected one"),
        ({"gain": 0.5}, "expected one"),
        ({"students": 1}, "students"),
        ({"log_ratio_range": 0.0}, "nothing to gain"),
        ({"log_ratio_range": -1.0}, "log_ratio_range"),
        ({"log_ratio_range": []}, "log_ratio_range"),
        ({"log_ratio_range": [1.0, np.inf]}, "log_ratio_range"),
        ({"reach": 0.0}, "reach"),
    ],
)
def test_what_makes_no_recipe_is_refused(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        recipe(**({"students": 4, "risk": 0.5, "log_ratio_range": 1.0} | change))


def test_the_former_name_of_the_risk_is_accepted():
    found = recipe(students=4, risk=0.5, log_ratio_range=1.0)
    assert recipe(students=4, gain=0.5, log_ratio_range=1.0) == found
    assert found.risk == 0.5
