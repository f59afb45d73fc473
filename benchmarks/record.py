"""The command line of the scripts of this folder, and their records."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from convergence.store import write
from verify.environment import commit, processor, versions


def parser(text: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the docstring of a script, with ``--json FILE`` for its record."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, help="write the figures to this file")
    return made


def where() -> dict[str, Any]:
    """With what, from which sources and on which processor a record is made."""
    return {"versions": versions(), "commit": commit(), "processor": processor()}


def keep(path: Path | None, record: Any) -> None:
    """Write a record, if there is a file for it."""
    if path is not None:
        write(path, json.dumps(record, ensure_ascii=False, indent=1) + "\n")


def left(path: Path | None, **same: Any) -> dict[str, Any] | None:
    """What an interrupted run has left, if anything.

    It must have been made with these versions on this processor, and agree in ``same``: else SystemExit is raised.
    """
    if path is None or not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    for name, value in {**same, "versions": versions(), "processor": processor()}.items():
        if record[name] != value:
            raise SystemExit(f"{path} has {name} {record[name]!r}, not {value!r}: name another file or remove it")
    return record
