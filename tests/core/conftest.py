"""Make the reference modules importable, give them their precision, and keep hypothesis off the clock."""

import sys
from pathlib import Path

import mpmath as mp
import pytest
from hypothesis import settings

for _folder in (Path(__file__).resolve().parents[1] / "reference", Path(__file__).resolve().parent):
    sys.path.insert(0, str(_folder))

# a shared machine may take any time for one example
settings.register_profile("core", deadline=None)
settings.load_profile("core")


@pytest.fixture(autouse=True)
def _digits():
    import naive_renyi

    with mp.workdps(naive_renyi.DIGITS):
        yield
