"""Exact worst cases and proved bounds: seconds against the horizon, solving and checking apart.

python benchmarks/bench_worst_case.py [--json FILE]
"""

from __future__ import annotations

from time import perf_counter

import record

from convergence import Assumptions, stepwise_bound, worst_case

CASES = [
    ("worst_case", worst_case, 0.0, (4, 8, 16, 24)),
    ("worst_case, noise tree", worst_case, 0.5, (2, 3, 4)),
    ("stepwise_bound", stepwise_bound, 0.0, (100, 1000)),
]


def main() -> None:
    options = record.parser(__doc__).parse_args()
    rows = []
    for name, function, noise, horizons in CASES:
        assumptions = Assumptions(smoothness=1, gap=1, noise=noise, bias=1)
        function(assumptions, 0.5, 2)
        for steps in horizons:
            begin = perf_counter()
            found = function(assumptions, 0.5, steps)
            solved = perf_counter()
            proved = found.certificate.check()
            rows.append(
                dict(what=name, steps=steps, seconds=solved - begin, check=perf_counter() - solved, proved=proved)
            )
            row = "{what:24} T = {steps:5}  {seconds:8.3f} s, certificate {check:.3f} s, proved: {proved}"
            print(row.format(**rows[-1]))
    record.keep(options.json, rows)


if __name__ == "__main__":
    main()
