"""What loops hold samples in, and what networks return: tensors, or tuples, lists and dictionaries of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import SubsetRandomSampler

__all__ = ["check_samples", "gathered", "logits_of", "taken"]


def taken(x: Any, rows: Tensor | slice) -> Any:
    """Some of the samples, in what they are held in.

    >>> taken({"ids": torch.arange(4), "mask": torch.ones(4)}, torch.tensor([1, 3]))["ids"].tolist()
    [1, 3]
    """
    return _mapped(lambda part: part[rows], x)


def _mapped(change: Callable[[Tensor], Any], x: Any) -> Any:
    if isinstance(x, Tensor):
        return change(x)
    if isinstance(x, Mapping):
        return {key: _mapped(change, part) for key, part in x.items()}
    return type(x)(_mapped(change, part) for part in x)


def _leaves(x: Any, name: str = "x") -> Iterator[tuple[str, Any]]:
    if isinstance(x, Mapping):
        for key, part in x.items():
            yield from _leaves(part, f"{name}[{key!r}]")
    elif isinstance(x, tuple | list) and not hasattr(x, "_fields"):
        for number, part in enumerate(x):
            yield from _leaves(part, f"{name}[{number}]")
    else:
        yield name, x


def logits_of(output: Any) -> Any:
    """The logits in what a network returns: a tensor, ``.logits``, ``["logits"]``, or the first of a tuple.

    >>> z = torch.zeros(2, 3)
    >>> all(logits_of(output) is z for output in (z, {"logits": z, "loss": 0}, (z, "hidden")))
    True
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping) and "logits" in output:
        return output["logits"]
    if (found := getattr(output, "logits", None)) is not None:
        return found
    return output[0] if isinstance(output, tuple | list) and output else output


def gathered(loader: Any, most: int = 0) -> tuple[Any, Tensor, int, float]:
    """The samples and labels of a loader's batches, each a pair (x, y) or a dictionary that has "labels".

    Parameters
    ----------
    loader : iterable
        Batches. They are read once, as they come.
    most : int
        Stop once there are so many samples; 0 for all.

    Returns
    -------
    tuple
        The samples, their labels, the size of a batch, and how many samples the training draws from: infinite where
        that is not known, or where it draws with replacement.

    Raises
    ------
    TypeError
        If a batch is neither.

    Examples
    --------
    >>> batches = [{"ids": torch.zeros(2, 5), "labels": torch.tensor([0, 1])}] * 3
    >>> x, y, size, total = gathered(batches)
    >>> x["ids"].shape, len(y), size, total
    (torch.Size([6, 5]), 6, 2, 6)
    >>> gathered(batches, 3)[3]
    inf
    """
    parts, labels, rest = [], [], False
    for batch in loader:
        # One batch more than is wanted shows whether there is one.
        if rest := 0 < most <= sum(map(len, labels)):
            break
        if isinstance(batch, Mapping) and "labels" in batch:
            x, y = {key: part for key, part in batch.items() if key != "labels"}, batch["labels"]
        elif isinstance(batch, tuple | list) and len(batch) == 2:
            x, y = batch
        else:
            raise TypeError(
                f'a batch is a {type(batch).__name__}: expected a pair (x, y) or a dictionary with "labels"'
            )
        parts.append(x)
        labels.append(y)
    if not parts:
        raise ValueError("the loader has no batches")
    y = torch.cat(labels)
    total = _drawn_from(loader)
    if total is None:
        total = math.inf if rest else len(y)
    return _joined(parts), y, max(map(len, labels)), total


def _drawn_from(loader: Any) -> float | None:
    """How many samples a training by this loader draws from; infinite with replacement, None if it does not say."""
    sampler, dataset = getattr(loader, "sampler", None), getattr(loader, "dataset", None)
    if getattr(sampler, "replacement", False):
        return math.inf
    if isinstance(sampler, SubsetRandomSampler):
        return len(sampler)
    # Not what the sampler draws in an epoch: the next may be others, and other processes have theirs.
    return len(dataset) if isinstance(dataset, Sized) else None


def _joined(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts)
    if isinstance(first, Mapping):
        return {key: _joined([part[key] for part in parts]) for key in first}
    return type(first)(_joined([part[n] for part in parts]) for n in range(len(first)))


def check_samples(x: Any, y: Any) -> None:
    """Raise unless these are finite samples (N, ...) and integer labels (N,), or as many distributions (N, C)."""
    leaves = list(_leaves(x))
    for name, value in (*leaves, ("y", y)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} has type {type(value).__name__}: expected a torch.Tensor; use torch.as_tensor")
    if y.is_floating_point() and y.ndim == 2:
        total = y.double().sum(1)
        if not bool((y >= 0).all()) or not bool(((total - 1).abs() < 1e-3).all()):
            raise ValueError("y holds rows that are not distributions: expected numbers >= 0 that sum to one")
    elif y.ndim != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(
            f"y has {y.dtype} of shape {tuple(y.shape)}: expected integer labels (N,), or distributions (N, C)"
        )
    if not leaves:
        raise ValueError(f"x is an empty {type(x).__name__}: expected samples")
    for name, part in leaves:
        if part.ndim < 1 or len(part) != len(y) or not len(y):
            raise ValueError(
                f"{name} of shape {tuple(part.shape)} and y of {tuple(y.shape)}: expected as many samples as labels, "
                "at least one"
            )
        if part.device != y.device:
            raise ValueError(f"{name} is on {part.device} and y on {y.device}: move one with .to()")
        if (part.is_floating_point() or part.is_complex()) and not bool(part.isfinite().all()):
            raise ValueError(f"{name} holds NaN or infinite values: remove those samples")
