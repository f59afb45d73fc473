"""What pytest cannot import while it looks for doctests, the order of the tests, how it compiles, and seeds."""

import gc
import getpass
import os
import tempfile
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import pytest

_NEEDS = {
    "rdml_theory/losses/_triton.py": "triton", "tests/reference/make_worst_cases.py": "PEPit",
    "docs/finished_pages.py": "sphinx", "docs/offline_math.py": "sphinx", "docs/plain_text.py": "sphinx",
}  # fmt: skip

# Sphinx's configuration writes the pages of all claims when it is imported.
collect_ignore = ["docs/conf.py", *(path for path, package in _NEEDS.items() if find_spec(package) is None)]
# Imported by their test, which puts a stand-in where a package is missing.
collect_ignore_glob = ["docs/examples/*", "tests/project/stand_ins/*"]

# The cache of inductor does not tell code for AVX-512 from code for AVX2, and the wrong one corrupts memory: where
# the instruction set is hidden from torch, code is kept apart.
if hidden := os.environ.get("ATEN_CPU_CAPABILITY"):
    kept = Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}_{hidden}"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(kept))

# Each process of inductor's pool of compilers imports torch, which takes longer than what tests compile.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

# As in a run of claims: proofs come back to more results of SymPy than it keeps by default.
os.environ.setdefault("SYMPY_CACHE_SIZE", "20000")

# What rests on the same proofs comes first and together: one worker of two makes them, and early.
FIRST = (
    "tests/symbolic", "rdml_theory/symbolic", "tests/verify/test_claims", "tests/project/test_claim", "tests/verify",
)  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests and all modules stay: looking for garbage among them takes a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by where they stand in ``FIRST``, and leave their order otherwise."""
    items.sort(key=lambda item: next((n for n, place in enumerate(FIRST) if item.nodeid.startswith(place)), len(FIRST)))


@pytest.fixture(params=["fixed", "fresh"])
def seed(request: pytest.FixtureRequest) -> int:
    """A fixed seed, and one of this run: drawn here, for all workers must find the same names of tests."""
    value = 1 if request.param == "fixed" else int.from_bytes(os.urandom(4))
    print(f"seed {value}")  # shown when the test fails
    return value
