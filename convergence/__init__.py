"""SGD with biased gradients: bounds, problems, simulation and verdicts (NumPy and SciPy only).

Where to look
-------------
``bounds``, ``tight``, ``momentum``, ``mutual``, ``scope``, ``long_run``, ``tails``, ``inverse``
    Bounds of A² as functions of :class:`Assumptions`, each a :class:`Bound` (``terms``); the inverse questions.
``performance/``
    The exact worst case as a conic program, with certificates checked in rational arithmetic.
``boxes``
    Constants of students with two layers on boxes of weights, by interval arithmetic.
``advice``
    An order and a weight for a target risk and a bounded bad peer.
``problems/``
    One file a problem, with derived constants; ``protocol`` says what a problem of your own needs.
``sgd``, ``ensemble``, ``cohort``, ``sweep``, ``store``
    Simulation over replicas; the mutual-learning game; many simulations; what is kept of unfinished work.
``verdict``, ``estimators``, ``probes``, ``moments``
    Verdicts with error rates; searches for a breach of declared constants.

>>> from convergence import problems, check_bound, sharp_bound, simulate
>>> f = problems.get("quadratic_cosine", noise=1.0, bias=0.25)
>>> run = simulate(f, step=0.3, steps=500, replicas=256, seed=0)
>>> check_bound(run, sharp_bound(run.assumptions, run.step, run.steps)).outcome
'confirmed'
"""

from convergence import problems
from convergence.advice import Recipe, recipe
from convergence.assumptions import Assumptions
from convergence.bounds import (
    best_iterate_bound,
    classical_bound,
    floor,
    pl_bound,
    refined_bound,
    schedule_bound,
    sharp_bound,
)
from convergence.boxes import BoxConstants, box_constants, path_constants
from convergence.cohort import CohortTrajectory, StationaryPoint, find_stationary, train_cohort
from convergence.inverse import bias_horizon, largest_bias, largest_order, largest_step, largest_weight
from convergence.long_run import long_run_law
from convergence.momentum import momentum_bound
from convergence.mutual import cohort_bound, drift_bound, moving_target_bound, mutual_bias_bound
from convergence.performance import StepwiseBound, WorstCase, stepwise_bound, worst_case
from convergence.problems import ByRows, Problem
from convergence.problems.mutual_learning import MutualLearning
from convergence.scope import StationaryLaw, occupation_bound, scope_bound, stationary_law
from convergence.sgd import Observed, Trajectory, simulate
from convergence.tails import Envelope, SubGaussian, high_probability_bound
from convergence.terms import Bound
from convergence.tight import extremal_average, tight_bound
from convergence.verdict import Verdict, check_bound, detectable_violation, judge_mean, sequential_verdict

__all__ = [
    "Assumptions",
    "Bound",
    "BoxConstants",
    "ByRows",
    "CohortTrajectory",
    "Envelope",
    "MutualLearning",
    "Observed",
    "Problem",
    "Recipe",
    "StationaryLaw",
    "StationaryPoint",
    "StepwiseBound",
    "SubGaussian",
    "Trajectory",
    "Verdict",
    "WorstCase",
    "best_iterate_bound",
    "bias_horizon",
    "box_constants",
    "check_bound",
    "classical_bound",
    "cohort_bound",
    "detectable_violation",
    "drift_bound",
    "extremal_average",
    "find_stationary",
    "floor",
    "high_probability_bound",
    "judge_mean",
    "largest_bias",
    "largest_order",
    "largest_step",
    "largest_weight",
    "long_run_law",
    "momentum_bound",
    "moving_target_bound",
    "mutual_bias_bound",
    "occupation_bound",
    "path_constants",
    "pl_bound",
    "problems",
    "recipe",
    "refined_bound",
    "schedule_bound",
    "scope_bound",
    "sequential_verdict",
    "sharp_bound",
    "simulate",
    "stationary_law",
    "stepwise_bound",
    "tight_bound",
    "train_cohort",
    "worst_case",
]
