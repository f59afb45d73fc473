"""Worker processes that end with their parent, even one that was killed, and at once when it is interrupted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

__all__ = ["end_with_parent", "start_worker", "worker_pool"]


def end_with_parent() -> None:
    """End this process soon after its parent, even one that was killed and could not end its children."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def start_worker() -> None:
    """What every worker does first."""
    end_with_parent()
    # The parent decides what an interrupt means; it ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def worker_pool(
    jobs: int, initializer: Callable[..., None] = start_worker, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool of ``jobs`` processes, whose work in hand is dropped when the block raises."""
    spawn, others = multiprocessing.get_context("spawn"), set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, spawn, initializer=initializer, initargs=arguments)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        workers = set(multiprocessing.active_children()) - others
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        raise
