"""Networks: train."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from verify.commands.common import Interrupted, UsageFault


@click.command(
    "train",
    short_help="Train students that learn from each other.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.option("--config", type=click.Path(path_type=Path))
@click.option("--resume", is_flag=True)
@click.option("--allow-code", is_flag=True)
@click.option("--compare", is_flag=True)
@click.option("--seeds", type=click.IntRange(min=1))
@click.option("--orders")
@click.option("--rising", is_flag=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def train_command(
    config: Path | None,
    resume: bool,
    allow_code: bool,
    compare: bool,
    seeds: int | None,
    orders: str | None,
    rising: bool,
    arguments: Sequence[str],
) -> None:
    """Train students that learn from each other, and measure their bias budget.

    --config FILE reads a configuration (TOML or JSON) or a recipe by its name, which `rdml recipes` lists
    (--allow-code: one that names code to be run), --resume continues an interrupted run, --compare --seeds N trains the
    objective and its baselines and says what they differ in (--orders A,B: of several orders, --rising: with further
    rows), and every field of the configuration is a flag: see `rdml train --help`.
    """
    if not compare and (seeds is not None or orders is not None or rising):
        given = "--rising" if rising else "--orders" if orders is not None else "--seeds"
        raise UsageFault(f"{given} belongs to --compare; for one run use --seed and --alpha")
    try:
        with _interrupts_end_at_once():
            from verify.commands import training
            from verify.trainer import StoppedError, TrainerError
    except ImportError as error:
        raise UsageFault(f"training needs {error.name}: pip install 'rdml-theory[train]'") from None
    try:
        settings = training.parse(arguments, config, allow_code=allow_code)
        if compare:
            training.run_comparison(settings, seeds or training.COMPARED_SEEDS, orders, rising=rising)
        else:
            training.run(settings, resume=resume)
    except TrainerError as error:
        raise UsageFault(str(error)) from None
    except StoppedError as stopped:
        raise Interrupted(str(stopped)) from None
    except SystemExit:
        # The help of the flags has been printed.
        return


@contextmanager
def _interrupts_end_at_once() -> Iterator[None]:
    """Ctrl-C during imports that take seconds, in which libraries swallow a KeyboardInterrupt or turn it into others.

    Nothing has been written yet that would have to be closed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: Any) -> None:
        with suppress(OSError):
            os.write(2, b"interrupted\n")
        os._exit(130)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def is_training_run(folder: Path) -> bool:
    """Whether a folder holds a run of `rdml train` rather than the results of claims."""
    return (folder / "metrics.jsonl").is_file()


def report_of_training(folder: Path) -> Path:
    """Write the report of a finished training run from its files; returns its path."""
    try:
        from verify.trainer import TrainerError
        from verify.trainer.show import write_report
    except ImportError as error:
        raise UsageFault(f"the report of a training run needs {error.name}: pip install 'rdml-theory[train]'") from None
    try:
        return write_report(folder)
    except TrainerError as error:
        raise UsageFault(str(error)) from None
