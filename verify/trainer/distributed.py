"""The processes of a `torchrun`: gloo between CPUs, nccl between GPUs, nothing for a single process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from verify.trainer.errors import TrainerError

__all__ = ["Group", "process_group"]


@dataclass(frozen=True)
class Group:
    """One process among its peers.

    >>> Group().share(8)
    slice(0, 8, None)
    """

    rank: int = 0
    size: int = 1

    def share(self, batch: int) -> slice:
        """The rows of a global batch that this process computes."""
        rows = batch // self.size
        return slice(self.rank * rows, (self.rank + 1) * rows)

    def average(self, value: Tensor) -> Tensor:
        """The mean over all processes, in place; every process sees the same sum."""
        if self.size > 1:
            dist.all_reduce(value)
            value /= self.size
        return value

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.size == 1:
            return flag
        device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
        return bool(self.average(torch.tensor(float(flag), device=device)) > 0)

    def wait(self) -> None:
        """Until all processes are here."""
        self.any(False)

    def check(self, students: list[nn.Module], batch: int) -> list[nn.Module]:
        """The students as several processes can train them: with statistics of the whole batch."""
        if self.size == 1:
            return students
        if batch % self.size:
            raise TrainerError(f"batch = {batch} with {self.size} processes: expected a multiple")
        normed = [any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in s.modules()) for s in students]
        if not any(normed):
            return students
        if not torch.cuda.is_available():
            raise TrainerError("batch normalisation over several CPU processes: use norm = 'group', or one process")
        return [nn.SyncBatchNorm.convert_sync_batchnorm(s) for s in students]


@contextmanager
def process_group() -> Iterator[Group]:
    """The group that `torchrun` started, or a single process."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Group(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()
