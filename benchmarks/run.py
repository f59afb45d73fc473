"""Run every benchmark of this folder, side by side on one core, and keep the figures with the machine they belong to.

    python benchmarks/run.py [--json FILE]

Nothing is asserted: speed is reported as ratios between things run side by side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import record

HERE = Path(__file__).parent


def main() -> None:
    options = record.parser(__doc__).parse_args()
    figures: dict[str, object] = record.where()
    single = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory() as folder:
        for script in sorted(HERE.glob("bench_*.py")):
            print(f"== {script.stem}", flush=True)
            target = Path(folder) / f"{script.stem}.json"
            subprocess.run([sys.executable, str(script), "--json", str(target)], check=True, env=single)
            figures[script.stem] = json.loads(target.read_text(encoding="utf-8"))
    record.keep(options.json, figures)


if __name__ == "__main__":
    main()
