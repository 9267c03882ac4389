"""Processes beside this one, which end with it, however it ends."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def pool(
    processes: int, start: Callable[..., None], *args: object
) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Each begins with start(*args). Left by an exception, what runs is stopped, not waited for."""
    others = set(multiprocessing.active_children())
    executor = concurrent.futures.ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(start, args),
    )
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    executor.shutdown()


def _start(start: Callable[..., None], args: tuple[object, ...]) -> None:
    # Ctrl-C reaches every process of a terminal: the one that started this one sees to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    start(*args)
