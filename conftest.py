"""What pytest cannot import while it looks for doctests: Triton's kernels and generators that need other packages."""

from importlib.util import find_spec

_NEEDS = {"rdml_theory/losses/_large.py": "triton", "tests/reference/make_worst_cases.py": "PEPit"}

collect_ignore = [path for path, package in _NEEDS.items() if find_spec(package) is None]
