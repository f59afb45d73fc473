"""Samples by name: IDX files, binary CIFAR, arrays, folders of images, data of packages, own functions. No pickles."""

from __future__ import annotations

import gzip
import importlib
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergence.arguments import did_you_mean
from convergence.data import real_data
from verify.reading import in_a_line
from verify.trainer.errors import TrainerError
from verify.trainer.mnist1d import mnist1d
from verify.trainer.networks import own_function

__all__ = [
    "CLASSES", "checked_samples", "read_cifar", "read_idx", "read_idx_folder", "read_images", "read_npz", "read_source",
]  # fmt: skip

Bytes = NDArray[np.uint8]

_IDX_NAMES = (
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
_CIFAR = {
    10: (tuple(f"data_batch_{n}.bin" for n in range(1, 6)), ("test_batch.bin",), "cifar-10-batches-bin"),
    100: (("train.bin",), ("test.bin",), "cifar-100-binary"),
}


CLASSES = {"cifar10": 10, "cifar100": 100}
"""Of data that may hold fewer."""

GREATEST = 1e18
"""Numbers in a sample, in size."""

MOST = 2**30
"""Bytes of a file, unpacked; MNIST has 47 MB, the largest part of EMNIST 547."""


def _content(path: Path, limit: int = MOST) -> bytes:
    """The bytes of a file, unpacked, and at most one more than the limit: a few kilobytes may unpack to gigabytes."""
    try:
        if path.is_fifo():
            raise OSError("it is a pipe")  # of which there may be no end
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TrainerError(f"{path}: cannot be read ({error}); download it again") from None


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
        raise TrainerError(f"{path}: not an IDX file of unsigned bytes; download it again")
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
            "the file is corrupt; download it again"
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
                    f"{folder / name}: {data.size} bytes are not a whole number of records; download it again"
                )
            parts.append(data.reshape(-1, 3072 + labels))
        records = np.concatenate(parts)
        out += [records[:, labels:].reshape(-1, 3, 32, 32), records[:, labels - 1]]
    if out[1].max() >= classes or out[3].max() >= classes:
        raise TrainerError(f"{folder}: holds labels beyond {classes - 1}; the file is corrupt, or of another data set")
    return out[0], out[1], out[2], out[3]


