"""Write `renyi_table.json`: values and derivatives of the Rényi divergence from the naive reference, to 40 digits.

    python tests/reference/make_table.py

Nothing here imports the product. The inputs come from `hard_sets`, the results from `naive_renyi` at 720 digits.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import hard_sets
import mpmath as mp
import naive_renyi as naive

DIGITS = 720  # enough for two entries of 1e-300
SHOWN = 40
SEED = 1961  # the year of Rényi's paper
PER_KIND = 14
TABLE = Path(__file__).with_name("renyi_table.json")


def text(x: mp.mpf) -> str:
    """Return a number to 40 digits."""
    return "inf" if mp.isinf(x) else mp.nstr(x, SHOWN, strip_zeros=True)


def row(case: hard_sets.Case) -> dict[str, object]:
    """Evaluate one case."""
    domain = "logits" if case.kind == "logits" else "probs"
    p, q = naive.normalised(case.p, domain), naive.normalised(case.q, domain)
    value = naive.divergence(p, q, case.alpha)
    out: dict[str, object] = {
        "kind": case.kind,
        "domain": domain,
        "alpha": case.alpha if math.isfinite(case.alpha) else "inf",
        "p": [float(x) for x in case.p],
        "q": [float(x) for x in case.q],
        "divergence": text(value),
    }
    if 0.0 < case.alpha < math.inf and not mp.isinf(value):
        out["student"] = [text(x) for x in naive.student_gradient(p, q, case.alpha)]
        out["teacher"] = [text(x) for x in naive.teacher_gradient(p, q, case.alpha)]
        out["order"] = text(naive.order_derivative(p, q, case.alpha))
    return out


def main() -> None:
    """Write the table."""
    with mp.workdps(DIGITS):
        cases = [
            *hard_sets.probability_cases(SEED, PER_KIND, classes=(2, 4)),
            *hard_sets.logit_cases(SEED, PER_KIND, (2, 4)),
        ]
        rows = [row(case) for case in cases]
    lines = ",\n".join(json.dumps(r) for r in rows)
    TABLE.write_text(f'{{"schema": 1, "seed": {SEED}, "digits": {SHOWN}, "rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
