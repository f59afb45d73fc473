"""Decisions of proof steps, kept between runs and checked before they are used again.

What is kept of a decided relation is its outcome and, for a refutation, the point at which it fails. Nothing kept is
believed:

- A refutation is used only if the relation fails at its point, evaluated again with 50 and with 100 digits.
- A confirmation is used only if the relation holds at fresh random points, drawn from the run's seed, with one to four
  classes. One in eight, chosen by the seed, is proved again from the beginning as well.
- What fails its check is discarded, and the relation is decided as if nothing had been kept.

So a kept "true" for a relation that fails for some number of classes up to four is discarded: an analytic relation that
fails at all fails at almost every point. Only the proof covers larger numbers of classes, and inequalities that fail on
a small region; for those a forged entry is found with probability 1/8 in each run with a new seed. Whoever wants none
of it runs with ``--no-cache``.

An entry belongs to the sources of ``rdml_theory.symbolic``, the versions of Python, SymPy and mpmath, and the relation
in full; another of any of these finds nothing. The files are JSON and are replaced as a whole, so that a reader sees an
old or a new one, never a part; of two runs at the same time the later one's entries stay.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from functools import cache
from pathlib import Path
from typing import Any

import mpmath
import sympy
from sympy import Dummy, srepr
from sympy.core.relational import Relational

import rdml_theory.symbolic
from rdml_theory.symbolic.decide import counterexample, decide, fails_at
from rdml_theory.symbolic.evaluation import Point
from verify.context import Context
from verify.records import write_atomically

__all__ = ["ENVIRONMENT_VARIABLE", "ProofCache", "decided", "default_folder"]

ENVIRONMENT_VARIABLE = "RDML_CACHE"
"""Names the folder; empty, there is no cache."""

PROVED_AGAIN = 8
"""One in this many kept confirmations is proved again in each run."""

_SCHEMA = 1


def default_folder() -> Path | None:
    """Where decisions are kept: ``$RDML_CACHE``, or the user's cache directory; ``None`` for no cache.

    >>> import os
    >>> os.environ["RDML_CACHE"] = ""
    >>> default_folder() is None
    True
    """
    if (named := os.environ.get(ENVIRONMENT_VARIABLE)) is not None:
        return Path(named) if named else None
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "rdml-theory"
    except RuntimeError:
        return None  # no home directory


@cache
def _sources() -> str:
    """A digest of what decides: the symbolic package and the libraries under it."""
    digest = hashlib.sha256()
    folder = Path(rdml_theory.symbolic.__file__).parent
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    digest.update(f"{_SCHEMA}/{sys.version}/{sympy.__version__}/{mpmath.__version__}".encode())
    return digest.hexdigest()


class ProofCache:
    """The kept decisions of one check.

    Parameters
    ----------
    path : Path, optional
        The file; without one, everything is decided anew and nothing is kept.
    seed : int
        The run's seed, which names the fresh points and chooses what is proved again.

    Attributes
    ----------
    reused : int
        How many decisions were taken from the file, after their check.
    discarded : int
        How many failed it.
    """

    def __init__(self, path: Path | None, seed: int) -> None:
        self.path, self.seed = path, seed
        self.reused = self.discarded = 0
        self._kept: dict[str, dict[str, Any]] = {} if path is None else _read(path)
        self._settled: dict[Relational, bool | None] = {}
        self._changed = False

    def decide(self, relation: Relational) -> bool | None:
        """What :func:`~rdml_theory.symbolic.decide.decide` says at points of the run's seed, or has said before."""
        # A claim and its twins share most of their steps.
        if relation not in self._settled:
            self._settled[relation] = self._looked_up(relation)
        return self._settled[relation]

    def _looked_up(self, relation: Relational) -> bool | None:
        if self.path is None or relation.has(Dummy):
            return decide(relation, self.seed)
        key = hashlib.sha256(srepr(relation).encode()).hexdigest()
        entry = self._kept.get(key)
        if entry is not None:
            if self._is_good(relation, key, entry):
                self.reused += 1
                return entry["outcome"]
            self.discarded += 1
        outcome = decide(relation, self.seed)
        self._keep(key, relation, outcome)
        return outcome

    def _is_good(self, relation: Relational, key: str, entry: dict[str, Any]) -> bool:
        if entry["outcome"] is False:
            return fails_at(relation, Point(**entry["point"]))
        if counterexample(relation, self.seed, count=1) is not None:
            return False
        again = random.Random(f"{self.seed}/{key}").randrange(PROVED_AGAIN) == 0
        return not again or decide(relation, self.seed) is True

    def _keep(self, key: str, relation: Relational, outcome: bool | None) -> None:
        before = self._kept.pop(key, None)
        if outcome is True:
            self._kept[key] = {"outcome": True}
        elif outcome is False and (point := counterexample(relation, self.seed)) is not None:
            named = {"classes": point.classes, "seed": str(point.seed), "reach": point.reach}
            self._kept[key] = {"outcome": False, "point": named}
        self._changed |= self._kept.get(key) != before

    def save(self) -> None:
        """Write what is new; a folder that cannot be written to costs the next run time and nothing else."""
        if self.path is None or not self._changed:
            return
        document = {"schema": _SCHEMA, "sources": _sources(), "decisions": self._kept}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, json.dumps(document, indent=1, sort_keys=True))
        except OSError:
            return
        self._changed = False


def _is_entry(entry: Any) -> bool:
    """Whether an entry has the form of one; what it says is checked when it is used."""
    match entry:
        case {"outcome": True}:
            return len(entry) == 1
        case {"outcome": False, "point": {"classes": int(classes), "seed": str(), "reach": int(reach)} as point}:
            return len(entry) == 2 and len(point) == 3 and 1 <= classes <= 8 and 1 <= reach <= 8
    return False


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The well-formed entries of a file, if it was written by the same sources."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    match document:
        case {"schema": schema, "sources": sources, "decisions": dict(entries)}:
            if (schema, sources) == (_SCHEMA, _sources()):
                return {key: entry for key, entry in entries.items() if _is_entry(entry)}
    return {}


def decided(relation: Relational, context: Context) -> bool | None:
    """The decision of a relation in a check, from the cache of the run if it has one."""

    def opened() -> ProofCache:
        path = context.cache and context.cache / f"{context.claim}.{context.check}.json"
        return ProofCache(path, context.seed)

    proofs = context.shared("proofs", opened)
    before = proofs.reused
    outcome = proofs.decide(relation)
    context.reused += proofs.reused - before
    proofs.save()
    return outcome
