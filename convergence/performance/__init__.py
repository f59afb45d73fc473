"""Performance estimation: exact worst cases as semidefinite programs, their instances and their certificates.

A :class:`Method` says how iterates come about; :class:`AllPairs` and :class:`ConsecutivePairs` say what smooth
functions and the oracle satisfy there; :func:`prove` finds the multipliers of least cost and rounds them to a
:class:`DualCertificate`, which is checked in rational arithmetic.
"""

from convergence.performance.all_pairs import AllPairs, WorstCase, worst_case
from convergence.performance.certificate import DualCertificate, prove
from convergence.performance.instance import Instance
from convergence.performance.interpolation import SmoothInterpolant, violation
from convergence.performance.method import Method
from convergence.performance.stepwise import ConsecutivePairs, StepwiseBound, stepwise_bound

__all__ = [
    "AllPairs", "ConsecutivePairs", "DualCertificate", "Instance", "Method", "SmoothInterpolant", "StepwiseBound",
    "WorstCase", "prove", "stepwise_bound", "violation", "worst_case",
]  # fmt: skip
