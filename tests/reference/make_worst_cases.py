"""Writes worst_cases.json: exact worst cases of SGD with biased gradients, by PEPit.

PEPit is no dependency of the project. In an environment of its own: ``pip install pepit==0.5.1 clarabel``, then
``python tests/reference/make_worst_cases.py``.
"""

import json
from pathlib import Path

from PEPit import PEP, Expression, Point
from PEPit.functions import SmoothFunction

# smoothness, gap, step, steps, ζ², σ², m, criterion, momentum, nesterov
CASES = [
    (1.0, 1.0, 0.5, 8, 0.0, 0.0, 0.0, "average", 0.0, False),
    (1.0, 1.0, 1.5, 8, 0.0, 0.0, 0.0, "average", 0.0, False),
    (1.0, 1.0, 0.1, 8, 0.01, 0.0, 0.0, "average", 0.0, False),
    (1.0, 1.0, 1.0, 8, 0.01, 0.0, 0.0, "average", 0.0, False),
    (1.0, 1.0, 0.5, 8, 1.0, 0.0, 0.0, "average", 0.0, False),
    (1.0, 1.0, 1.0, 8, 1.0, 0.0, 0.0, "average", 0.0, False),
    (1.0, 1.0, 1.5, 8, 1.0, 0.0, 0.0, "average", 0.0, False),
    (1.0, 1.0, 2.5, 3, 0.25, 0.0, 0.0, "average", 0.0, False),
    (4.0, 0.5, 0.2, 5, 0.3, 0.0, 0.0, "average", 0.0, False),
    (1.0, 1.0, 0.5, 6, 0.0, 0.0, 0.2, "average", 0.0, False),
    (1.0, 1.0, 1.2, 6, 0.09, 0.0, 0.2, "average", 0.0, False),
    (1.0, 1.0, 0.5, 6, 0.09, 0.0, 0.0, "best", 0.0, False),
    (1.0, 1.0, 1.2, 6, 0.09, 0.0, 0.0, "best", 0.0, False),
    (1.0, 1.0, 0.5, 5, 0.04, 0.0, 0.1, "best", 0.0, False),
    (1.0, 1.0, 0.05, 6, 0.09, 0.0, 0.0, "average", 0.9, False),
    (1.0, 1.0, 0.05, 6, 0.09, 0.0, 0.0, "average", 0.9, True),
    (2.0, 1.0, 0.4, 4, 0.25, 0.0, 0.1, "best", 0.5, False),
    (2.0, 1.0, 0.4, 4, 0.25, 0.0, 0.0, "average", 0.5, True),
    (1.0, 1.0, 0.5, 3, 0.0, 1.0, 0.0, "average", 0.0, False),
    (1.0, 1.0, 0.5, 3, 0.25, 1.0, 0.0, "average", 0.0, False),
    (1.0, 1.0, 1.5, 3, 0.25, 1.0, 0.0, "best", 0.0, False),
    (3.0, 0.7, 0.3, 3, 0.1, 0.4, 0.1, "average", 0.0, False),
    (1.0, 1.0, 0.3, 3, 0.25, 0.5, 0.0, "average", 0.6, False),
    (1.0, 1.0, 0.3, 3, 0.25, 0.5, 0.0, "average", 0.6, True),
]
NAMES = ["smoothness", "gap", "step", "steps", "bias", "noise", "relative_bias", "criterion", "momentum", "nesterov"]


def solve(smoothness, gap, step, steps, bias, noise, relative_bias, criterion, momentum, nesterov):
    problem = PEP()
    function = problem.declare_function(SmoothFunction, L=smoothness)
    infimum = Expression()
    start = problem.set_initial_point()
    levels = [[] for _ in range(steps)]

    def visit(x, velocity, time):
        g, f = function.oracle(x)
        problem.add_constraint(f - g**2 / (2 * smoothness) >= infimum)
        levels[time].append(g)
        if time == 0:
            problem.set_initial_condition(f - infimum <= gap)
        if time == steps - 1:
            return
        oracle = g
        if bias or relative_bias:
            b = Point()
            problem.add_constraint(b**2 <= bias + relative_bias * g**2)
            oracle = oracle + b
        draws = [None]
        if noise:
            n = Point()
            problem.add_constraint(n**2 <= noise)
            draws = [n, -n]
        for draw in draws:
            sample = oracle if draw is None else oracle + draw
            v = sample if velocity is None else momentum * velocity + sample
            visit(x - step * (sample + momentum * v if nesterov else v), v, time + 1)

    visit(start, None, 0)
    means = [sum((g**2 for g in level[1:]), level[0] ** 2) / len(level) for level in levels]
    if criterion == "average":
        problem.set_performance_metric(sum(means[1:], means[0]) / steps)
    else:
        for mean in means:
            problem.set_performance_metric(mean)
    return problem.solve(
        wrapper="cvxpy", solver="CLARABEL", verbose=0, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
    )


if __name__ == "__main__":
    rows = [dict(zip(NAMES, case, strict=True)) | {"value": solve(*case)} for case in CASES]
    table = {"generator": "make_worst_cases.py, PEPit 0.5.1, cvxpy 1.9.3, Clarabel 0.11.1", "rows": rows}
    Path(__file__).with_name("worst_cases.json").write_text(json.dumps(table, indent=1) + "\n")
