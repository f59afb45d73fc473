"""Runs that last: exact resume after an interrupt or a kill, folders of their own, one clear error for each fault."""

import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from verify.commands.claims import report_command
from verify.commands.train import train_command
from verify.commands.training import configured, run
from verify.trainer import Config, DivergedError, StoppedError, Trainer, TrainerError, read_config, train
from verify.trainer.checkpoint import load_checkpoint
from verify.trainer.folder import LAST, Epoch, Final, read_metrics
from verify.trainer.show import write_report

ROOT = Path(__file__).resolve().parents[2]
# Everything that a resume must restore: momentum, a moving order, a mixed cohort, running statistics, augmentation.
SMALL = {
    "students": "cnn,resnet", "width": 4, "alpha": 2.0, "alpha_end": 0.5, "alpha_schedule": "cosine", "epochs": 2,
    "batch": 256, "augment": "shift", "monitor_samples": 512, "monitor": 1.0, "checkpoint_every": 1,
}  # fmt: skip


def config(out, **changes):
    return Config(**{**SMALL, "out": out, **changes})


def weights(folder):
    return load_checkpoint(folder / LAST)[0]


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def content(folder):
    """The metrics without their clock."""
    return [dataclasses.replace(e, seconds=0.0) if isinstance(e, Final) else e for e in read_metrics(folder)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed."""
    return train(config(tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize("stop", [1, 14, 20, 27])
def test_a_stopped_run_resumes_bit_for_bit(tmp_path, whole, stop):
    with pytest.raises(StoppedError):
        train(config(tmp_path), stop_after=stop)
    result = train(config(tmp_path), resume=True)
    assert result.steps == whole.steps == 28
    assert same(weights(result.folder), weights(whole.folder))
    assert content(result.folder) == content(whole.folder)
    assert result.test == whole.test
    assert result.best == whole.best


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw", "lr": 1e-3, "students": "mlp:2"},
        {"students": "mlp:3", "alpha_schedule": "learned", "alpha_end": None},
        {"update": "sequential", "students": "mlp:2"},
        {"precision": "float16", "students": "mlp:2"},
        {"students": "trainer_files:dropping:2"},
        # Momentum goes through memory side by side with its parameter, whatever the layout.
        # A width below 16 is refused there: test_narrow_strided_convolutions_are_refused_channels_last says why.
        {
            "channels_last": True,
            "data": "digits",
            "students": "resnet:2",
            "width": 16,
            "augment": "none",
            "batch": 128,
        },
    ],
)
def test_every_kind_of_state_resumes(tmp_path, changes):
    changes = {**changes, "epochs": 1, "monitor": 0.0}
    whole = train(config(tmp_path / "a", **changes))
    with pytest.raises(StoppedError):
        train(config(tmp_path / "b", **changes), stop_after=5)
    result = train(config(tmp_path / "b", **changes), resume=True)
    assert same(weights(result.folder), weights(whole.folder))
    assert content(result.folder) == content(whole.folder)
    one, two = (load_checkpoint(r.folder / LAST)[1] for r in (result, whole))
    assert one["scaler"] == two["scaler"]


def test_lines_of_steps_after_the_last_checkpoint_are_written_again(tmp_path):
    """As a kill leaves them: the metrics know of an epoch, and of a measurement, that the checkpoint does not."""
    small = {"data": "digits", "students": "mlp:2", "width": 8, "epochs": 3, "augment": "none", "monitor": 20.0}
    whole = train(config(tmp_path / "whole", **small))
    with pytest.raises(StoppedError):
        train(config(tmp_path / "part", **small), stop_after=whole.steps // 3)
    (part,) = (tmp_path / "part").iterdir()
    lines = (whole.folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) > len(read_metrics(part)) + 2
    (part / "metrics.jsonl").write_text("".join(lines[:-1]))
    result = train(config(tmp_path / "part", **small), resume=True)
    assert content(result.folder) == content(whole.folder)


@pytest.mark.parametrize("change", [lambda text: "", lambda text: text[:-9], lambda text: 2 * text])
def test_metrics_that_do_not_belong_to_the_checkpoint_are_refused(tmp_path, change):
    """As a crash of the machine, or a hand, leaves them: nothing would write again what is missing."""
    small = {"data": "digits", "students": "mlp:2", "width": 8, "epochs": 3, "augment": "none"}
    with pytest.raises(StoppedError):
        train(config(tmp_path, **small), stop_after=2 * Trainer(config(tmp_path, **small)).per_epoch)
    (metrics,) = tmp_path.glob("*/metrics.jsonl")
    kept = metrics.read_text()
    metrics.write_text(change(kept))
    with pytest.raises(TrainerError, match="epochs where the last checkpoint has 2; name another run"):
        train(config(tmp_path, **small), resume=True)
    metrics.write_text(kept)
    assert train(config(tmp_path, **small), resume=True).steps


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("most", [200, 1_500, 12_000])
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(tmp_path, most):
    """The first file, the metrics and the checkpoints in turn are larger than files may be."""
    import resource

    small = {"students": "mlp:2", "width": 8, "epochs": 1, "augment": "none", "monitor_samples": 256}
    whole = train(config(tmp_path / "whole", **small))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        with pytest.raises(TrainerError, match=r"cannot be written \(File too large\); (make room, .*--resume|name)"):
            train(config(tmp_path / "full", **small))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "full").glob("*/.*"))
    result = train(config(tmp_path / "full", **small), resume=most > 200)
    assert same(weights(result.folder), weights(whole.folder))
    assert content(result.folder) == content(whole.folder)


def test_what_a_kill_left_half_written_goes_when_the_run_goes_on(tmp_path):
    with pytest.raises(StoppedError):
        train(config(tmp_path, epochs=1), stop_after=5)
    (folder,) = tmp_path.iterdir()
    ours, notes = folder / ".best.safetensors.171c8c56", folder / ".notes.txt.171c8c56"
    for path in (ours, notes):
        path.write_bytes(b"half")
    train(config(tmp_path, epochs=1), resume=True)
    assert not ours.exists()
    assert notes.exists()


def start(*arguments, cwd):
    command = [sys.executable, "-m", "verify", "train", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def flags(out):
    return [
        "--students", "cnn,resnet", "--width", "4", "--alpha", "2", "--alpha-end", "0.5", "--alpha-schedule", "cosine",
        "--epochs", "2", "--batch", "256", "--augment", "shift", "--monitor-samples", "512", "--monitor", "1",
        "--checkpoint-every", "1", "--out", out,
    ]  # fmt: skip


@pytest.mark.slow
def test_thirty_kills_at_random_times_end_with_the_same_weights_and_a_report(tmp_path):
    """From the first look at the arguments to the report, whose drawing takes a good part of a short run."""
    tiny = ["--data", "digits", "--students", "mlp:2", "--width", "8", "--epochs", "8", "--monitor-samples", "64"]
    tiny += ["--checkpoint-every", "1", "--batch", "64"]
    begin = time.monotonic()
    honest = start(*tiny, "--out", tmp_path / "whole", cwd=tmp_path)
    honest.communicate(timeout=120)
    assert honest.returncode == 0
    seconds = time.monotonic() - begin
    (whole,) = (tmp_path / "whole").iterdir()
    random, kills, late = Random(), 0, 0
    for n in range(200):
        if kills == 30:
            break
        out = tmp_path / str(n)
        process = start(*tiny, "--out", out, cwd=tmp_path)
        # Most of the time is spent importing: half of the kills come once there are metrics.
        deadline = time.monotonic() + 60
        while n % 2 and not list(out.glob("*/metrics.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(random.uniform(0, (0.4 if n % 2 else 1) * seconds))
        process.kill()
        process.communicate()
        if process.returncode == 0 or not list(out.glob("*/config.json")):
            continue  # it had ended, or had not yet begun
        kills += 1
        (folder,) = out.iterdir()
        finished = '"final"' in (folder / "metrics.jsonl").read_text() if (folder / "metrics.jsonl").exists() else False
        late += finished
        if finished and n % 4 < 2:
            again = rdml("report", folder)
        else:
            again = rdml("train", "--config", folder / "config.json", "--resume")
        assert again.returncode == 0, again.stderr
        assert str(folder / "report.html") in again.stdout.replace("\n", "")
        assert same(weights(folder), weights(whole))
        assert content(folder) == content(whole)
        assert (folder / "report.html").read_text().count("<svg") == 1
        assert {p.name for p in folder.iterdir()} - {".lock"} == {p.name for p in whole.iterdir()}
    assert kills == 30
    assert late > 0, "no kill between the last line of the metrics and the report"


def test_interrupted_while_it_imports(tmp_path):
    """A module of NumPy's or torch's may swallow a KeyboardInterrupt; here one that surely does."""
    (tmp_path / "torch.py").write_text(
        "import os, signal\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    sum(range(10**6))\n"
        "except BaseException:\n    pass\n"
        "raise RuntimeError('not interrupted')\n"
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from verify.cli import main; main()"
    command = [sys.executable, "-c", code, "train"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def rdml(*arguments):
    command = [sys.executable, "-m", "verify", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_report_of_a_finished_run_can_be_made_again(tmp_path, whole):
    """By `rdml report RUN` and by --resume, which trains nothing; of an unfinished run by neither."""
    folder = tmp_path / whole.folder.name
    shutil.copytree(whole.folder, folder)
    made = CliRunner().invoke(report_command, [str(folder)])
    assert made.exit_code == 0
    assert made.output.strip() == str(folder / "report.html")
    page = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    before = (folder / "metrics.jsonl").read_bytes()
    settings = dataclasses.replace(read_config(folder / "config.json"), out=tmp_path)
    assert train(settings, resume=True, report=no_step).folder == folder
    assert run(settings, resume=True) == folder
    assert (folder / "report.html").read_bytes() == page
    assert (folder / "metrics.jsonl").read_bytes() == before
    # The last line was being written when the run was killed.
    (folder / "metrics.jsonl").write_bytes(before[:-30])
    refused = CliRunner().invoke(report_command, [str(folder)])
    assert refused.exit_code == 2
    assert "the run is not finished: `rdml train --config" in refused.output
    assert train(settings, resume=True, report=no_step).test == whole.test
    assert content(folder) == content(whole.folder)


def no_step(trainer, values):
    raise AssertionError("a finished run was trained")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_at_any_step_and_resumed(tmp_path, whole, kind):
    process = start(*flags(tmp_path), cwd=tmp_path)
    deadline = time.monotonic() + 120
    # At some step of the second epoch, wherever the clock finds it.
    while not list(tmp_path.glob(f"*/{LAST}")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (-9 if kind == signal.SIGKILL else 130), errors
    if kind != signal.SIGKILL:
        assert "--resume` continues" in errors
    (folder,) = tmp_path.glob("mnist1d*")
    assert '"kind": "final"' not in (folder / "metrics.jsonl").read_text()
    resumed = start("--config", folder / "config.json", "--resume", cwd=tmp_path)
    out, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    assert "ensemble" in out
    assert (folder / "report.html").is_file()
    assert same(weights(folder), weights(whole.folder))
    assert content(folder) == content(whole.folder)


def test_runs_have_names_of_their_own(tmp_path):
    quick = {"epochs": 1, "monitor": 0.0, "students": "mlp:2"}
    results = [train(config(tmp_path, **quick)) for _ in range(2)]
    folders = [r.folder for r in results]
    folders.append(train(config(tmp_path, **quick, seed=1)).folder)
    name = "mnist1d_mlpx2_a2-0.5_b1_s"
    assert [f.name for f in folders] == [f"{name}0", f"{name}0-2", f"{name}1"]
    assert same(weights(folders[0]), weights(folders[1]))
    assert not same(weights(folders[0]), weights(folders[2]))
    assert read_config(folders[0] / "config.json") == config(tmp_path, **quick)
    before = {p: p.read_bytes() for p in folders[1].iterdir()}
    again = train(config(tmp_path, **quick), resume=True)
    assert again.folder in folders[:2]
    assert again.test == results[0].test
    assert {p: p.read_bytes() for p in folders[1].iterdir()} == before
    with pytest.raises(TrainerError, match="has another lr"):
        train(config(tmp_path, **quick, lr=0.3), resume=True)
    with pytest.raises(TrainerError, match="has no run"):
        train(config(tmp_path, **quick, seed=9), resume=True)


def test_the_test_samples_choose_nothing(tmp_path):
    """The best weights are those of the epoch with the best validation accuracy."""
    result = train(config(tmp_path, epochs=4, monitor=0.0, students="mlp:2"))
    epochs = [e for e in read_metrics(result.folder) if isinstance(e, Epoch)]
    means = [sum(s.accuracy for s in e.validation[:-1]) / 2 for e in epochs]
    _, meta = load_checkpoint(result.folder / "best.safetensors")
    assert meta["step"] == epochs[means.index(max(means))].step


def test_report_and_figure(tmp_path, whole):
    report = write_report(whole.folder).read_text()
    assert "<svg" in report
    assert "http" not in report.replace("http://www.w3.org", "").replace("https://matplotlib.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    assert {p.suffix for p in whole.folder.glob("bias_budget.*")} == {".png", ".svg", ".pdf", ".csv"}
    assert f"{100 * whole.test[0].accuracy:.1f}%" in report


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    first, second = (config(tmp_path, epochs=1, monitor=0.0, students=s) for s in ("mlp:2", "cnn:2"))
    folders = []
    for c in (first, second):
        with pytest.raises(StoppedError) as stopped:
            train(c, stop_after=2)
        folders.append(Path(str(stopped.value)))
    (folders[0] / LAST).write_bytes((folders[1] / LAST).read_bytes())
    with pytest.raises(TrainerError, match="was saved by a run with another students"):
        train(first, resume=True)


def test_a_loss_that_is_not_finite_says_where_and_what_to_try(tmp_path):
    diverging = config(tmp_path, students="mlp:2", lr=1e18, monitor=0.0)
    with pytest.raises(DivergedError, match=r"step \d+ \(epoch 0\): the loss of student [01] is (nan|inf); try"):
        train(diverging)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": -0.5}, r"alpha = -0.5: expected an order of at least 0"),
        ({"alpha": float("nan")}, "alpha = nan: expected"),
        ({"beta": -1.0}, "beta = -1.0: expected"),
        ({"temperature": 0.0}, "temperature = 0.0: expected a positive"),
        ({"lr": float("inf")}, "lr = inf"),
        ({"epochs": 0}, "epochs = 0"),
        ({"alpha_schedule": "constant"}, "give both or neither"),
        ({"alpha_schedule": "linear", "alpha_end": None}, "give both or neither"),
        ({"lr_schedule": "step"}, "needs lr_milestones"),
        ({"lr_milestones": [3, -1]}, "lr_milestones = .*: expected epochs of at least 0"),
        ({"validation": 1.0}, "validation = 1.0"),
    ],
)
def test_bad_settings_are_refused(tmp_path, changes, message):
    with pytest.raises(TrainerError, match=message):
        config(tmp_path, **changes)


WRONG = {
    int: (True, 1.0, "1", None, float("nan"), [1], np.ones(2)), float: (True, "0.5", None, 1j, [0.5], np.ones(2)),
    bool: (1, "true", None), str: (1, None, b"a", ["a"]), Path: (1, b"a", "a\0", ["a"]),
    tuple[int, ...]: (1.5, "1", None, (1, True), (0.5,), {1: 2}),
}  # fmt: skip


@pytest.mark.parametrize(("name", "hint"), get_type_hints(Config).items())
def test_a_value_of_another_type_is_refused_by_every_field(name, hint):
    optional = type(None) in get_args(hint)
    words = get_origin(hint) is Literal
    kind = str if words else next(k for k in get_args(hint) if k is not type(None)) if optional else hint
    for value in WRONG[kind]:
        if value is None and optional:
            continue
        said = "expected one of" if words else "expected (a|an|true|integers)"
        with pytest.raises(TrainerError, match=rf"^{name} = .*: {said}"):
            Config(**{name: value})


def test_numbers_of_numpy_and_names_of_paths_are_taken_for_what_they_are():
    made = Config(seed=np.int64(3), alpha=np.float32(2), beta=1, out="here", lr_milestones=[1, 2])
    assert made == Config(seed=3, alpha=2.0, beta=1.0, out=Path("here"), lr_milestones=(1, 2))
    assert [type(x) for x in (made.seed, made.alpha, made.beta)] == [int, float, float]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "cuda"}, "no GPU is available"),
        ({"device": "abacus"}, "expected auto, cpu, cuda"),
        ({"batch": 100_000}, "there are 3600 training samples"),
        ({"width": 0, "students": "timm/resnet18"}, "timm cannot be imported"),
        ({"data": "digits", "augment": "none", "students": "vit", "width": 6}, "multiple of its 4 heads"),
        ({"data": "digits", "augment": "shift"}, r"'shift' needs signals \(C, L\), the samples have shape \(1, 8, 8\)"),
        (
            {"augment": "crop-flip"},
            r"'crop-flip' needs images \(C, H, W\), the samples have shape \(1, 40\); use none",
        ),
    ],
)
def test_runs_that_cannot_start(tmp_path, changes, message):
    if "GPU" in message and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TrainerError, match=message):
        Trainer(config(tmp_path, **changes))
    assert not list(tmp_path.iterdir())


def test_configuration_files(tmp_path):
    toml = tmp_path / "c.toml"
    toml.write_text('alpha = 2\nlr_milestones = [1, 2]\nlr_schedule = "step"\nout = "here"\n')
    read = read_config(toml)
    assert (read.alpha, read.lr_milestones, read.out) == (2.0, (1, 2), Path("here"))
    for text, message in (
        ("alpah = 2", "unknown field 'alpah'"),
        ("alpha = 'x'", "alpha = 'x': expected a number"),
        ("epochs = 2.5", "epochs = 2.5: expected an integer"),
        ("optimizer = 'lion'", "expected one of sgd, adamw"),
        ("alpha = ", "is not valid TOML"),
    ):
        toml.write_text(text)
        with pytest.raises(TrainerError, match=message):
            read_config(toml)
    with pytest.raises(TrainerError, match="cannot be read"):
        read_config(tmp_path / "missing.toml")
    infinite = Config(alpha=float("inf"))
    assert read_config(json.loads(json.dumps(infinite.to_json()))) == infinite
    assert dataclasses.replace(infinite, alpha=1.0) != infinite


def test_the_command_line_fails_with_one_line():
    refused = CliRunner().invoke(train_command, ["--alpha", "-1"])
    assert refused.exit_code == 2
    assert refused.output == "Error: alpha = -1.0: expected an order of at least 0 (see `rdml train --help`)\n"
    for flags, said in (
        (["--alpha", "x"], "alpha = 'x': expected a number"),
        (["--alpha", "0,5"], "alpha = '0,5': expected a number such as 0.5"),
        (["--optimizer", "sgdd"], "optimizer = 'sgdd': expected one of sgd, adamw; did you mean 'sgd'?"),
        (["--epochs", "2.5"], "epochs = 2.5: expected an integer"),
        (["--lr-milestones", "10,x"], "lr_milestones = '10,x': expected"),
        (["--device", "[1]"], "device = '[1]': expected auto, cpu, cuda"),
        (["--alpah", "2"], "--alpha"),
    ):
        refused = CliRunner().invoke(train_command, flags)
        assert refused.exit_code == 2
        assert said in refused.output, refused.output


def test_flags_of_each_kind_change_the_configuration(monkeypatch):
    """Also one of a file; what is not given stays."""
    seen = []
    monkeypatch.setattr("verify.commands.training.run", lambda config, resume: seen.append(config))
    flags = ["--config", "mnist1d_table", "--alpha", "inf", "--lr-schedule", "step", "--out", "here", "--no-nesterov"]
    flags += [
        "--lr-milestones",
        "10,20",
        "--compile",
        "--lr",
        ".5",
        "--epochs",
        "3",
        "--data-dir",
        "there",
        "--students",
        "mlp",
    ]
    done = CliRunner().invoke(train_command, flags)
    assert done.exit_code == 0, done.output
    changes = {
        "alpha": math.inf, "lr_schedule": "step", "out": Path("here"), "nesterov": False, "lr_milestones": (10, 20),
        "compile": True, "lr": 0.5, "epochs": 3, "data_dir": Path("there"), "students": "mlp",
    }  # fmt: skip
    assert seen == [dataclasses.replace(configured({}, Path("mnist1d_table")), **changes)]


def test_tensorboard_has_the_losses_and_the_accuracies(tmp_path):
    """Also of a run that was killed after an epoch that no checkpoint holds: that epoch is there once."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = {"tensorboard": True, "data": "digits", "students": "mlp:2", "monitor": 0.0, "epochs": 4}
    settings |= {"augment": "none", "width": 16, "checkpoint_every": 2}
    with pytest.raises(StoppedError):
        train(config(tmp_path, **settings), stop_after=2 * 5)
    (saved,) = tmp_path.glob(f"*/{LAST}")
    kept = saved.read_bytes()
    with pytest.raises(StoppedError):
        train(config(tmp_path, **settings), resume=True, stop_after=3 * 5 + 1)
    saved.write_bytes(kept)
    result = train(config(tmp_path, **settings), resume=True)
    events = EventAccumulator(str(result.folder))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        "base/0", "base/1", "mutual/0", "mutual/1", "validation accuracy/0", "validation accuracy/1",
        "validation accuracy/ensemble",
    }  # fmt: skip
    epochs = [e for e in content(result.folder) if isinstance(e, Epoch)]
    assert [(e.step, e.value) for e in events.Scalars("base/1")] == [(e.step, pytest.approx(e.base[1])) for e in epochs]
    found = [e.value for e in events.Scalars("validation accuracy/ensemble")]
    assert found == pytest.approx([e.validation[-1].accuracy for e in epochs])


def test_without_tensorboard_there_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainerError, match="install"):
        train(config(tmp_path, tensorboard=True))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*should not be instantiated.*:DeprecationWarning")
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="torch.compile needs a compiler")
@pytest.mark.parametrize("students", ["mlp:2", "cnn,mlp"])
def test_compiled_students_train_as_others(tmp_path, students):
    settings = {"students": students, "data": "digits", "augment": "none", "monitor": 0.0, "epochs": 1}
    compiled, plain = (train(config(tmp_path / str(c), compile=c, **settings)) for c in (True, False))
    first, second = weights(compiled.folder), weights(plain.folder)
    students_of = [k for k in second if k.startswith("students")]
    assert len(students_of) > 8
    for name in students_of:
        assert torch.allclose(first[name], second[name], atol=1e-4), name
