"""Checkpoints: tensors and their description in one safetensors file, written at once, never unpickled.

The file holds all students, the optimizer's state, a learned order, the random state and the losses of the epoch under
way; its header holds the rest as JSON, and a digest of that text and of the tensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convergence.store import seal, write
from verify.reading import in_a_line, parse_json
from verify.trainer.errors import TrainerError
from verify.trainer.update import Cohort

__all__ = [
    "cohort_tensors", "load_checkpoint", "load_students", "restore_cohort", "save_checkpoint", "student_tensors",
]  # fmt: skip

FORMAT = "rdml-theory cohort"
VERSION = 3

Tensors = dict[str, Tensor]


def student_tensors(students: list[nn.Module]) -> Tensors:
    """Parameters and buffers of all students under the names ``students.K.NAME``."""
    return {f"students.{k}.{name}": v for k, s in enumerate(students) for name, v in s.state_dict().items()}


def _digest(description: str, tensors: Mapping[str, Tensor]) -> str:
    content: list[str | bytes | memoryview] = [description]
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        bits = value.reshape(-1).view(torch.uint8).numpy().data if value.numel() else b""
        content += (f"\0{name} {tuple(value.shape)} {value.dtype}\0", bits)
    return seal(*content)


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and a JSON description; readers see the old file or the new one, never a part."""
    from safetensors.torch import save

    # Copies: safetensors refuses tensors that share memory, as views of stacked parameters do.
    own = {name: v.detach().cpu().clone(memory_format=torch.contiguous_format) for name, v in tensors.items()}
    description = json.dumps({"format": FORMAT, "version": VERSION, "tensors": len(own), **meta})
    write(path, save(own, {"rdml": description, "digest": _digest(description, own)}))


def load_checkpoint(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Tensors and description of a checkpoint.

    Raises
    ------
    TrainerError
        If the file is missing, damaged, truncated, or not such a checkpoint.
    """
    from safetensors import SafetensorError, safe_open

    remedy = "delete it, or name another run"
    if not path.is_file():
        raise TrainerError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            # Copies: the tensors are the file's own pages, which end the process if the file becomes shorter.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        raise TrainerError(f"{path}: damaged, truncated or not a checkpoint ({in_a_line(error)}); {remedy}") from None
    description = header.get("rdml", "null")
    try:
        meta = parse_json(description, what="its description")
    except ValueError as error:
        raise TrainerError(f"{path}: damaged, {error}; {remedy}") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise TrainerError(f"{path}: a safetensors file of another program; {remedy}")
    if meta.get("version") != VERSION:
        raise TrainerError(f"{path}: version {meta.get('version')!r}, this program reads {VERSION}; {remedy}")
    if header.get("digest") != _digest(description, tensors) or meta.get("tensors") != len(tensors):
        raise TrainerError(f"{path}: damaged, its content does not have the digest in its header; {remedy}")
    return tensors, meta


def load_students(students: list[nn.Module], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy the weights of a checkpoint into students, in place."""
    for k, student in enumerate(students):
        prefix = f"students.{k}."
        own = {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
        try:
            student.load_state_dict(own)
        except RuntimeError as error:
            raise TrainerError(
                f"{path}: student {k} does not fit the network of this run ({in_a_line(error)})"
            ) from None


def cohort_tensors(cohort: Cohort) -> Tensors:
    """Everything that a cohort's next step depends on."""
    out = student_tensors(cohort.students)
    if cohort.learned is not None:
        out["order.raw"] = cohort.learned.raw
    for number, state in cohort.optimizer.state_dict()["state"].items():
        out |= {f"optimizer.{number}.{k}": torch.as_tensor(v) for k, v in state.items() if v is not None}
    out["random.cpu"] = torch.get_rng_state()
    if cohort.device.type == "cuda":
        out["random.cuda"] = torch.cuda.get_rng_state(cohort.device)
    return out


def restore_cohort(cohort: Cohort, tensors: Mapping[str, Tensor], scaler: Any, path: Path) -> None:
    """Put a cohort where :func:`cohort_tensors` took it; ``scaler`` is the state of its loss scaling."""
    load_students(cohort.students, tensors, path)
    description = cohort.optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [p for group in cohort.optimizer.param_groups for p in group["params"]]
    try:
        for name, value in tensors.items():
            if not name.startswith("optimizer."):
                continue
            _, number, key = name.split(".", 2)
            own = parameters[int(number)]
            if value.ndim and value.shape != own.shape:
                raise ValueError(f"{name} has shape {tuple(value.shape)}, its parameter {tuple(own.shape)}")
            # A fused step goes through the memory of a parameter and of its state side by side.
            beside = torch.empty_like(own, dtype=value.dtype).copy_(value) if value.ndim else value
            state.setdefault(int(number), {})[key] = beside
        if len({frozenset(values) for values in state.values()}) > 1:
            raise ValueError("parameters have different kinds of optimizer state")
        if cohort.learned is not None:
            with torch.no_grad():
                cohort.learned.raw.copy_(tensors["order.raw"])
        cohort.optimizer.load_state_dict({**description, "state": state})
        torch.set_rng_state(tensors["random.cpu"])
        if cohort.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], cohort.device)
        if cohort.scaler.is_enabled():
            own = cohort.scaler.state_dict()
            if not isinstance(scaler, dict) or any(type(scaler.get(k)) is not type(v) for k, v in own.items()):
                raise ValueError("the state of its loss scaling is incomplete")
            cohort.scaler.load_state_dict(scaler)
    except (LookupError, ValueError, RuntimeError, TypeError) as error:
        raise TrainerError(f"{path}: does not fit this run ({in_a_line(error)})") from None
