"""Files that anybody may have written or damaged: every reader of the trainer gives a value or one clear line."""

import gzip
import io
import itertools
import json
import os
import random
import secrets
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file
from trainer_files import idx, write_cifar, write_idx

from verify.commands.train import train_command
from verify.commands.training import configured
from verify.trainer import BiasRecord, Config, StoppedError, TrainerError, read_config, train
from verify.trainer.checkpoint import _digest, load_checkpoint
from verify.trainer.comparison import Arm, compare, markdown, read_comparison
from verify.trainer.data import load_data
from verify.trainer.files import read_idx
from verify.trainer.folder import CONFIG, LAST, METRICS, final_scores, read_metrics
from verify.trainer.show import bias_panels, score_table, write_report
from verify.trainer.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]
FAST, SLOW = 60, 2000
TINY = {"data": "digits", "students": "mlp:2", "width": 4, "batch": 256, "epochs": 2, "monitor_samples": 64}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with measurements and a comparison beside it."""
    return train(Config(**TINY, monitor=1.0, out=tmp_path_factory.mktemp("run"))).folder


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    out = tmp_path_factory.mktemp("table")
    compare(
        Config(**{**TINY, "epochs": 1}, monitor=0.0, out=out), (0, 1), arms=(Arm("independent", 1.0, 0.0), Arm("x"))
    )
    return out / "comparison.json"


def one_line(error, *paths):
    said = str(error)
    assert "\n" not in said
    assert len(said) < 700 + sum(len(str(p)) for p in paths)


JUNK = (
    None, True, -1, 0, 10**9, 10**400, 1e308, float("nan"), float("inf"), "", "x", "1", "\0", "\ud800", "a\nb", [], {},
    [[]], [1, "x"], {"a": 1}, "mlp:1000000000", "../..", [None] * 3, "9" * 400,
)  # fmt: skip


def mutated_value(value, rng):
    """One place of a JSON value replaced, removed, doubled or emptied."""
    value = json.loads(json.dumps(value))
    place, parent, key = value, None, None
    while isinstance(place, dict | list) and place and (parent is None or rng.random() < 0.8):
        parent, key = place, rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        place = parent[key]
    kind = rng.randrange(4)
    if parent is None or kind == 0:
        if parent is None:
            return rng.choice(JUNK)
        parent[key] = rng.choice(JUNK)
    elif kind == 1:
        del parent[key]
    elif kind == 2 and isinstance(parent, list):
        parent.append(place)
    elif kind == 3 and isinstance(place, int | float) and not isinstance(place, bool):
        parent[key] = rng.choice([-place, place * 1e9, place + 1, str(place)])
    else:
        parent[rng.choice(["extra", key]) if isinstance(parent, dict) else key] = rng.choice(JUNK)
    return value


def mutated_bytes(data, rng):
    """Bits flipped, a piece cut, doubled, filled, or exchanged for brackets, digits or noise."""
    data = bytearray(data)
    at = rng.randrange(len(data) + 1)
    length = rng.choice([1, 2, 8, 64, 1000])
    kind = rng.randrange(7)
    if kind == 0:
        for _ in range(rng.choice([1, 1, 5])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = data[at : at + length]
    elif kind == 4:
        data[at : at + length] = bytes([rng.choice([0, 255, 32, 10])]) * length
    elif kind == 5:
        data[at:at] = rng.choice([b"[", b"{", b'{"a":', b"9", b"\\u0000"]) * rng.choice([1, 100, 5000])
    else:
        data[at : at + length] = rng.randbytes(length)
    return bytes(data)


def mutated_json(data, rng):
    if rng.random() < 0.5:
        return mutated_bytes(data, rng)
    return json.dumps(mutated_value(json.loads(data), rng)).encode()


def mutated_lines(data, rng):
    if rng.random() < 0.4:
        return mutated_bytes(data, rng)
    lines = data.decode().splitlines()
    at = rng.randrange(len(lines))
    lines[at] = json.dumps(mutated_value(json.loads(lines[at]), rng))
    if rng.random() < 0.2:
        lines.insert(rng.randrange(len(lines)), lines[at])
    return ("\n".join(lines) + "\n").encode()


def mutated_checkpoint(data, rng):
    """Damage, and forgeries that have the right digest: of the description, of tensors, of their names."""
    if rng.random() < 0.4:
        return mutated_bytes(data, rng)
    size = int.from_bytes(data[:8], "little")
    meta = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["rdml"])
    tensors = forged_tensors
    if rng.random() < 0.4:
        tensors = dict(tensors)
        name = rng.choice(sorted(tensors))
        kind = rng.randrange(4)
        value = tensors.pop(name)
        if kind == 0:
            tensors[
                rng.choice([name + "x", "optimizer.x", "optimizer.99.momentum_buffer", "optimizer.0.momentum_buffer"])
            ] = value
        elif kind == 1:
            tensors[name] = value.flatten()[: max(value.numel() - 1, 0)]
        elif kind == 2:
            tensors[name] = value.to(rng.choice([torch.float64, torch.int8, torch.bool, torch.bfloat16]))
    else:
        meta = mutated_value(meta, rng)
    description = json.dumps(meta)
    return save(tensors, {"rdml": description, "digest": _digest(description, tensors)})


forged_tensors: dict = {}


def seeds(count):
    return [(n, f"fixed/{n}") for n in range(count)] + [(n, f"{secrets.token_hex(8)}/{n}") for n in range(count)]


def fuzz(path, mutate, read, count):
    """The number of mutations refused; a mutation that is read as a value has to be one that can be used."""
    honest, refused = path.read_bytes(), 0
    try:
        for _, seed in seeds(count // 2):
            path.write_bytes(mutate(honest, random.Random(seed)))
            try:
                read()
            except TrainerError as error:
                one_line(error, path, path)
                refused += 1
            except BaseException as error:
                raise AssertionError(f"seed {seed!r}") from error
    finally:
        path.write_bytes(honest)
    return refused


counts = pytest.mark.parametrize("count", [FAST, pytest.param(SLOW, marks=pytest.mark.slow)])


@counts
def test_configurations(run, tmp_path, count):
    path = tmp_path / CONFIG
    shutil.copy(run / CONFIG, path)

    def read():
        read = read_config(path)
        assert isinstance(read, Config)
        assert read_config(json.loads(json.dumps(read.to_json()))).name == read.name

    assert fuzz(path, mutated_json, read, count) > count // 3
    toml = tmp_path / "c.toml"
    fields = {k: v for k, v in json.loads(path.read_text()).items() if v is not None}
    toml.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in fields.items()))
    assert read_config(toml) == read_config(path)
    assert fuzz(toml, mutated_bytes, lambda: read_config(toml), count) > count // 3


@counts
def test_metrics(run, tmp_path, count):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)

    turn = itertools.count()

    def read():
        bias_panels([e for e in read_metrics(folder) if isinstance(e, BiasRecord)] or honest)
        if final_scores(folder) is not None:
            score_table(folder, 80)
            if next(turn) % 20 == 0:  # drawing takes most of the time
                write_report(folder)

    honest = [e for e in read_metrics(folder) if isinstance(e, BiasRecord)]

    assert fuzz(folder / METRICS, mutated_lines, read, count) > count // 4


@counts
def test_other_files_of_a_report(run, tmp_path, count):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / METRICS).write_text((folder / METRICS).read_text().splitlines()[-1] + "\n")
    write_report(folder)
    for name in (CONFIG, "environment.json"):
        assert fuzz(folder / name, mutated_json, lambda: write_report(folder), count // 2) > count // 8


@counts
def test_tables(table, tmp_path, count):
    path = tmp_path / "comparison.json"
    shutil.copy(table, path)
    assert fuzz(path, mutated_json, lambda: markdown(read_comparison(path)), count) > count // 3


@counts
@pytest.mark.parametrize("scaled", [False, True])
def test_checkpoints(tmp_path, count, scaled):
    precision = {"precision": "float16"} if scaled else {}
    small = Config(**TINY, **precision, monitor=0.0, out=tmp_path)
    with pytest.raises(StoppedError) as stopped:
        train(small, stop_after=3)
    path = Path(str(stopped.value)) / LAST
    forged_tensors.clear()
    forged_tensors.update(load_checkpoint(path)[0])
    trainer = Trainer(small)

    def read():
        trainer.restore(path)
        assert 0 <= trainer.number <= trainer.steps
        if trainer.number < trainer.steps:
            trainer.step()

    assert fuzz(path, mutated_checkpoint, read, count if not scaled else count // 4) > count // 10


@counts
@pytest.mark.parametrize("compressed", [False, True])
def test_images(tmp_path, count, compressed):
    folder = write_idx(tmp_path / "d", compressed=compressed)
    for path in sorted(folder.iterdir())[::3]:
        assert fuzz(path, mutated_bytes, lambda: load_data("idx", folder, validation=0.25), count // 2) > count // 8


@counts
@pytest.mark.parametrize("classes", [10, 100])
def test_cifar(tmp_path, count, classes):
    write_cifar(tmp_path, classes, records=12)
    path, name = min(tmp_path.rglob("*.bin")), f"cifar{classes}"
    assert fuzz(path, mutated_bytes, lambda: load_data(name, tmp_path, validation=0.25), count) > count // 4


# shapes in headers that NumPy reads as Python, and refuses by errors of several kinds
SHAPES = ("(9,)", "(-1,)", "(" * 300 + ")" * 300, "-" * 3000 + "1", f"({2**64},)", "(1,\n(")
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def mutated_arrays(content, rng):
    """The archive by another compression, some of its headers replaced, or some of its bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", rng.choice(COMPRESSIONS)) as new:
        for name in old.namelist():
            header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {rng.choice(SHAPES)}}}".encode()
            forged = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
            new.writestr(name, forged if rng.random() < 0.2 else old.read(name))
    return mutated_bytes(out.getvalue(), rng) if rng.random() < 0.5 else out.getvalue()