def checked_samples(what: str, x: Any, y: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Samples (N, C, ...) and labels (N,) of the user's own, as numbers; vectors (N, F) get one channel.

    Raises
    ------
    TrainerError
        If they are not numbers, not finite, too large for float32, or do not belong together.
    """
    samples, labels = np.asarray(x), np.asarray(y)
    if samples.dtype.kind not in "fiu" or not 2 <= samples.ndim <= 4 or not samples.size:
        raise TrainerError(
            f"{what}: the samples have shape {samples.shape} and type {samples.dtype}: expected numbers of shape "
            "(N, F), (N, C, L) or (N, C, H, W)"
        )
    if labels.dtype.kind not in "iu" or labels.shape != samples.shape[:1] or (labels < 0).any():
        raise TrainerError(
            f"{what}: the labels have shape {labels.shape} and type {labels.dtype}: expected {len(samples)} "
            "integers from 0"
        )
    if not np.isfinite(samples).all():
        raise TrainerError(f"{what}: sample {int(np.argwhere(~np.isfinite(samples))[0, 0])} is not finite")
    # Networks compute in float32, whose squares end at 1e38.
    if samples.dtype.kind == "f" and (large := np.abs(samples).max()) > GREATEST:
        raise TrainerError(
            f"{what}: a sample holds {large:.3g}: expected at most {GREATEST:g} in size; standardise them"
        )
    if labels.max() >= 10**6:
        raise TrainerError(f"{what}: a label is {labels.max()}: expected classes numbered from 0")
    return samples[:, None] if samples.ndim == 2 else samples, labels.astype(np.int64)


def read_npz(path: Path | None) -> tuple[NDArray[Any], ...]:
    """Arrays x, y, test_x and test_y of an .npz file: training samples and labels, and those of the test.

    Raises
    ------
    TrainerError
        If there is no such file, it lacks one of them, it would unpack to more than 1 GiB, or it is damaged.
    """
    if path is None or not path.is_file():
        came = "--data-dir is missing" if path is None else f"--data-dir {path}: no such file"
        raise TrainerError(f"data npz: {came}: expected a file with the arrays {', '.join(_ARRAYS)}")
    try:
        with zipfile.ZipFile(path) as members:
            if (size := sum(member.file_size for member in members.infolist())) > MOST:
                raise TrainerError(f"{path}: would unpack to {size:,} bytes: expected at most {MOST:,}")
        with np.load(path, allow_pickle=False) as held:
            if missing := [name for name in _ARRAYS if name not in held]:
                raise TrainerError(f"{path}: has no {', '.join(missing)}: expected the arrays {', '.join(_ARRAYS)}")
            x, y, test_x, test_y = (held[name] for name in _ARRAYS)
    except TrainerError:
        raise
    except Exception as error:  # of zip files, their four compressions and NumPy's headers, without a common base
        raise TrainerError(f"{path}: cannot be read ({in_a_line(error)}); write it again with numpy.savez") from None
    return (*checked_samples(f"{path}, x and y", x, y), *checked_samples(f"{path}, test_x and test_y", test_x, test_y))


_ARRAYS = ("x", "y", "test_x", "test_y")
_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


def read_images(folder: Path | None) -> tuple[NDArray[Any], ...]:
    """Images of one size in folders train/CLASS and test/CLASS, as bytes (N, C, H, W): grey if all are, else in colour.

    Raises
    ------
    TrainerError
        If the folders or images are missing, damaged, of several sizes, or more than 1 GiB.
    """
    if folder is None or not all((folder / part).is_dir() for part in ("train", "test")):
        raise TrainerError(f"--data-dir {folder}: expected the folders train and test in it")
    classes = [sorted(p.name for p in (folder / part).iterdir() if p.is_dir()) for part in ("train", "test")]
    if classes[0] != classes[1] or not classes[0]:
        raise TrainerError(f"--data-dir {folder}: train and test hold different classes, or none")
    read = [_images(folder / part, classes[0]) for part in ("train", "test")]
    grey = all(np.ptp(x, axis=1).max() == 0 for x, _ in read)
    (x, y), (test_x, test_y) = ((x[:, :1] if grey else x, y) for x, y in read)
    return x, y, test_x, test_y


def _images(folder: Path, classes: list[str]) -> tuple[Bytes, NDArray[np.int64]]:
    from PIL import Image

    pixels, labels, first, size = [], [], None, 0
    for label, name in enumerate(classes):
        for path in sorted(p for p in (folder / name).iterdir() if p.suffix.lower() in _IMAGES and p.is_file()):
            try:
                with Image.open(path) as image:
                    first = first or image.size
                    size += 3 * image.width * image.height
                    if image.size != first or size > MOST:
                        raise TrainerError(
                            f"{path}: is {image.width} by {image.height} pixels, image {len(pixels) + 1} of "
                            f"{folder}: expected {first[0]} by {first[1]} as the first, at most {MOST:,} bytes in all"
                        )
                    pixels.append(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
            except TrainerError:
                raise
            except Exception as error:  # of any format's decoder, without a common base
                raise TrainerError(f"{path}: cannot be read as an image ({in_a_line(error)})") from None
            labels.append(label)
    if not pixels:
        raise TrainerError(f"{folder}: holds no images in the folders of its classes")
    return np.stack(pixels), np.array(labels)


def _mnist1d() -> tuple[NDArray[Any], ...]:
    x, y = mnist1d()
    return x[:4000, None], y[:4000], x[4000:, None], y[4000:]


def _digits() -> tuple[NDArray[Any], ...]:
    """scikit-learn's digits, 8 x 8; every fifth is a test sample."""
    pixels, labels = real_data("digits")  # in sixteenths
    images = (pixels.reshape(-1, 1, 8, 8) * 240).astype(np.uint8)
    test = np.arange(len(labels)) % 5 == 4
    return images[~test], labels[~test], images[test], labels[test]


def _arrays(dataset: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """All samples of a torchvision data set as bytes, channels first."""
    images, labels = [], []
    for image, label in dataset:
        pixels = np.asarray(image, dtype=np.uint8)
        images.append(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
        labels.append(int(label))
    if len({image.shape for image in images}) > 1:
        raise TrainerError("the images differ in size: resize them to one size first")
    return np.stack(images), np.asarray(labels)


def _data_sets(what: str) -> Any:
    try:
        return importlib.import_module("torchvision.datasets")
    except ImportError:
        raise TrainerError(f"data {what} needs the package torchvision; install it") from None


def _torchvision(folder: Path | None, name: str) -> tuple[NDArray[Any], ...]:
    kinds = _data_sets("torchvision/NAME")
    if folder is None or not hasattr(kinds, name):
        raise TrainerError(f"data torchvision/{name}: give --data-dir and the name of a torchvision data set")
    try:
        parts = [getattr(kinds, name)(folder, train=train, download=False) for train in (True, False)]
    except (RuntimeError, TypeError) as error:
        raise TrainerError(f"data torchvision/{name}: {str(error).splitlines()[0]}") from None
    return (*_arrays(parts[0]), *_arrays(parts[1]))


def _own(source: str) -> tuple[NDArray[Any], ...]:
    """What a function of the user's returns."""
    expected = "a function without arguments that returns four arrays: samples and labels, and those of the test"
    parts = own_function(source, expected)()
    if not isinstance(parts, tuple | list) or len(parts) != 4:
        raise TrainerError(f"{source} returned a {type(parts).__name__}: expected (x, y, test_x, test_y)")
    return (*checked_samples(source, *parts[:2]), *checked_samples(f"{source}, the test", *parts[2:]))


def read_source(source: str, folder: Path | None) -> tuple[NDArray[Any], ...]:
    """Training samples and labels, and those of the test, by the name of a data set: see `data.load_data`.

    Raises
    ------
    TrainerError
        If the data is unknown, missing or damaged.
    """
    name, _, rest = source.partition("/")
    sources: dict[str, Callable[[], Any]] = {
        "mnist1d": _mnist1d,
        "digits": _digits,
        "idx": lambda: read_idx_folder(folder),
        "cifar10": lambda: read_cifar(folder, 10),
        "cifar100": lambda: read_cifar(folder, 100),
        "npz": lambda: read_npz(folder),
        "folder": lambda: read_images(folder),
        "torchvision": lambda: _torchvision(folder, rest),
    }
    if ":" in source:
        sources[name], rest = (lambda: _own(source)), ""
    if name not in sources or (name == "torchvision") != bool(rest):
        known = f"{', '.join(sources)}/NAME and package.module:factory"
        raise TrainerError(f"unknown data {source!r}: known are {known}{did_you_mean(name, sources)}")
    return sources[name]()
