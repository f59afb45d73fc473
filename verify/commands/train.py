"""Networks: train."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from verify.commands.common import Interrupted, UsageFault, Whole


class _TrainCommand(click.Command):
    """With a flag for each field of the configuration; the trainer is imported once they are to be read."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """All flags."""
        try:
            with _interrupts_end_at_once():
                from verify.commands.training import flags
        except ImportError as error:
            raise UsageFault(f"training needs {error.name}: pip install 'rdml-theory[train]'") from None
        *own, about = super().get_params(ctx)
        return [*own, *flags(), about]


@click.command("train", cls=_TrainCommand, short_help="Train students that learn from each other.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A configuration (TOML or JSON) or the name of a recipe (see `rdml recipes`); flags override it.",
)
@click.option(
    "--allow-code", is_flag=True, help="Let FILE name networks or data as package.module:factory, which runs that code."
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue the latest unfinished run of the configuration, or complete the report of a finished one.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Train the objective and its baselines (independent students, KL, and KL at the weight αβ), and tabulate "
    "their differences.",
)
@click.option("--seeds", type=Whole(min=1), help="With --compare: number of starts for each objective. (default: 8)")
@click.option("--orders", metavar="A,B", help="With --compare: orders to compare, such as 0.5,2,4.")
@click.option(
    "--rising",
    is_flag=True,
    help="With --compare: also train with a weight that rises from 0 over the first tenth of the steps.",
)
def train_command(
    config: Path | None, allow_code: bool, resume: bool, compare: bool, seeds: int | None, orders: str | None,
    rising: bool, **fields: Any,
) -> None:  # fmt: skip
    """Train students that learn from each other, and measure their bias budget.

    All options after the first seven set fields of the configuration.
    """
    if not compare and (seeds is not None or orders is not None or rising):
        given = "--rising" if rising else "--orders" if orders is not None else "--seeds"
        raise UsageFault(f"{given} belongs to --compare; for one run use --seed and --alpha")
    from verify.commands import training
    from verify.trainer import StoppedError, TrainerError

    try:
        settings = training.configured(fields, config, allow_code=allow_code)
        if compare:
            training.run_comparison(settings, seeds or training.COMPARED_SEEDS, orders, rising=rising)
        else:
            training.run(settings, resume=resume)
    except TrainerError as error:
        raise UsageFault(str(error)) from None
    except StoppedError as stopped:
        raise Interrupted(str(stopped)) from None


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
