"""Data sets: MNIST-1D against the published arrays, file formats and their faults, splits, order, augmentation."""

import contextlib
import hashlib
import shutil
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from trainer_files import idx, write_cifar, write_idx

from verify.commands.training import configured
from verify.streams import generator
from verify.trainer import Config, TrainerError
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


def arrays(**changed):
    rng = np.random.default_rng(0)
    held = {
        "x": rng.normal(size=(40, 1, 6)), "y": np.arange(40) % 3, "test_x": rng.normal(size=(9, 1, 6)),
        "test_y": np.arange(9) % 3,
    }  # fmt: skip
    return held | changed


def test_arrays_of_a_file(tmp_path):
    np.savez_compressed(tmp_path / "d.npz", **arrays())
    data = load_data("npz", tmp_path / "d.npz", validation=0.25)
    assert (len(data.train), len(data.validation), len(data.test), data.classes) == (30, 10, 9, 3)
    assert data.shape == (1, 6)
    assert torch.equal(data.test.x, torch.from_numpy(arrays()["test_x"].astype(np.float32)))
    np.savez(tmp_path / "flat.npz", **arrays(x=np.ones((40, 5)), test_x=np.ones((9, 5))))
    assert load_data("npz", tmp_path / "flat.npz").shape == (1, 5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": np.ones(40)}, r"x and y: the samples have shape \(40,\)"),
        ({"x": np.array([["a"] * 5] * 40)}, "expected numbers of shape"),
        ({"x": np.array([None] * 40, dtype=object)}, "cannot be read"),
        ({"x": np.full((40, 1, 6), np.nan)}, "sample 0 is not finite"),
        ({"x": np.full((40, 1, 6), -1e39)}, r"x and y: a sample holds 1e\+39: expected at most 1e\+18 in size"),
        ({"test_x": np.full((9, 1, 6), 1e300)}, r"test_x and test_y: a sample holds 1e\+300"),
        ({"y": np.arange(39)}, "expected 40 integers from 0"),
        ({"y": np.arange(40) - 1}, "expected 40 integers from 0"),
        ({"y": np.full(40, 10**9)}, "a label is 1000000000"),
        ({"y": np.arange(40) % 3 + 1, "test_y": np.arange(9) % 3 + 1}, r"from 1 to 3, and no training .* has label 0"),
        ({"y": np.arange(40) % 2}, "from 0 to 2, and no training sample has label 2: expected 0 to C - 1"),
        ({"test_y": np.arange(9) / 2}, "test_x and test_y: the labels"),
        ({"test_x": np.ones((9, 1, 7))}, "expected test samples of the same shape"),
    ],
)
def test_wrong_arrays_are_one_clear_error(tmp_path, changed, message):
    np.savez(tmp_path / "d.npz", **arrays(**changed))
    with pytest.raises(TrainerError, match=message):
        load_data("npz", tmp_path / "d.npz")


def test_files_of_arrays_that_are_none(tmp_path, monkeypatch):
    for content, message in ((b"", "cannot be read"), (b"PK\3\4 no archive", "cannot be read")):
        (tmp_path / "d.npz").write_bytes(content)
        with pytest.raises(TrainerError, match=message):
            load_data("npz", tmp_path / "d.npz")
    np.savez(tmp_path / "d.npz", x=np.ones(3))
    with pytest.raises(TrainerError, match="has no y, test_x, test_y"):
        load_data("npz", tmp_path / "d.npz")
    with pytest.raises(TrainerError, match="expected a file with the arrays x, y, test_x, test_y"):
        load_data("npz", tmp_path / "none.npz")
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, **arrays())
    content = bytearray(whole.read_bytes())
    rng = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(content)
        for at in rng.integers(0, len(damaged), 4):
            damaged[at] ^= 1 << int(rng.integers(8))
        (tmp_path / "d.npz").write_bytes(bytes(damaged))
        with contextlib.suppress(TrainerError):
            load_data("npz", tmp_path / "d.npz")
    monkeypatch.setattr("verify.trainer.files.MOST", 1000)
    with pytest.raises(TrainerError, match="would unpack to"):
        load_data("npz", whole)


def images(folder, *, mode="RGB", size=(5, 4), classes=("cat", "dog"), each=6):
    rng = np.random.default_rng(2)
    for part in ("train", "test"):
        for name in classes:
            (folder / part / name).mkdir(parents=True)
            for n in range(each):
                pixels = rng.integers(0, 256, (size[1], size[0]) + ((3,) if mode == "RGB" else ()), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{n}.png")
    return folder


def test_folders_of_images(tmp_path):
    data = load_data("folder", images(tmp_path / "colour"), validation=0.25)
    assert (data.shape, data.classes, len(data.test)) == ((3, 4, 5), 2, 12)
    first = np.asarray(Image.open(tmp_path / "colour" / "test" / "cat" / "0.png"))
    assert torch.equal(data.test.x[0], torch.from_numpy(first.transpose(2, 0, 1).copy()))
    assert data.test.y.tolist() == [0] * 6 + [1] * 6
    assert load_data("folder", images(tmp_path / "grey", mode="L")).shape == (1, 4, 5)


def test_folders_of_images_that_are_none(tmp_path):
    folder = images(tmp_path / "d")
    (folder / "train" / "dog" / "0.png").write_bytes(b"no image")
    with pytest.raises(TrainerError, match=r"0\.png: cannot be read as an image"):
        load_data("folder", folder)
    Image.new("RGB", (7, 7)).save(folder / "train" / "dog" / "0.png")
    with pytest.raises(TrainerError, match=r"is 7 by 7 pixels, image 7 of .*: expected 5 by 4"):
        load_data("folder", folder)
    shutil.rmtree(folder / "test" / "dog")
    with pytest.raises(TrainerError, match="different classes"):
        load_data("folder", folder)
    shutil.rmtree(folder / "test")
    with pytest.raises(TrainerError, match="expected the folders train and test"):
        load_data("folder", folder)
    with pytest.raises(TrainerError, match="holds no images"):
        load_data("folder", images(tmp_path / "empty", each=0))


def test_data_of_a_function(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data_of_this_folder.py").write_text(
        "import numpy as np\n"
        "def load():\n    return np.ones((30, 4)), np.arange(30) % 2, np.ones((6, 4)), np.arange(6) % 2\n"
        "def three():\n    return load()[:3]\n"
        "number = 3\n"
    )
    data = load_data("data_of_this_folder:load")
    assert (data.shape, data.classes, len(data.test)) == ((1, 4), 2, 6)
    assert Config(data="data_of_this_folder:load", students="mlp:2").name.startswith("data_of_this_folder.load_mlpx2")
    for source, message in (
        ("data_of_this_folder:three", "expected .x, y, test_x, test_y."),
        ("data_of_this_folder:number", "has no function number"),
        ("no_such_module_here:load", "cannot be imported"),
    ):
        with pytest.raises(TrainerError, match=message):
            load_data(source)
    (tmp_path / "named.toml").write_text('data = "data_of_this_folder:load"\nstudents = "mlp:2"\n')
    with pytest.raises(TrainerError, match=r"data = .* runs Python code .* --allow-code"):
        configured({}, tmp_path / "named.toml")
    assert configured({}, tmp_path / "named.toml", allow_code=True).data == "data_of_this_folder:load"


def test_a_module_of_ones_own_is_not_taken_for_the_data_whose_name_it_begins_with(monkeypatch):
    module = types.ModuleType("cifar_mine")
    x, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    vars(module)["load"] = lambda: (x, y, x, y)
    monkeypatch.setitem(sys.modules, "cifar_mine", module)
    assert load_data("cifar_mine:load").classes == 3
