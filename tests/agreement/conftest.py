"""The modules of this folder, and the reference, can be imported by name."""

import sys
from pathlib import Path

for _folder in (Path(__file__).resolve().parents[1] / "reference", Path(__file__).resolve().parent):
    sys.path.insert(0, str(_folder))
