"""Image files in two plain formats: IDX (MNIST, Fashion-MNIST) and the binary version of CIFAR. No pickles."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verify.trainer.errors import TrainerError

__all__ = ["read_cifar", "read_idx", "read_idx_folder"]

Bytes = NDArray[np.uint8]

_IDX_NAMES = (
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
_CIFAR = {
    10: (tuple(f"data_batch_{n}.bin" for n in range(1, 6)), ("test_batch.bin",), "cifar-10-batches-bin"),
    100: (("train.bin",), ("test.bin",), "cifar-100-binary"),
}


MOST = 2**30
"""Bytes of a file, unpacked; MNIST has 47 MB, the largest part of EMNIST 547."""


def _content(path: Path, limit: int = MOST) -> bytes:
    """The bytes of a file, unpacked, and at most one more than the limit: a few kilobytes may unpack to gigabytes."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TrainerError(f"{path}: cannot be read ({error}); fetch the file again") from None


def read_idx(path: Path) -> Bytes:
    """An IDX file of unsigned bytes, compressed by gzip or not.

    Raises
    ------
    TrainerError
        If the header is not that of an IDX file of bytes, promises nothing or more than 1 GiB, or the length does not
        fit it.
    """
    head = _content(path, 4 + 4 * 4)
    if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 4 or len(head) < 4 + 4 * head[3]:
        raise TrainerError(f"{path}: not an IDX file of unsigned bytes; fetch the file again")
    start = 4 + 4 * head[3]
    shape = struct.unpack(f">{head[3]}I", head[4:start])
    expected = math.prod(shape)
    if not 0 < expected <= MOST:
        raise TrainerError(f"{path}: its header promises {expected:,} bytes (shape {shape}): expected 1 to {MOST:,}")
    data = _content(path, start + expected)
    if (body := len(data) - start) != expected:
        held = f"more than {expected}" if body > expected else body
        raise TrainerError(
            f"{path}: holds {held} bytes of data where its header promises {expected} (shape {shape}); "
            "it is damaged: fetch the file again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _folder(folder: Path | None, what: str) -> Path:
    if folder is None:
        raise TrainerError(f"data {what} needs --data-dir, the folder with its files")
    if not folder.is_dir():
        raise TrainerError(f"--data-dir {folder}: no such folder")
    return folder


def _found(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz", folder / name.replace("-idx", ".idx")):
        if candidate.is_file():
            return candidate
    raise TrainerError(f"--data-dir {folder}: has no {name} (nor {name}.gz)")


def read_idx_folder(folder: Path | None) -> tuple[Bytes, Bytes, Bytes, Bytes]:
    """Training images (N, 1, H, W) and labels, and those of the test, as MNIST and Fashion-MNIST come."""
    folder = _folder(folder, "idx")
    out: list[Bytes] = []
    for images, labels in _IDX_NAMES:
        x, y = read_idx(_found(folder, images)), read_idx(_found(folder, labels))
        if x.ndim != 3 or y.ndim != 1 or len(x) != len(y):
            raise TrainerError(f"{folder}: {images} has shape {x.shape} and {labels} {y.shape}: they do not belong")
        out += [x[:, None], y]
    return out[0], out[1], out[2], out[3]


def read_cifar(folder: Path | None, classes: int) -> tuple[Bytes, Bytes, Bytes, Bytes]:
    """CIFAR-10 or CIFAR-100 from its binary version: training images (N, 3, 32, 32) and labels, and those of the test.

    Each record is one label byte (two for CIFAR-100: coarse, then fine) and 3072 bytes of pixels.
    """
    folder = _folder(folder, f"cifar{classes}")
    train, test, usual = _CIFAR[classes]
    if not (folder / train[0]).is_file() and (folder / usual).is_dir():
        folder = folder / usual
    labels = 1 if classes == 10 else 2
    out: list[Bytes] = []
    for names in (train, test):
        parts = []
        for name in names:
            if not (folder / name).is_file():
                raise TrainerError(f"--data-dir {folder}: has no {name}; get the binary version, not the Python one")
            data = np.frombuffer(_content(folder / name), np.uint8)
            if not 0 < data.size <= MOST or data.size % (3072 + labels):
                raise TrainerError(
                    f"{folder / name}: {data.size} bytes are not a whole number of records; fetch it again"
                )
            parts.append(data.reshape(-1, 3072 + labels))
        records = np.concatenate(parts)
        out += [records[:, labels:].reshape(-1, 3, 32, 32), records[:, labels - 1]]
    if out[1].max() >= classes or out[3].max() >= classes:
        raise TrainerError(f"{folder}: holds labels beyond {classes - 1}; it is damaged or another data set")
    return out[0], out[1], out[2], out[3]
