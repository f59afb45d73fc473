"""Make the reference modules importable, and keep torch on one thread."""

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for _folder in (Path(__file__).resolve().parents[1] / "reference", Path(__file__).resolve().parent):
    sys.path.insert(0, str(_folder))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
