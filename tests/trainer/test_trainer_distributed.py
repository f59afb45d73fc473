"""Two processes that share the batches against one process: the same mathematics."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from verify.trainer import TrainerError
from verify.trainer.checkpoint import load_checkpoint
from verify.trainer.distributed import Group
from verify.trainer.folder import LAST, Epoch, read_metrics
from verify.trainer.networks import build_students

ROOT = Path(__file__).resolve().parents[2]


def launch(processes, out, *flags):
    """As `torchrun` does it, with less machinery."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "verify", "train", "--out", str(out), *flags]
    running = []
    for rank in range(processes):
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "WORLD_SIZE": str(processes), "RANK": str(rank),
            "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        running.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    for process in running:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    (folder,) = out.glob("*_s0")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ("--students", "mlp:2,cnn:1", "--alpha", "2", "--clip", "1"),
        ("--students", "cnn:2", "--alpha-schedule", "learned", "--augment", "crop-flip"),
    ],
)
def test_two_processes_compute_what_one_computes(tmp_path, flags):
    common = ("--data", "digits", "--batch", "128", "--epochs", "5", "--monitor", "0", *flags)
    one, two = (launch(n, tmp_path / str(n), *common) for n in (1, 2))
    epochs = [[e for e in read_metrics(f) if isinstance(e, Epoch)] for f in (one, two)]
    assert [e["step"] for e in epochs[0]] == [10, 20, 30, 40, 50]
    for a, b in zip(*epochs, strict=True):
        for name in ("base", "mutual"):
            assert a[name] == pytest.approx(b[name], abs=1e-5)
    first, second = (load_checkpoint(f / LAST)[0] for f in (one, two))
    for name, value in first.items():
        if name.startswith("students."):
            assert (value - second[name]).abs().max() < 1e-4, name


def test_shares_of_a_batch_are_disjoint_and_complete():
    rows = torch.arange(12)
    parts = [rows[Group(rank, 3).share(12)].tolist() for rank in range(3)]
    assert [row for part in parts for row in part] == rows.tolist()


def test_what_several_processes_cannot_do_is_said():
    students = build_students("resnet", (1, 40), 10, width=4)
    with pytest.raises(TrainerError, match="expected a multiple"):
        Group(0, 3).check(students, 128)
    if not torch.cuda.is_available():
        with pytest.raises(TrainerError, match="use norm = 'group'"):
            Group(0, 2).check(students, 128)
    assert Group(0, 1).check(students, 127) is students
