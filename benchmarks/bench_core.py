"""Time the divergence, and the divergence with its student gradient, beside SciPy's log-sum-exp form.

    python benchmarks/bench_core.py [--json FILE] [--rounds N]

The two are timed in turn, round by round, in one process on one core, and the medians are compared. Memory is the peak
that tracemalloc sees during a call, in units of one input array; the returned arrays are counted.
"""

from __future__ import annotations

import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import record
import scipy
from scipy.special import logsumexp

from rdml_theory import renyi_divergence, renyi_value_and_gradient

SHAPES = ((100_000, 10), (10_000, 1_000))
ORDERS = (0.5, 1.0, 1.5, 2.0)
GENERIC_ORDERS = (0.3, 0.7, 3.0)  # without closed forms; shown, not limited
VALUE_LIMIT, BOTH_LIMIT, MEMORY_LIMIT = 1.3, 1.6, 3.0


def scipy_form(p: np.ndarray, q: np.ndarray, alpha: float) -> Any:
    """Return the divergence as log-sum-exp of alpha log p + (1 - alpha) log q; at order 1 the mean log-ratio."""
    if alpha == 1.0:
        return np.sum(p * (np.log(p) - np.log(q)), axis=-1)
    return logsumexp(alpha * np.log(p) + (1.0 - alpha) * np.log(q), axis=-1) / (alpha - 1.0)


def scipy_sum(p: np.ndarray, q: np.ndarray, alpha: float) -> Any:
    """Return the log-sum-exp alone, so that order 1 is timed on the same work as the others."""
    return logsumexp(alpha * np.log(p) + (1.0 - alpha) * np.log(q), axis=-1)


def seconds(call: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak(call: Callable[[], Any], unit: int) -> float:
    """Return the peak memory of a call in units of `unit` bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / unit
    finally:
        tracemalloc.stop()


def measure(shape: tuple[int, int], orders: tuple[float, ...], rounds: int) -> list[dict[str, Any]]:
    """Time every order on one shape."""
    rng = np.random.default_rng([2024, *shape])
    p, q = (rng.dirichlet(np.ones(shape[1]), size=shape[0]) + 1e-300 for _ in range(2))
    rows = []
    for alpha in orders:
        calls = {
            "value": lambda a=alpha: renyi_divergence(p, q, a),
            "both": lambda a=alpha: renyi_value_and_gradient(p, q, a),
            "scipy": lambda a=alpha: scipy_sum(p, q, a),
            "scipy_form": lambda a=alpha: scipy_form(p, q, a),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for call in calls.values():
            call()
        for _ in range(rounds):
            for name, call in calls.items():
                times[name].append(seconds(call))
        median = {name: statistics.median(values) for name, values in times.items()}
        rows.append(
            {
                "shape": list(shape),
                "alpha": alpha,
                "milliseconds": {name: 1e3 * value for name, value in median.items()},
                "value_ratio": median["value"] / median["scipy"],
                "both_ratio": median["both"] / median["scipy"],
                "value_memory": peak(calls["value"], p.nbytes),
                "both_memory": peak(calls["both"], p.nbytes),
                "scipy_memory": peak(calls["scipy"], p.nbytes),
            }
        )
    return rows


def main() -> int:
    """Print the table; exit 1 when a limit is exceeded."""
    parser = record.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="timed rounds per order")
    arguments = parser.parse_args()
    print(
        f"numpy {np.__version__}, scipy {scipy.__version__}, python {platform.python_version()}, {platform.machine()}"
    )
    print("shape             alpha   value  both  scipy ms | value/scipy both/scipy | memory value both scipy")
    rows, failed = [], False
    for shape in SHAPES:
        for row in measure(shape, ORDERS + GENERIC_ORDERS, arguments.rounds):
            rows.append(row)
            ms = row["milliseconds"]
            if row["alpha"] in ORDERS:
                failed |= row["value_ratio"] > VALUE_LIMIT or row["both_ratio"] > BOTH_LIMIT
            failed |= max(row["value_memory"], row["both_memory"]) > MEMORY_LIMIT
            print(
                f"{shape!s:16} {row['alpha']:6} {ms['value']:7.1f} {ms['both']:6.1f} {ms['scipy']:6.1f}   | "
                f"{row['value_ratio']:10.2f} {row['both_ratio']:10.2f} | "
                f"{row['value_memory']:11.2f} {row['both_memory']:4.2f} {row['scipy_memory']:5.2f}"
                + (f"  (plain KL {ms['scipy_form']:.1f} ms)" if row["alpha"] == 1.0 else "")
            )
    record.keep(arguments.json, {"numpy": np.__version__, "scipy": scipy.__version__, "rows": rows})
    print("limits: " + ("EXCEEDED" if failed else "kept"))
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