@counts
def test_arrays(tmp_path, count):
    path, x, y = tmp_path / "d.npz", np.ones((20, 1, 4)), np.arange(20) % 2
    np.savez(path, x=x, y=y, test_x=x[:6], test_y=y[:6])
    assert fuzz(path, mutated_arrays, lambda: load_data("npz", path, validation=0.25), count) > count // 8
    with zipfile.ZipFile(path) as archive:
        at = archive.infolist()[1].header_offset
    data = bytearray(path.read_bytes())
    for flags in (at + 6, data.index(b"PK\1\2", data.index(b"PK\1\2") + 1) + 8):
        data[flags] |= 1
    path.write_bytes(data)
    with pytest.raises(TrainerError, match="encrypted"):
        load_data("npz", path)


@counts
@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "tif", "webp"])
def test_folders_of_images(tmp_path, count, kind):
    for name in ("train/a/0", "train/b/0", "test/a/0", "test/b/0"):
        path = tmp_path / f"{name}.{kind}"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (5, 4)).save(path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "train" / "a" / "1.png")
    assert load_data("folder", tmp_path, validation=0.25).shape == (1, 4, 5)
    assert fuzz(path, mutated_bytes, lambda: load_data("folder", tmp_path, validation=0.25), count // 5) > 0


def test_every_flipped_bit_of_a_checkpoint_is_found(tmp_path):
    small = Config(**TINY, monitor=0.0, out=tmp_path)
    with pytest.raises(StoppedError) as stopped:
        train(small, stop_after=3)
    path = Path(str(stopped.value)) / LAST
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    rng = random.Random(0)
    # The description most of all: nothing but the digest notices a step that is another number.
    places = [*rng.sample(range(8 * header), 250), *rng.sample(range(8 * header, 8 * len(data)), 50)]
    for bit in places:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(TrainerError) as caught:
            load_checkpoint(path)
        one_line(caught.value, path)
    path.write_bytes(data.replace(b'\\"step\\": 3', b'\\"step\\": 2', 1))
    with pytest.raises(TrainerError, match="does not have the digest"):
        train(small, resume=True)


@pytest.mark.parametrize("step", [-1, 11, 10**9, 3.0, "3", True, None])
def test_a_forged_step_is_refused(tmp_path, step):
    small = Config(**TINY, monitor=0.0, out=tmp_path)
    with pytest.raises(StoppedError) as stopped:
        train(small, stop_after=3)
    path = Path(str(stopped.value)) / LAST
    tensors, meta = load_checkpoint(path)
    description = json.dumps({**meta, "step": step})
    path.write_bytes(save(tensors, {"rdml": description, "digest": _digest(description, tensors)}))
    with pytest.raises(TrainerError, match=r"of a run of 10 steps|from which step"):
        train(small, resume=True)


def test_a_word_is_not_taken_for_a_number():
    with pytest.raises(TrainerError, match=r"alpha = 'two': expected a number such as 0\.5"):
        Config(**TINY | {"alpha": "two"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "damaged, truncated or not a checkpoint"),
        (lambda path: path.write_bytes(b"not a checkpoint"), "damaged, truncated or not a checkpoint"),
        (lambda path: path.write_bytes(b""), "damaged, truncated or not a checkpoint"),
        (lambda path: save_file(load_file(path), path), "of another program"),
        (lambda path: old_version(path), "version 2, this program reads 3"),
    ],
)
def test_a_bad_checkpoint_is_one_clear_error(tmp_path, damage, message):
    small = Config(**TINY, monitor=0.0, out=tmp_path)
    with pytest.raises(StoppedError) as stopped:
        train(small, stop_after=3)
    damage(Path(str(stopped.value)) / LAST)
    with pytest.raises(TrainerError, match=message):
        train(small, resume=True)


