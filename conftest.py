"""What pytest cannot import while it looks for doctests: kernels of Triton, which torch for CPUs does not bring."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("triton") else ["rdml_theory/losses/_large.py"]
