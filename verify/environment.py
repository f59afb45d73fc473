"""Where and with what a run is made: versions, commit, hardware, and a digest of the sources."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

__all__ = ["commit", "processor", "source_digest", "versions"]

_PACKAGES = ("rdml_theory", "convergence", "verify")
_LIBRARIES = ("rdml-theory", "numpy", "scipy", "sympy", "mpmath", "scikit-learn", "matplotlib", "torch")


def versions() -> dict[str, str]:
    """The versions of this distribution and of the libraries whose numbers it reports."""
    out = {}
    for name in _LIBRARIES:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            out[name] = "not installed"
    return out


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
    """A digest of every Python source of the three packages: equal digests mean equal code."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        root = Path(import_module(package).__file__ or "").parent
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{package}/{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    digest.update(sys.version.encode())
    for name, version in versions().items():
        digest.update(f"{name}={version}".encode())
    return digest.hexdigest()[:16]


def cores() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
