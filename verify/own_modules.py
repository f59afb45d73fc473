"""Modules of the user's own, beside those that are installed."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["importable"]


def importable(folder: Path) -> None:
    """Let the modules of a folder be imported, last: what lies beside a user's file takes no library's place."""
    if (place := str(folder)) not in sys.path:
        sys.path.append(place)
