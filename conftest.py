"""What pytest cannot import while it looks for doctests, and a compiler's cache that fits the processor."""

import getpass
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

_NEEDS = {"rdml_theory/losses/_large.py": "triton", "tests/reference/make_worst_cases.py": "PEPit"}

collect_ignore = [path for path, package in _NEEDS.items() if find_spec(package) is None]

# The cache of inductor does not tell code for AVX-512 from code for AVX2, and the wrong one corrupts memory: where
# the instruction set is hidden from torch, code is kept apart.
if hidden := os.environ.get("ATEN_CPU_CAPABILITY"):
    kept = Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}_{hidden}"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(kept))