def old_version(path):
    with safe_open(path, "pt") as file:
        meta = file.metadata()
    save_file(load_file(path), path, {"rdml": meta["rdml"].replace('"version": 3', '"version": 2')})


def zipped_zeros(path, head, size):
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(head)
        block = bytes(2**20)
        for _ in range(size // len(block)):
            file.write(block)


def test_images_that_unpack_to_more_than_they_promise(tmp_path):
    path = tmp_path / "a.gz"
    zipped_zeros(path, b"\0\0\x08\1" + struct.pack(">I", 1000), 2**23)
    with pytest.raises(TrainerError, match="holds more than 1000 bytes of data"):
        read_idx(path)
    path.write_bytes(gzip.compress(b"\0\0\x08\4" + struct.pack(">4I", *[2**31] * 4)))
    with pytest.raises(TrainerError, match="header promises 21,267,647,932,558,653,966,460,912,964,485,513,216 bytes"):
        read_idx(path)
    path.write_bytes(gzip.compress(idx(torch.zeros(0, 28, 28))))
    with pytest.raises(TrainerError, match="promises 0 bytes"):
        read_idx(path)
    data = bytearray(gzip.compress(idx(torch.zeros(40, 8, 8))))
    data[12] ^= 255
    path.write_bytes(data)
    with pytest.raises(TrainerError, match="cannot be read"):
        read_idx(path)


def test_test_images_of_another_shape(tmp_path):
    folder = write_idx(tmp_path / "d")
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(torch.zeros(20, 9, 8)))
    with pytest.raises(TrainerError, match="expected test samples of the same shape"):
        load_data("idx", folder)


