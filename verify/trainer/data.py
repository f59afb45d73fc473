"""Training, validation and test samples as tensors; batches whose order depends on the seed and the epoch alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from verify.streams import generator
from verify.trainer.distributed import Group
from verify.trainer.errors import TrainerError
from verify.trainer.files import CLASSES, read_source

__all__ = ["Batches", "Data", "Split", "augment", "epoch_order", "load_data"]


@dataclass(frozen=True)
class Split:
    """Samples and labels. Images stay bytes; :meth:`Data.prepare` makes numbers of a batch."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device) -> Split:
        """The same samples on a device."""
        return Split(self.x.to(device), self.y.to(device))

    def take(self, rows: Tensor) -> Split:
        """Some of the samples."""
        return Split(self.x[rows], self.y[rows])


@dataclass(frozen=True)
class Data:
    """A data set: three disjoint parts, its classes, and how networks see its samples.

    ``mean`` and ``scale`` standardise images channel by channel; ``dtype`` and ``layout`` are what batches come in.
    """

    train: Split
    validation: Split
    test: Split
    classes: int
    mean: Tensor | None = None
    scale: Tensor | None = None
    dtype: torch.dtype = torch.float32
    layout: torch.memory_format = torch.contiguous_format

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample, channels first."""
        return tuple(self.train.x.shape[1:])

    def to(self, device: torch.device) -> Data:
        """The same data on a device."""
        parts = {name: getattr(self, name).to(device) for name in ("train", "validation", "test")}
        if self.mean is not None and self.scale is not None:
            parts |= {"mean": self.mean.to(device), "scale": self.scale.to(device)}
        return replace(self, **parts)

    def prepare(self, x: Tensor) -> Tensor:
        """A batch as the networks see it: bytes become standardised numbers."""
        if self.mean is not None and self.scale is not None:
            x = torch.addcmul(-self.mean * self.scale, x.float(), self.scale)
        x = x.to(self.dtype)
        return x.contiguous(memory_format=self.layout) if x.ndim == 4 else x


class Batches:
    """The batches of a run: functions of the step, whose order depends on the seed and the epoch alone.

    Parameters
    ----------
    data : Data
        On its device.
    size : int
        Samples in a step, over all processes; an incomplete last batch of an epoch is left out.
    seed : int
        Of the order and of the augmentation.
    kind : str
        As for :func:`augment`.
    group : Group, optional
        The processes that share the batches.
    """

    def __init__(self, data: Data, size: int, *, seed: int, kind: str = "none", group: Group | None = None) -> None:
        self.data, self.size, self.seed, self.kind, self.group = data, size, seed, kind, group or Group()
        _refuse_unfit(kind, data.shape)
        self.per_epoch = len(data.train) // size
        if self.per_epoch == 0:
            raise TrainerError(f"batch = {size}: there are {len(data.train)} training samples; use a smaller batch")
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The samples and labels of a step, or this process's share of them."""
        epoch, index = divmod(step, self.per_epoch)
        train = self.data.train
        if self._order[0] != epoch:
            self._order = (epoch, epoch_order(len(train), self.seed, epoch).to(train.y.device))
        rows = self._order[1][index * self.size : (index + 1) * self.size]
        share = self.group.share(self.size)
        if self.kind == "none":
            x = train.x.index_select(0, rows[share])
        else:
            # All processes draw for the whole batch, so that their number changes nothing.
            x = augment(train.x[rows], self.kind, generator(self.seed, "augment", step))[share]
        return self.data.prepare(x), train.y.index_select(0, rows[share])


def epoch_order(samples: int, seed: int, epoch: int) -> Tensor:
    """The order of the samples in an epoch: a permutation that depends on the seed and the epoch alone."""
    return torch.randperm(samples, generator=generator(seed, "order", epoch))


def _refuse_unfit(kind: str, shape: tuple[int, ...]) -> None:
    needs = {"shift": "signals (C, L)", "crop-flip": "images (C, H, W)"}
    if kind in needs and len(shape) != needs[kind].count(",") + 1:
        raise TrainerError(f"augment = {kind!r} needs {needs[kind]}, the samples have shape {shape}; use none")


