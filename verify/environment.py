"""Where and with what a run is made: versions, commit, hardware, and a digest of the sources."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from convergence.store import key, source_fingerprint, version_of

__all__ = ["commit", "processor", "source_digest", "versions"]

_PACKAGES = ("rdml_theory", "convergence", "verify")
_LIBRARIES = ("rdml-theory", "numpy", "scipy", "sympy", "mpmath", "scikit-learn", "matplotlib", "torch")


def versions() -> dict[str, str]:
    """The versions of this distribution and of the libraries whose numbers it reports."""
    return {name: version_of(name) for name in _LIBRARIES}


def commit() -> str | None:
    """The commit of the checkout the sources lie in, with ``+changes`` if they differ from it; None outside one."""
    here = Path(__file__).resolve().parent.parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != here:
            return None
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def processor() -> str:
    """The processor's model name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def source_digest() -> str:
    """A digest of the three packages' sources, of Python and of the libraries: equal digests mean equal code."""
    return key(source_fingerprint(_PACKAGES, _LIBRARIES), sys.version)[:16]


def cores() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
