"""Data sets: MNIST-1D against the published arrays, file formats and their faults, splits, order, augmentation."""

import hashlib

import numpy as np
import pytest
import torch
from trainer_files import idx, write_cifar, write_idx

from verify.streams import generator
from verify.trainer import TrainerError
from verify.trainer.data import augment, epoch_order, load_data
from verify.trainer.files import read_cifar, read_idx
from verify.trainer.mnist1d import mnist1d


def test_mnist1d_is_the_published_one():
    """Against `make_dataset(get_dataset_args())` of mnist1d 0.0.2.post1: labels exactly, signals to rounding."""
    x, y = mnist1d()
    digest = hashlib.sha256(y.astype(np.int64).tobytes()).hexdigest()
    assert digest == "6feec4a017698c7fe237c8854cbd2e338c6dd5c16240f6fa79daefaaa129e169"
    assert y[4000:4010].tolist() == [2, 6, 3, 9, 4, 3, 1, 9, 5, 2]
    first = [-0.33200566736939013, -0.4719103656557236, -0.778697076293495, -1.0097408265367045, -0.8823525654053073]
    last = [0.6598756470890784, 0.8777343497528006, 1.1931518368352758]
    assert x[0, :5] == pytest.approx(first, abs=1e-13)
    assert x[-1, -3:] == pytest.approx(last, abs=1e-13)


@pytest.mark.parametrize("compressed", [False, True])
def test_idx_files(tmp_path, compressed):
    data = load_data("idx", write_idx(tmp_path / "d", compressed=compressed), validation=0.25)
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 20)
    assert data.shape == (1, 8, 8)
    assert data.classes == 10
    x = data.prepare(data.train.x)
    assert float(x.mean()) == pytest.approx(0, abs=1e-4)
    assert float(x.std(correction=0)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:-7], "holds 2553 bytes of data where its header promises 2560"),
        (lambda b: b"\x1f" + b[1:], "not an IDX file"),
        (lambda b: b[:6], "not an IDX file"),
        (lambda b: b"", "not an IDX file"),
    ],
)
def test_damaged_idx_is_one_clear_error(tmp_path, damage, message):
    path = write_idx(tmp_path / "d") / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TrainerError, match=message):
        read_idx(path)


def test_truncated_gzip_is_one_clear_error(tmp_path):
    path = write_idx(tmp_path / "d", compressed=True) / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TrainerError, match="cannot be read"):
        read_idx(path)


def test_missing_and_mismatched_folders(tmp_path):
    with pytest.raises(TrainerError, match="no such folder"):
        load_data("idx", tmp_path / "nowhere")
    with pytest.raises(TrainerError, match="needs --data-dir"):
        load_data("cifar10")
    folder = write_idx(tmp_path / "d")
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(3)))
    with pytest.raises(TrainerError, match="do not belong"):
        load_data("idx", folder)
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(TrainerError, match="has no train-labels-idx1-ubyte"):
        load_data("idx", folder)
    with pytest.raises(TrainerError, match="unknown data 'imagenet'"):
        load_data("imagenet")


@pytest.mark.parametrize("classes", [10, 100])
def test_cifar_binary(tmp_path, classes):
    folder = write_cifar(tmp_path / "c", classes, records=100)
    x, y, _, test_y = read_cifar(folder, classes)
    assert x.shape == ((500 if classes == 10 else 100), 3, 32, 32)
    assert y[:100].tolist() == test_y.tolist() == [n % classes for n in range(100)]
    data = load_data(f"cifar{classes}", folder)
    assert data.classes == classes
    name = "train.bin" if classes == 100 else "data_batch_3.bin"
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(TrainerError, match="not a whole number of records"):
        read_cifar(folder, classes)


def test_cifar_labels_out_of_range(tmp_path):
    folder = write_cifar(tmp_path / "c", 10)
    content = bytearray((folder / "test_batch.bin").read_bytes())
    content[0] = 11
    (folder / "test_batch.bin").write_bytes(bytes(content))
    with pytest.raises(TrainerError, match="labels beyond 9"):
        read_cifar(folder, 10)


def test_the_parts_are_disjoint_and_depend_on_the_seed_only():
    one, two, other = (load_data("digits", seed=s) for s in (1, 1, 2))
    assert torch.equal(one.train.x, two.train.x)
    assert not torch.equal(one.train.x, other.train.x)
    assert torch.equal(one.test.x, other.test.x)
    rows = torch.cat([one.train.x, one.validation.x]).flatten(1)
    assert len(rows) == 1438
    assert sorted(map(tuple, rows.tolist())) == sorted(
        map(tuple, torch.cat([other.train.x, other.validation.x]).flatten(1).tolist())
    )


def test_every_epoch_has_an_order_of_its_own():
    first, again, second = epoch_order(50, 3, 0), epoch_order(50, 3, 0), epoch_order(50, 3, 1)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert first.sort().values.tolist() == list(range(50))


def test_augmentation_moves_samples_and_keeps_their_content():
    x = torch.arange(40.0).repeat(64, 1, 1)
    shifted = augment(x, "shift", generator(0, "t"))
    assert torch.equal(shifted.sort(-1).values, x)
    moves = (shifted[:, 0, 0] + 20) % 40 - 20
    assert set(moves.tolist()) == set(range(-4, 5))
    image = torch.arange(1, 65, dtype=torch.uint8).view(1, 1, 8, 8).repeat(256, 1, 1, 1)
    out = augment(image, "crop-flip", generator(0, "t"))
    assert out.dtype == torch.uint8
    kept = [(o == 0).sum() for o in out]
    assert min(kept) == 0, "some crop is the whole image"
    assert max(kept) > 32, "some crop is a corner"
    whole = {tuple(o.flatten().tolist()) for o in out if (o == 0).sum() == 0}
    assert whole == {tuple(range(1, 65)), tuple(image[0].flip(-1).flatten().tolist())}
    with pytest.raises(TrainerError, match="needs images"):
        augment(x, "crop-flip", generator(0, "t"))
