"""Measure the errors of the numeric core on the hard sets, and print the table of docs/accuracy.md.

    python benchmarks/measure_accuracy.py [--seed N] [--count N]

The reference is tests/reference/naive_renyi.py (mpmath). Values are in units in the last place, derivatives normwise in
units of u = 2^-53, values from logits in units of the last place over 1 + the componentwise condition number.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import mpmath as mp
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "reference")]

import hard_sets  # noqa: E402
import naive_renyi as naive  # noqa: E402

from rdml_theory import UnnormalisedWarning, renyi_divergence, renyi_gradient, renyi_hessian  # noqa: E402

# the sums of one set of cases are not one, on purpose
warnings.simplefilter("ignore", UnnormalisedWarning)

UNIT = mp.mpf(2) ** -53
DEEP = ("tiny_entries", "huge_ratios")
# smooth enough for a derivative to be well conditioned
SMOOTH = ("near_equal", "order_near_one", "unnormalised")


def normwise(values: np.ndarray, exact: list[mp.mpf]) -> float | None:
    """Return ||values - exact|| / (u ||exact||), or None when `exact` vanishes."""
    size = mp.sqrt(mp.fsum(x * x for x in exact))
    if size < mp.mpf(10) ** -200:
        return None
    error = mp.sqrt(mp.fsum((mp.mpf(float(a)) - b) ** 2 for a, b in zip(np.ravel(values), exact, strict=True)))
    return float(error / size / UNIT)


def measure(seed: int, count: int) -> dict[str, list[float]]:
    """Return the errors by category."""
    errors: dict[str, list[float]] = defaultdict(list)

    def note(name: str, error: float | None) -> None:
        if error is not None:
            errors[name].append(error)

    for case in hard_sets.probability_cases(seed, count, classes=(2, 3, 10)):
        with mp.workdps(720 if case.kind in DEEP else naive.DIGITS):
            p, q = naive.normalised(case.p), naive.normalised(case.q)
            exact = naive.divergence(p, q, case.alpha)
            if exact > 1e-31:
                note(f"value, {case.kind}", naive.ulps(float(renyi_divergence(case.p, case.q, case.alpha)), exact))
            if case.kind not in SMOOTH or len(errors[f"q - w, {case.kind}"]) >= count // 4:
                continue
            student, teacher = (
                renyi_gradient(case.p, case.q, case.alpha),
                renyi_gradient(case.p, case.q, case.alpha, wrt="p"),
            )
            slope = renyi_gradient(case.p, case.q, case.alpha, wrt="alpha")
            note(f"q - w, {case.kind}", normwise(student * case.q, naive.student_gradient(p, q, case.alpha)))
            note(f"teacher, {case.kind}", normwise(teacher * case.p, naive.teacher_gradient(p, q, case.alpha)))
            note(f"dD/dalpha, {case.kind}", normwise(slope, [naive.order_derivative(p, q, case.alpha)]))
    rng = np.random.default_rng([seed, 20])
    for _ in range(count // 2):
        u = rng.integers(-64, 64, int(rng.choice([2, 3, 6]))) / 32.0
        z = u + rng.integers(-64, 64, u.size) / 64.0 * rng.choice([1.0, 2.0**-6, 2.0**-20])
        alpha = float(rng.choice(hard_sets.ORDERS + hard_sets.NEAR_ONE))
        p, q = naive.normalised(u, "logits"), naive.normalised(z, "logits")
        with mp.workdps(naive.DIGITS):
            for wrt in ("q", "p", "mixed"):
                note(
                    f"Hessian, {wrt}",
                    normwise(renyi_hessian(u, z, alpha, wrt=wrt), list(naive.hessian(p, q, alpha, wrt))),
                )
    for case in hard_sets.logit_cases(seed, count, (2, 3, 10)):
        with mp.workdps(naive.DIGITS):
            p, q = naive.normalised(case.p, "logits"), naive.normalised(case.q, "logits")
            exact = naive.divergence(p, q, case.alpha)
            if exact > 1e-60:
                slopes = (*naive.student_gradient(p, q, case.alpha), *naive.teacher_gradient(p, q, case.alpha))
                terms = zip((*case.q, *case.p), slopes, strict=True)
                condition = float(mp.fsum(abs(mp.mpf(float(x)) * g) for x, g in terms) / exact)
                value = float(renyi_divergence(case.p, case.q, case.alpha, domain="logits"))
                note("value, logits", naive.ulps(value, exact) / (1.0 + condition))
    return errors


def main() -> None:
    """Print one line per category."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=600, help="cases per kind")
    arguments = parser.parse_args()
    print("| quantity | cases | largest | median |\n| --- | --- | --- | --- |")
    with mp.workdps(naive.DIGITS):
        for name, values in measure(arguments.seed, arguments.count).items():
            print(f"| {name.replace('_', ' ')} | {len(values)} | {max(values):.2f} | {np.median(values):.2f} |")


if __name__ == "__main__":
    main()
