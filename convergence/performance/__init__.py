"""Performance estimation: exact worst cases as semidefinite programs, their instances and their certificates."""

from convergence.performance.certificate import Certificate
from convergence.performance.chain import Chain, ChainCertificate, solve_chain
from convergence.performance.instance import Instance
from convergence.performance.interpolation import SmoothInterpolant, violation
from convergence.performance.method import Method
from convergence.performance.program import WorstCase, worst_case
from convergence.performance.stepwise import StepwiseBound, stepwise_bound

__all__ = [
    "Certificate", "Chain", "ChainCertificate", "Instance", "Method", "SmoothInterpolant", "StepwiseBound", "WorstCase",
    "solve_chain", "stepwise_bound", "violation", "worst_case",
]  # fmt: skip
