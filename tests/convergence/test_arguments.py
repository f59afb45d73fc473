"""Every public function with arguments of the wrong kind or size: a right value, or one error that names the argument.

Extreme but legal arguments: never NaN, and the value of the same formula in exact arithmetic.
"""

from dataclasses import fields, is_dataclass, replace
from decimal import Decimal

import numpy as np
import pytest

import convergence
from convergence import Assumptions, Envelope, MutualLearning, SubGaussian, problems, sharp_bound, simulate
from convergence.arguments import shown
from convergence.performance.conic import REMEDY
from convergence.sweep import Cell

AT = Assumptions(smoothness=1.0, gap=1.0, noise=0.1, bias=0.01)
FREE = replace(AT, noise=0.0, bias=0.0)
BIASED = replace(AT, noise=0.0)
QUADRATIC = problems.get("quadratic", noise=0.1)
RUN = simulate(QUADRATIC, step=0.5, steps=4, replicas=8, seed=0)
FEATURES = np.array([[0.0], [1.0], [2.0]])
COHORT = MutualLearning([FEATURES, -FEATURES], [0, 1, 1], alpha=2.0)
NETWORKS = MutualLearning(hidden=[1, 1])

ON = {"assumptions": AT, "step": 0.5, "steps": 10}
CALLS = {
    "Assumptions": {"smoothness": 1.0, "gap": 1.0, "noise": 0.1, "bias": 0.01, "relative_bias": 0.1},
    "MutualLearning": {"features": [FEATURES, -FEATURES], "labels": [0, 1, 1], "alpha": 2.0, "beta": 1.0,
                       "weights": np.ones((2, 3)), "batch": 2},
    "Envelope": {"upper": 2.0, "excess": 0.1, "alike": False},
    "SubGaussian": {"proxy": 0.1, "rank": 2},
    "best_iterate_bound": ON | {"assumptions": BIASED},
    "bias_horizon": {"assumptions": AT, "step": 0.5},
    "box_constants": {"game": NETWORKS, "low": NETWORKS.start, "high": NETWORKS.start},
    "check_bound": {"trajectory": RUN, "bound": sharp_bound(RUN.assumptions, 0.5, 4), "error_rate": 1e-3},
    "classical_bound": ON,
    "cohort_bound": {"assumptions": FREE, "step": 0.5, "steps": 10, "alpha": 2.0, "beta": 1.0, "jacobian": 1.0,
                     "log_ratio_range": 2.0, "divergence": 0.1},
    "detectable_violation": {"observed": 1.0, "low": 0.9, "allowed": 2.0, "error_rate": 1e-3, "power": 0.9},
    "drift_bound": {"alpha": 2.0, "beta": 1.0, "jacobian": 1.0, "peer_gradient": 0.5, "log_ratio_range": 2.0},
    "extremal_average": ON,
    "find_stationary": {"cohort": COHORT, "x": COHORT.start, "tolerance": 0.1, "iterations": 2,
                        "progress": None},
    "floor": {"assumptions": AT, "step": 0.5},
    "high_probability_bound": {"assumptions": FREE, "step": 0.5, "steps": 10, "tail": SubGaussian(proxy=0.1, rank=2),
                               "failure": 0.1},
    "judge_mean": {"values": np.arange(9.0), "allowed": 8.0, "error_rate": 1e-3, "least": 0.0, "looks": 1,
                   "envelope": Envelope(upper=9.0)},
    "largest_bias": ON | {"target": 5.0},
    "largest_order": ON | {"target": 5.0, "beta": 1.0, "jacobian": 1.0, "log_ratio_range": 2.0},
    "largest_step": {"assumptions": AT, "target": 5.0, "steps": 10},
    "largest_weight": ON | {"target": 5.0, "alpha": 1.0, "jacobian": 1.0, "log_ratio_range": 2.0},
    "long_run_law": ON | {"assumptions": BIASED},
    "momentum_bound": ON | {"step": 0.01, "momentum": 0.5, "nesterov": False},
    "moving_target_bound": ON | {"assumptions": replace(FREE, noise=0.1), "drift": 0.1},
    "mutual_bias_bound": {"alpha": 2.0, "beta": 1.0, "jacobian": 1.0, "log_ratio_range": 2.0, "divergence": 0.1},
    "occupation_bound": {"bound": sharp_bound(AT, 0.5, 10), "threshold": 1.0},
    "path_constants": {"game": NETWORKS, "path": [NETWORKS.start, NETWORKS.start], "boxes": 1},
    "pl_bound": ON | {"pl_constant": 0.5},
    "recipe": {"students": 4, "risk": 0.5, "log_ratio_range": 1.0, "reach": 4.0},
    "refined_bound": ON,
    "schedule_bound": {"assumptions": AT, "step": [0.5, 0.25], "bias": [0.1, 0.2]},
    "scope_bound": {"curvature": 1.0, "step": 0.5, "noise": 0.1, "bias": 0.01, "perturbation": 0.1, "start": 1.0},
    "sequential_verdict": {"draw": lambda begin, end: np.arange(begin, end) % 3.0, "allowed": 5.0, "error_rate": 1e-3,
                           "first": 8, "budget": 16, "least": 0.0, "envelope": Envelope(upper=2.0)},
    "sharp_bound": ON,
    "simulate": {"problem": QUADRATIC, "step": 0.5, "steps": 3, "replicas": 8, "seed": 0, "start": [1.0, 1.0],
                 "record": 2, "first": 0, "executor": None, "checkpoint": None, "progress": None, "momentum": 0.5,
                 "nesterov": True, "order": "simultaneous", "every": 1, "observe": None, "oracle": None},
    "stationary_law": {"curvature": 1.0, "step": 0.5, "noise": 0.1, "bias": 0.01},
    "stepwise_bound": ON | {"steps": 3, "criterion": "average", "momentum": 0.0},
    "tight_bound": ON,
    "train_cohort": {"cohort": COHORT, "step": 0.5, "steps": 3, "alpha": [1.0, 1.0, 2.0], "beta": 1.0, "batch": 2,
                     "replicas": 1, "seed": 0, "record": 2, "every": 1, "progress": None},
    "worst_case": ON | {"steps": 2, "criterion": "best", "momentum": 0.0},
    "problems.get": {"name": "quadratic", "dim": 3, "smoothness": 1.0, "noise": 0.1, "bias": 0.0, "radius": 1.0,
                     "noise_model": "gaussian", "bias_model": "constant", "relative_bias": 0.0},
    "problems.parameters": {"name": "quadratic"},
    "Cell": {"problem": "quadratic", "steps": 3, "h": 0.5, "replicas": 8, "seed": 0, "records": 2},
}  # fmt: skip
NOT_CALLED = {
    # What functions return, and the protocol of problems.
    "Bound", "BoxConstants", "ByRows", "CohortTrajectory", "Observed", "Problem", "Recipe", "StationaryLaw",
    "StationaryPoint", "StepwiseBound", "Trajectory", "Verdict", "WorstCase", "problems",
}  # fmt: skip


