"""Small files of the formats that the trainer reads, and a network that draws."""

import gzip
import math
import struct

import numpy as np
from torch import nn


def dropping(shape, classes):
    """A network whose steps depend on torch's random state."""
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(math.prod(shape), classes))


def idx(values):
    values = np.asarray(values, np.uint8)
    return b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def write_idx(folder, *, samples=40, size=8, compressed=False, seed=0):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for part, count in (("train", samples), ("t10k", 20)):
        labels = np.arange(count) % 10
        images = rng.integers(0, 100, (count, size, size)) + 10 * labels[:, None, None]
        for name, values in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            data = idx(values)
            (folder / (name + ".gz" * compressed)).write_bytes(gzip.compress(data) if compressed else data)
    return folder


def write_cifar(folder, classes, *, records=20, seed=0):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    names = (
        [f"data_batch_{n}.bin" for n in range(1, 6)] + ["test_batch.bin"]
        if classes == 10
        else ["train.bin", "test.bin"]
    )
    for name in names:
        labels = np.arange(records) % classes
        pixels = rng.integers(0, 256, (records, 3072))
        coarse = [] if classes == 10 else [labels[:, None] // 5]
        (folder / name).write_bytes(np.hstack([*coarse, labels[:, None], pixels]).astype(np.uint8).tobytes())
    return folder


def write_npz(path, *, samples=40, size=16, seed=0):
    rng = np.random.default_rng(seed)
    parts = {}
    for prefix, count in (("", samples), ("test_", 20)):
        parts[f"{prefix}x"] = rng.integers(0, 256, (count, 3, size, size), np.uint8)
        parts[f"{prefix}y"] = np.arange(count) % 10
    np.savez(path, **parts)
    return path
