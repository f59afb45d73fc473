"""Image files in two plain formats: IDX (MNIST, Fashion-MNIST) and the binary version of CIFAR. No pickles."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verify.trainer.config import TrainerError

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


def _content(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise TrainerError(f"{path}: cannot be read ({error}); fetch the file again") from None


def read_idx(path: Path) -> Bytes:
    """An IDX file of unsigned bytes, compressed by gzip or not.

    Raises
    ------
    TrainerError
        If the header is not that of an IDX file of bytes, or the length does not fit it.
    """
    data = _content(path)
    if len(data) < 4 or data[:3] != b"\0\0\x08" or not 1 <= data[3] <= 4 or len(data) < 4 + 4 * data[3]:
        raise TrainerError(f"{path}: not an IDX file of unsigned bytes; fetch the file again")
    shape = struct.unpack(f">{data[3]}I", data[4 : 4 + 4 * data[3]])
    body = len(data) - 4 - 4 * data[3]
    if body != (expected := int(np.prod(shape, dtype=np.int64))):
        raise TrainerError(
            f"{path}: holds {body} bytes of data where its header promises {expected} (shape {shape}); "
            "it is damaged: fetch the file again"
        )
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


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
            if data.size == 0 or data.size % (3072 + labels):
                raise TrainerError(f"{folder / name}: {data.size} bytes are no number of records; fetch it again")
            parts.append(data.reshape(-1, 3072 + labels))
        records = np.concatenate(parts)
        out += [records[:, labels:].reshape(-1, 3, 32, 32), records[:, labels - 1]]
    if out[1].max() >= classes or out[3].max() >= classes:
        raise TrainerError(f"{folder}: holds labels beyond {classes - 1}; it is damaged or another data set")
    return out[0], out[1], out[2], out[3]
