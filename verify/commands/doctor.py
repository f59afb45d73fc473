"""``rdml doctor``: what this machine has, what it lacks, and what to do about it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import click

from verify.commands.common import json_option, output, print_json, told
from verify.reading import in_a_line

__all__ = ["Finding", "doctor_command", "findings"]

State = Literal["fine", "note", "wrong"]
_SIGNS: dict[State, str] = {"fine": "[green]✓[/]", "note": "[yellow]•[/]", "wrong": "[red]✗[/]"}

_EXTRAS = {
    "torch": "the losses",
    "symbolic": "formulas and proofs",
    "verify": "claims, report, command line",
    "train": "the trainer and the bias monitor",
    "proofs": "claims certified by an SMT solver, certified constants of formulas",
    "sdp": "the exact worst case",
    "distributed": "sweeps over several machines",
    "tensorboard": "the trainer's TensorBoard events",
}
"""The extras that users choose, and what they bring."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Finding:
    """Something that was looked at, in a line, and what to do if it is not fine."""

    about: str
    state: State
    says: str
    remedy: str = ""


def findings() -> Iterator[Finding]:
    """What there is to know, one after the other; torch is imported, for it is the one that breaks."""
    yield Finding("rdml-theory", "fine", f"{version('rdml-theory')}, in {Path(__file__).parents[2]}")
    told_version = sys.version.split()[0]
    old = sys.version_info < (3, 11)
    yield Finding("Python", "wrong" if old else "fine", told_version, "use Python 3.11 or later" if old else "")
    yield Finding("system", "fine", f"{platform.platform()}, {_cores()} cores")
    yield _threads()
    yield from _extras()
    yield from _torch()
    yield _cache()
    yield _completion()


def _cores() -> int:
    from verify.environment import cores

    return cores()


def _threads() -> Finding:
    numbers = {name: os.environ.get(name) for name in _THREADS}
    if set(numbers.values()) == {"1"}:
        return Finding("threads", "fine", "one for BLAS")
    unset = " ".join(f"{name}=1" for name, value in numbers.items() if value != "1")
    return Finding(
        "threads", "note", "BLAS may use several, which slows small problems down",
        f"export {unset}; claims use one thread in any case",
    )  # fmt: skip


def _needed(extra: str) -> Iterator[str]:
    """The distributions that an extra asks for, through the extras that it names."""
    for line in requires("rdml-theory") or ():
        requirement, _, marker = line.partition(";")
        if marker.strip().replace('"', "'") != f"extra == '{extra}'":
            continue
        name = requirement.strip()
        if name.startswith("rdml-theory["):
            for inner in name[len("rdml-theory[") :].partition("]")[0].split(","):
                yield from _needed(inner)
        else:
            yield name.split("[")[0].split(">")[0].split("=")[0].split("<")[0].strip()


def _extras() -> Iterator[Finding]:
    seen: set[str] = set()
    for extra, brings in _EXTRAS.items():
        needed = list(dict.fromkeys(_needed(extra)))
        missing = []
        for name in needed:
            try:
                version(name)
            except PackageNotFoundError:
                missing.append(name)
        about = f"extra {extra}"
        if missing:
            remedy = f"pip install 'rdml-theory[{extra}]'"
            yield Finding(about, "note", f"{brings}: {', '.join(missing)} not installed", remedy)
        else:
            own = [name for name in needed if name not in seen]
            seen.update(own)
            yield Finding(about, "fine", f"{brings}: {', '.join(f'{name} {version(name)}' for name in own)}")


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError:
        return  # told as an extra
    except OSError as error:  # a library that does not load
        yield Finding("torch", "wrong", in_a_line(error, None), "install torch again, from its own instructions")
        return
    cuda = f"CUDA {torch.version.cuda} on {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "no GPU"
    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding("torch", "fine", f"{cuda}; CPU code for {capability}, {torch.get_num_threads()} threads")
    if hidden := os.environ.get("ATEN_CPU_CAPABILITY"):
        kept = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        yield Finding(
            "torch.compile", "fine" if kept else "wrong",
            f"ATEN_CPU_CAPABILITY={hidden} hides instructions, and compiled code is not kept apart by them",
            "" if kept else "export TORCHINDUCTOR_CACHE_DIR to a folder of its own: code of another kind can crash",
        )  # fmt: skip
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        yield Finding("torch.compile", "note", "no C++ compiler on the PATH", "install g++, or leave compile off")
    yield Finding(
        "torch on a CPU", "note",
        "channels_last with a strided 1 x 1 convolution of fewer than 16 channels writes outside its memory "
        "(oneDNN issue 6035, open as of torch 2.13.0)",
        "nothing: the trainer refuses such networks; in your own code leave channels_last off",
    )  # fmt: skip


def _cache() -> Finding:
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    usable = os.access(place if place.exists() else place.parent, os.W_OK)
    if usable:
        return Finding("cache", "fine", f"{place / 'rdml-theory'}")
    return Finding("cache", "note", f"{place} cannot be written: `rdml list` takes seconds", "set XDG_CACHE_HOME")


def _completion() -> Finding:
    shell = Path(os.environ.get("SHELL", "bash")).name
    if shell == "fish":
        line = "_RDML_COMPLETE=fish_source rdml | source"
    else:
        shell = "zsh" if shell == "zsh" else "bash"
        line = f'eval "$(_RDML_COMPLETE={shell}_source rdml)"'
    return Finding("completion", "fine", f"commands, options and claims by the tab key, in {shell}: {line}")


@click.command("doctor", short_help="Check what is installed and what is missing.")
@json_option
def doctor_command(as_json: bool) -> int:
    """Check versions, threads, extras and torch, and say how to fix what is wrong.

    Exit code 1 means that something is wrong; an extra that is not installed is not.
    """
    found = []
    console = output()
    for finding in findings():
        found.append(finding)
        if not as_json:
            console.print(f"{_SIGNS[finding.state]} [bold]{finding.about}[/]")
            told(console, finding.says)
            if finding.remedy:
                told(console, f"→ {finding.remedy}")
    if as_json:
        print_json(json.dumps([asdict(finding) for finding in found], ensure_ascii=False, indent=2))
    return 1 if any(finding.state == "wrong" for finding in found) else 0
