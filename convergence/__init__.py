"""Constant-step SGD with biased gradients: bounds, problems, simulation and verdicts (NumPy and SciPy only).

>>> from convergence import problems, check_bound, sharp_bound, simulate
>>> f = problems.get("quadratic", noise=1.0, bias=0.25)
>>> run = simulate(f, step=0.5, steps=500, replicas=64, seed=0)
>>> check_bound(run, sharp_bound(run.assumptions, run.step, run.steps)).outcome
'confirmed'
"""

from convergence import problems
from convergence.assumptions import Assumptions
from convergence.bounds import (
    Bound,
    best_iterate_bound,
    classical_bound,
    floor,
    mutual_bias_bound,
    pl_bound,
    sharp_bound,
)
from convergence.cohort import CohortTrajectory, SoftmaxCohort, StationaryPoint, find_stationary, train_cohort
from convergence.performance import WorstCase, worst_case
from convergence.problems import Problem
from convergence.sgd import Trajectory, simulate
from convergence.verdict import Verdict, check_bound, judge_mean, sequential_verdict

__all__ = [
    "Assumptions",
    "Bound",
    "CohortTrajectory",
    "Problem",
    "SoftmaxCohort",
    "StationaryPoint",
    "Trajectory",
    "Verdict",
    "WorstCase",
    "best_iterate_bound",
    "check_bound",
    "classical_bound",
    "find_stationary",
    "floor",
    "judge_mean",
    "mutual_bias_bound",
    "pl_bound",
    "problems",
    "sequential_verdict",
    "sharp_bound",
    "simulate",
    "train_cohort",
    "worst_case",
]
