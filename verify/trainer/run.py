"""A training run: a folder of its own, a clean end after a signal, and an exact resume.

Everything a step depends on is the configuration, the number of the step and what a checkpoint holds, so that a run
that was interrupted or killed ends with the same weights, bit for bit on a CPU, as one that was not.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from convergence.store import locked
from verify.trainer.config import Config
from verify.trainer.distributed import process_group
from verify.trainer.errors import StoppedError, TrainerError
from verify.trainer.folder import FILES, Result, RunFiles, final_scores, go_on, open_run, summary_writer
from verify.trainer.trainer import Trainer

__all__ = ["Report", "train"]

CHECK_EVERY = 50
"""Steps between looks at the losses: looking makes an accelerator wait."""


Report = Callable[[Trainer, dict[str, Any]], None]


def train(
    config: Config,
    *,
    resume: bool = False,
    report: Report = lambda trainer, values: None,
    started: Callable[[Path, int], None] = lambda folder, step: None,
    stop_after: int | None = None,
) -> Result | None:
    """Train a cohort from its configuration to its report.

    Parameters
    ----------
    config : Config
        The run.
    resume : bool
        Continue the latest unfinished run of this configuration; of a finished one, return what it came to.
    report : callable
        Called after every step with the trainer and, after an epoch, its values.
    started : callable
        Called with the folder and the step at which the run begins.
    stop_after : int, optional
        Stop as a signal would after this many steps of the run.

    Returns
    -------
    Result or None
        None in all but the first of several processes.

    Raises
    ------
    TrainerError, DivergedError
        See there.
    StoppedError
        After Ctrl-C or SIGTERM, once everything is saved.
    """
    if config.tensorboard:
        summary_writer()  # Before there is a folder.
    with process_group() as group:
        trainer = Trainer(config, group)
        if group.rank:
            # The folder is the business of the first process; the others wait for it and read its checkpoint.
            group.wait()
            if resume:
                go_on(trainer, open_run(config, resume=True))
            with _stop_requested() as stop:
                _advance(trainer, None, stop, report, stop_after)
            return None
        folder = open_run(config, resume=resume)
        with locked(folder, FILES):
            group.wait()
            if resume and (done := final_scores(folder)) is not None:
                return done
            try:
                with _stop_requested() as stop, closing(RunFiles(trainer, folder)) as files:
                    started(folder, trainer.number)
                    begin = time.perf_counter()
                    _advance(trainer, files, stop, report, stop_after)
                    return files.finish(begin)
            except OSError as error:
                # A full disk, mostly; what is whole of the run is kept.
                raise TrainerError(
                    f"{folder}: cannot be written ({error.strerror or error}); make room, and go on with --resume"
                ) from None


def _advance(
    trainer: Trainer, files: RunFiles | None, stop: threading.Event, report: Report, stop_after: int | None
) -> None:
    """Every step that is left; raises :class:`StoppedError` where the run is asked to stop, with all of it saved."""
    while trainer.number < trainer.steps:
        trainer.step()
        ended = trainer.number % trainer.per_epoch == 0
        looked = ended or trainer.number % CHECK_EVERY == 0
        if looked:
            trainer.check()
        # All processes average; the first alone writes and reports.
        losses = trainer.epoch_losses() if ended else {}
        report(trainer, files.after_step(losses) if files is not None else {})
        due = stop.is_set() or trainer.number == stop_after
        if trainer.group.size > 1:
            # All processes stop at the same step, or none does.
            due = trainer.group.any(due) if looked else False
        if due and trainer.number < trainer.steps:
            trainer.check()
            if files is not None:
                files.save_last()
            raise StoppedError(str(files.folder if files is not None else ""))


@contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """Set by Ctrl-C and SIGTERM; a second Ctrl-C ends at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def request(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {s: signal.signal(s, request) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