class Broken:
    """Neither an array nor printable."""

    def __repr__(self):
        raise RuntimeError("no description")

    def __array__(self, *arguments, **named):
        raise OSError("no array")


NAN, INF = float("nan"), float("inf")
BAD = [
    None, True, "x", b"x", "", "0.5", [], {}, (), set(), object(), Broken(), int, print, 1j, np.complex128(1 + 1j),
    np.array([1j]), 10**400, -(10**400), 10**5000, [10**400], Decimal("0.5"), NAN, -NAN, np.float32(NAN), -1, -0.5,
    -INF, INF, 0, 0.0, np.array([NAN, 1.0]), [[1.0], [2.0, 3.0]], np.array(["a"]), np.array([None, 1]),
    np.datetime64("2026"),
    np.zeros((0, 2)), np.zeros((2, 2, 2)), AT, RUN, QUADRATIC, sharp_bound(AT, 0.5, 10), [NAN], [None], np.str_("x"),
    2.5, range(3), lambda: 1, -(2**63), 2**64, np.longdouble("1e4000"), np.ma.masked, np.timedelta64(1),
]  # fmt: skip


def function(name):
    if name == "Cell":
        return Cell
    return getattr(problems, name.split(".")[1]) if "." in name else getattr(convergence, name)


def nan_in(value):
    """Whether a result holds NaN anywhere; x_T of a run that overflowed may."""
    if is_dataclass(value) and not isinstance(value, type):
        return any(nan_in(getattr(value, f.name)) for f in fields(value) if f.name != "final")
    if isinstance(value, list | tuple):
        return any(nan_in(one) for one in value)
    return isinstance(value, float | np.ndarray | np.floating) and bool(np.isnan(value).any())


def fuzz(count, seed):
    """Calls with one or two bad arguments; what is neither right nor a clear error."""
    rng = np.random.default_rng(seed)
    names = sorted(CALLS)
    found = []
    for _ in range(count):
        name = names[rng.integers(len(names))]
        changed = list(rng.choice(sorted(CALLS[name]), size=min(1 + rng.integers(2), len(CALLS[name])), replace=False))
        given = CALLS[name] | {key: BAD[rng.integers(len(BAD))] for key in changed}
        if any(key in ("draw", "progress", "observe", "oracle") and callable(given[key]) for key in changed):
            continue  # what is called by its user's fault raises what it likes
        told = f"{name}({', '.join(f'{key}={shown(given[key])}' for key in changed)})"
        try:
            result = function(name)(**given)
        except (TypeError, ValueError) as error:
            text = str(error)
            constants = list(CALLS["Assumptions"]) if "assumptions" in changed else []
            if not any(key in text for key in (*changed, *constants, "problem")):
                found.append(f"{told}: {type(error).__name__}: {text}")
            elif "\n" in text or len(text) > 600:
                found.append(f"{told}: not one line: {text}")
        except Exception as error:
            # Legal, and beyond what a certificate of floats can show: documented.
            if isinstance(error, RuntimeError) and REMEDY in str(error) and name in ("stepwise_bound", "worst_case"):
                continue
            found.append(f"{told}: {type(error).__name__}: {error}")
        else:
            if nan_in(result):
                found.append(f"{told}: {result}")
    return found


def test_every_public_function_is_called():
    assert {*CALLS, *NOT_CALLED} >= set(convergence.__all__)
    for name, given in CALLS.items():
        assert not nan_in(function(name)(**given))


def test_bad_calls():
    assert fuzz(150, seed=0) == []


@pytest.mark.slow
def test_bad_calls_by_thousands(seed):
    assert fuzz(2000, seed) == []
