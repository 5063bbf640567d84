# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Endless streams: read ahead, put into batches, and back into order.

What is held in memory at a time does not grow with the stream.
"""

from __future__ import annotations

import queue
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Thread
from typing import (
    Any,
    Callable,
    Dict,
    Generator,
    Hashable,
    Iterable,
    Iterator,
    List,
    Tuple,
    TypeVar,
)

__all__ = ['batches_of_equals', 'in_order', 'read_ahead']

T = TypeVar('T')
R = TypeVar('R')
Numbered = Tuple[int, T]


def read_ahead(
    items: Iterable[T], work: Callable[[T], R], ahead: int, workers: int = 1
) -> Generator[R, None, None]:
    """``map(work, items)``, done by threads before it is asked for.

    An error of ``items`` or of ``work`` is raised here, in its place of the
    order.  Closing the iterator ends the threads.

    Args:
        items (Iterable): Gone through in a thread of its own.
        work (Callable): Called in others, must be safe to be so.
        ahead (int): How many results may wait; 0 uses no threads.
        workers (int): How many threads work at a time.

    Yields:
        The results, in the order of the items.
    """
    if ahead < 1:
        yield from map(work, items)
        return
    feeder = _Feeder(items, work, ahead, workers)
    try:
        while True:
            future = feeder.waiting.get()
            if future is None:
                return
            yield future.result()
    finally:
        feeder.close()


class _Feeder:
    """A thread that goes through items and hands them to workers."""

    def __init__(
        self, items: Iterable, work: Callable, ahead: int, workers: int
    ) -> None:
        self.items, self.work = items, work
        self.waiting: queue.Queue = queue.Queue(ahead)
        self.stop = Event()
        self.pool = ThreadPoolExecutor(workers)
        self.thread = Thread(target=self._feed, daemon=True)
        self.thread.start()

    def _put(self, future: Any) -> bool:
        """Wait for room; whether there still is someone to read."""
        while not self.stop.is_set():
            try:
                self.waiting.put(future, timeout=0.05)
                return True
            except queue.Full:
                continue
        return False

    def _feed(self) -> None:
        try:
            for item in self.items:
                if not self._put(self.pool.submit(self.work, item)):
                    return
            self._put(None)
        except BaseException as error:  # raised where results are read
            failed: Future = Future()
            failed.set_exception(error)
            self._put(failed)
        finally:
            close = getattr(self.items, 'close', None)
            if close is not None:
                close()

    def close(self) -> None:
        self.stop.set()
        self.thread.join()
        self.pool.shutdown()


def batches_of_equals(
    items: Iterable[T], key: Callable[[T], Hashable], size: int, window: int
) -> Iterator[List[Numbered]]:
    """Batches of items that have the same key.

    Items of a rare key go into a smaller batch once ``window`` items have
    come after the first of them.

    Args:
        items (Iterable): Any number of them.
        key (Callable): What must be equal within a batch.
        size (int): Items of a batch, at most.
        window (int): How long an item may wait for others.

    Yields:
        list[tuple]: Pairs of the item's position and the item.
    """
    open_: Dict[Hashable, List[Numbered]] = {}
    for position, item in enumerate(items):
        batch = open_.setdefault(key(item), [])
        batch.append((position, item))
        if len(batch) == size:
            yield open_.pop(key(item))
        while open_:
            oldest = min(open_, key=lambda k: open_[k][0][0])
            if position - open_[oldest][0][0] < window:
                break
            yield open_.pop(oldest)
    yield from open_.values()


def in_order(numbered: Iterable[Numbered]) -> Iterator[Any]:
    """What was numbered from 0 on, in the order of the numbers.

    Args:
        numbered (Iterable[tuple]): Each number once; those that come early
            wait.

    Yields:
        The second of each pair.
    """
    early: Dict[int, Any] = {}
    following = 0
    for position, item in numbered:
        early[position] = item
        while following in early:
            yield early.pop(following)
            following += 1