@pytest.mark.slow
def test_four_gigabytes_in_a_small_file_cost_neither_time_nor_memory(tmp_path):
    folder = write_idx(tmp_path / "d", compressed=True)
    shape = struct.pack(">3I", 40, 8, 8)
    zipped_zeros(folder / "train-images-idx3-ubyte.gz", b"\0\0\x08\3" + shape, 2**32)
    code = (
        "import resource, sys; from pathlib import Path; from verify.trainer.data import load_data\n"
        "from verify.trainer import TrainerError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF)\n"
        "try: load_data('idx', Path(sys.argv[1])); print('read')\n"
        "except TrainerError as error: print(error)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(after.ru_utime - before.ru_utime, after.ru_maxrss)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    said, numbers = out.stdout.splitlines()
    seconds, kibibytes = map(float, numbers.split())
    assert "holds more than 2560 bytes" in said
    assert seconds < 5
    assert kibibytes * 1024 < 10**9


def test_code_that_a_file_names_runs_only_if_allowed(tmp_path, monkeypatch):
    """Also if the file is the configuration of an earlier run; a name that is typed is explicit."""
    (tmp_path / "intruder.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "c.toml"
    file.write_text('students = "mlp,intruder:make"\n')
    with pytest.raises(TrainerError, match=r"c\.toml: students = 'mlp,intruder:make' runs Python code .* --allow-code"):
        configured({"epochs": 1}, file)
    flags = ["--data", "digits", "--out", str(tmp_path / "runs"), "--config", str(file)]
    for allowed, said in (([], "runs Python code"), (["--allow-code"], "intruder has no function make")):
        refused = CliRunner().invoke(train_command, flags + allowed)
        assert (refused.exit_code, said in refused.output) == (2, True), refused.output
        assert (tmp_path / "ran").exists() == bool(allowed)
    assert configured({}, file, allow_code=True).students == "mlp,intruder:make"
    assert configured({"students": "mlp:2"}, file).students == "mlp:2"
    assert configured({"students": "intruder:make"}, None).students == "intruder:make"


@pytest.mark.parametrize("text", ["-" * 5_000 + "1", "(" * 300, "{[]: 1}", "1 if"])
def test_a_flag_that_python_cannot_read_is_one_line(text):
    """Whatever its parser raises: it runs out of its stack, or of memory."""
    with pytest.raises(TrainerError, match=r"^alpha = .*: expected a number such as 0.5 \(see `rdml train --help`\)$"):
        configured({"alpha": text}, None)


def test_a_configuration_that_does_not_exist_is_one_line():
    with pytest.raises(TrainerError, match=r"--config nosuch: no such file and no recipe; .* cifar10_resnet18"):
        configured({}, Path("nosuch"))
