"""Give the reference its precision, and keep hypothesis off the clock."""

import mpmath as mp
import naive_renyi
import pytest
from hypothesis import settings

# a shared machine may take any time for one example
settings.register_profile("core", deadline=None)
settings.load_profile("core")


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(naive_renyi.DIGITS):
        yield
