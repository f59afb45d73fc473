"""What counts, means and errors are compared with."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from verify.checks.comparisons import Worst, close_to, counted


@pytest.mark.parametrize(("events", "trials"), [(0, 50), (3, 50), (50, 50), (2010, 40_000)])
@pytest.mark.parametrize("rate", [1e-6, 0.01])
def test_the_bounds_of_a_count_are_exact(events, trials, rate):
    ends = binomtest(events, trials).proportion_ci(1 - 2 * rate, method="exact")
    low, high = counted("errors", events, trials, 0.5, rate).interval
    assert (low, high) == pytest.approx((ends.low, ends.high), rel=1e-9)
    for allowed, outcome in ((1.001 * high, "confirmed"), (0.999 * high, "undecided"), (0.999 * low, "refuted")):
        if 0 < allowed < 1:
            assert counted("errors", events, trials, allowed, rate).outcome == outcome


@pytest.mark.parametrize("absolute", [False, True])
def test_a_mean_that_is_stated_is_missed_on_either_side(absolute):
    noise = np.random.default_rng(0).normal(0.0, 0.01, 4096)
    tolerance = 0.1 if absolute else 0.05
    for away, outcome in ((0.0, "confirmed"), (0.1, "undecided"), (0.3, "refuted")):
        for mean in (2.0 + away, 2.0 - away):
            found = close_to("a mean", mean + noise, 2.0, tolerance, 1e-6, absolute=absolute)
            assert found.outcome == outcome, mean


def test_an_error_that_is_no_number_is_the_worst():
    worst = Worst()
    for error in (0.1, math.nan, 0.2):
        worst.see("an error", error, 1.0)
    (found,) = worst.comparisons()
    assert (found.outcome, found.samples) == ("refuted", 3)


def test_all_errors_of_one_name_are_against_the_same():
    worst = Worst()
    worst.see("an error", 0.5, 0.1)
    with pytest.raises(ValueError, match="a name of its own"):
        worst.see("an error", 0.0, 1.0)
    assert [found.outcome for found in worst.comparisons()] == ["refuted"]
