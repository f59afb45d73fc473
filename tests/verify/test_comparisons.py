"""What a count says of a probability, against SciPy's."""

import pytest
from scipy.stats import binomtest

from verify.checks.comparisons import counted


@pytest.mark.parametrize(("events", "trials"), [(0, 50), (3, 50), (50, 50), (2010, 40_000)])
@pytest.mark.parametrize("rate", [1e-6, 0.01])
def test_the_bounds_of_a_count_are_exact(events, trials, rate):
    ends = binomtest(events, trials).proportion_ci(1 - 2 * rate, method="exact")
    low, high = counted("errors", events, trials, 0.5, rate).interval
    assert (low, high) == pytest.approx((ends.low, ends.high), rel=1e-9)
    for allowed, outcome in ((1.001 * high, "confirmed"), (0.999 * high, "undecided"), (0.999 * low, "refuted")):
        if 0 < allowed < 1:
            assert counted("errors", events, trials, allowed, rate).outcome == outcome
