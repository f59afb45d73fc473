"""Worker processes that end with their parent, even one that was killed, and at once when it is interrupted."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

__all__ = ["WorkersLostError", "start_worker", "terminated_raises", "worker_pool"]


class WorkersLostError(ChildProcessError):
    """Worker processes died: killed by somebody, or by the system for want of memory."""


@contextmanager
def terminated_raises() -> Iterator[None]:
    """SIGTERM interrupts like Ctrl-C, so that nothing half-written stays."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back in this thread, and for good in the processes that it starts.

    They inherit the mask: one that is still importing when the terminal interrupts all would print a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker() -> None:
    """What every worker does first: it ends soon after its parent, even one that was killed, and not by Ctrl-C."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    # The parent decides what an interrupt means; it ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What was imported stays: looking for garbage among it, again and again, is a waste.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


class _Pool(ProcessPoolExecutor):
    """A pool whose processes, which it starts as work comes, leave interrupts to their parent from the first moment."""

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        with _interrupts_wait():
            return super().submit(fn, *arguments, **named)


@contextmanager
def worker_pool(
    jobs: int, initializer: Callable[..., None] = start_worker, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool of ``jobs`` processes, whose work in hand is dropped when the block raises."""
    spawn, others = multiprocessing.get_context("spawn"), set(multiprocessing.active_children())
    pool = _Pool(jobs, spawn, initializer=initializer, initargs=arguments)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        workers = set(multiprocessing.active_children()) - others
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        raise
