"""Write a small CIFAR-10 for the CPU: images of 16 × 16, the same number of each class, from a folder of its images.

    python benchmarks/cifar10_small.py FOLDER cifar10_16.npz [--train 400] [--test 200]

FOLDER has train/CLASS and test/CLASS, as for `rdml train --data folder`. Of each class the first images by name are
taken; a pixel is the mean of 2 × 2, rounded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from verify.trainer.files import read_images


def first(x: np.ndarray, y: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray]:
    """So many of each class, at half their width and height."""
    rows = np.concatenate([np.flatnonzero(y == label)[:each] for label in np.unique(y)])
    if len(rows) < each * len(np.unique(y)):
        raise SystemExit(f"a class has fewer than {each} images")
    count, channels, height, width = x[rows].shape
    blocks = x[rows].astype(np.uint16).reshape(count, channels, height // 2, 2, width // 2, 2)
    return ((blocks.sum((3, 5)) + 2) // 4).astype(np.uint8), y[rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=400, help="images of each class")
    parser.add_argument("--test", type=int, default=200, help="images of each class")
    options = parser.parse_args()
    x, y, test_x, test_y = read_images(options.folder)
    parts = (*first(x, y, options.train), *first(test_x, test_y, options.test))
    np.savez(options.out, **dict(zip(("x", "y", "test_x", "test_y"), parts, strict=True)))


if __name__ == "__main__":
    main()
