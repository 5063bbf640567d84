# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Bounded-memory prefetching for iterators of unknown length.

Items are read ahead by threads, grouped into batches and restored to their
original order.
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

__all__ = ['batch_by_key', 'prefetch_map', 'restore_order']

T = TypeVar('T')
R = TypeVar('R')
Numbered = Tuple[int, T]


def prefetch_map(
    items: Iterable[T], function: Callable[[T], R], ahead: int, workers: int
) -> Generator[R, None, None]:
    """Compute ``map(function, items)`` ahead of its consumer, by threads.

    Closing the iterator stops the threads.

    Args:
        items (Iterable): Items, iterated in a thread of their own; may be
            infinite.
        function (Callable): Function of an item, called in worker threads;
            must be thread-safe.
        ahead (int): Maximum number of results that wait to be consumed; 0
            computes without threads.
        workers (int): Number of worker threads.

    Yields:
        Results in the order of the items.

    Raises:
        Exception: An error of ``items`` or ``function``, at its position in
            the order.
    """
    if ahead < 1:
        yield from map(function, items)
        return
    prefetcher = _Prefetcher(items, function, ahead, workers)
    try:
        while True:
            future = prefetcher.futures.get()
            if future is None:
                return
            yield future.result()
    finally:
        prefetcher.close()


class _Prefetcher:
    """A thread that iterates over items and submits them to a thread pool.

    ``futures`` holds the results in order, and None at the end.
    """

    def __init__(
        self, items: Iterable, function: Callable, ahead: int, workers: int
    ) -> None:
        self.items, self.function = items, function
        self.futures: queue.Queue = queue.Queue(ahead)
        self.stop = Event()
        self.pool = ThreadPoolExecutor(workers)
        self.thread = Thread(target=self._submit_items, daemon=True)
        self.thread.start()

    def _submit_items(self) -> None:
        """Submit all items; an error of the iterator becomes a result."""
        try:
            for item in self.items:
                if not self._enqueue(self.pool.submit(self.function, item)):
                    return
            self._enqueue(None)
        except BaseException as error:  # raised again in prefetch_map
            failed: Future = Future()
            failed.set_exception(error)
            self._enqueue(failed)
        finally:
            close = getattr(self.items, 'close', None)
            if close is not None:
                close()

    def _enqueue(self, future: Any) -> bool:
        """Wait for a free place in the queue; False if closed meanwhile."""
        while not self.stop.is_set():
            try:
                self.futures.put(future, timeout=0.05)
                return True
            except queue.Full:
                continue
        return False

    def close(self) -> None:
        """Stop the thread and the pool, and wait for both."""
        self.stop.set()
        self.thread.join()
        self.pool.shutdown()


def batch_by_key(
    items: Iterable[T],
    key: Callable[[T], Hashable],
    batch_size: int,
    window: int,
) -> Iterator[List[Numbered]]:
    """Group items with equal keys into batches.

    An item waits for others with its key until ``window`` further items have
    been read; then its batch is yielded, even if it is not full.

    Args:
        items (Iterable): Items; may be infinite.
        key (Callable): Function of an item; items of a batch have equal keys.
        batch_size (int): Maximum number of items in a batch.
        window (int): Maximum wait of an item, in items read.

    Yields:
        list[tuple]: Pairs of position (from 0) and item.
    """
    pending: Dict[Hashable, List[Numbered]] = {}
    for position, item in enumerate(items):
        batch = pending.setdefault(key(item), [])
        batch.append((position, item))
        if len(batch) == batch_size:
            yield pending.pop(key(item))
        while pending:
            oldest = min(pending, key=lambda k: pending[k][0][0])
            if position - pending[oldest][0][0] < window:
                break
            yield pending.pop(oldest)
    yield from pending.values()


def restore_order(numbered: Iterable[Numbered]) -> Iterator[Any]:
    """Sort numbered items of a stream by their position.

    Args:
        numbered (Iterable[tuple]): Pairs of position and item, each position
            from 0 on once; items that arrive early are kept until their turn.

    Yields:
        Items by increasing position.
    """
    early: Dict[int, Any] = {}
    next_position = 0
    for position, item in numbered:
        early[position] = item
        while next_position in early:
            yield early.pop(next_position)
            next_position += 1
