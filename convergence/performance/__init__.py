"""Performance estimation: exact worst cases as semidefinite programs, their instances and their certificates."""

from convergence.performance.certificate import Certificate
from convergence.performance.instance import Instance
from convergence.performance.interpolation import SmoothInterpolant, violation
from convergence.performance.method import Method
from convergence.performance.program import WorstCase, worst_case

__all__ = ["Certificate", "Instance", "Method", "SmoothInterpolant", "WorstCase", "violation", "worst_case"]