def augment(x: Tensor, kind: str, random: torch.Generator) -> Tensor:
    """A batch of bytes or numbers, shifted or cropped and mirrored sample by sample, on its own device.

    The offsets are drawn on the CPU, so that they are the same on every device.
    """
    if kind == "none":
        return x
    _refuse_unfit(kind, tuple(x.shape[1:]))
    batch, device = len(x), x.device
    if kind == "shift":
        offset = torch.randint(-4, 5, (batch, 1), generator=random).to(device)
        index = (torch.arange(x.shape[-1], device=device) + offset) % x.shape[-1]
        return x.gather(-1, index.unsqueeze(1).expand_as(x))
    draws = torch.randint(0, 9, (2, batch), generator=random)
    mirrored = torch.rand(batch, generator=random) < 0.5
    padded = torch.nn.functional.pad(x, (4, 4, 4, 4))
    rows = (torch.arange(x.shape[2]) + draws[0][:, None]).to(device)
    columns = torch.arange(x.shape[3]).expand(batch, -1)
    columns = (torch.where(mirrored[:, None], columns.flip(1), columns) + draws[1][:, None]).to(device)
    sample = torch.arange(batch, device=device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def load_data(source: str, folder: Path | None = None, *, validation: float = 0.1, seed: int = 0) -> Data:
    """A data set by its name.

    Parameters
    ----------
    source : str
        mnist1d, digits, idx, cifar10, cifar100, npz, folder, torchvision/NAME, or package.module:factory: a function
        without arguments that returns training samples and labels, and those of the test.
    folder : Path, optional
        Where its files are, if it has any; for npz the file.
    validation : float
        Share of the training samples that is set aside.
    seed : int
        Of that choice.

    Raises
    ------
    TrainerError
        If the data is unknown, missing or damaged, or too small to be split.
    """
    x, y, test_x, test_y = (np.asarray(part) for part in read_source(source, folder))
    if len(test_y) == 0 or x.shape[1:] != test_x.shape[1:]:
        raise TrainerError(
            f"data {source!r}: the training samples have shape {x.shape[1:]} and the {len(test_y)} test samples "
            f"{test_x.shape[1:]}: expected test samples of the same shape"
        )
    name = source.rstrip("/")
    classes = CLASSES.get(name) or int(max(y.max(), test_y.max())) + 1
    if (name == "npz" or ":" in source) and (missing := np.setdiff1d(np.arange(classes), y)).size:
        raise TrainerError(
            f"data {source!r}: the labels go from {min(y.min(), test_y.min())} to {classes - 1}, and no training "
            f"sample has label {missing[0]}: expected 0 to C - 1, each in training; relabel the classes 0 to C - 1"
        )
    kept = round(validation * len(y))
    if len(y) - kept < 2 or classes < 2:
        raise TrainerError(f"data {source!r} has {len(y)} training samples of {classes} classes: too few to split")
    everything, test = _split(x, y), _split(test_x, test_y)
    order = torch.randperm(len(y), generator=generator(seed, "split"))
    train, held_out = everything.take(order[kept:]), everything.take(order[:kept])
    mean, scale = _moments(train.x) if train.x.dtype == torch.uint8 else (None, None)
    return Data(train, held_out, test, classes, mean, scale)


def _split(x: np.ndarray, y: np.ndarray) -> Split:
    x = np.array(x, dtype=np.uint8 if x.dtype == np.uint8 else np.float32)
    return Split(torch.from_numpy(x), torch.from_numpy(y.astype(np.int64)))


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and inverse standard deviation of the training pixels, channel by channel."""
    axes = [0, *range(2, x.ndim)]
    count = x.numel() / x.shape[1]
    mean = x.sum(axes, dtype=torch.float64) / count
    square = torch.stack([part.double().square().sum(axes) for part in x.split(4096)]).sum(0) / count
    scale = (square - mean**2).clamp_min(1e-12).rsqrt()
    shape = (-1, *(1 for _ in range(x.ndim - 2)))
    return mean.float().view(shape), scale.float().view(shape)
