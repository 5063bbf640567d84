import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose.apis.prefetch import (
    batch_by_key,
    prefetch_map,
    restore_order,
)


def threads():
    return {t for t in threading.enumerate() if t.is_alive()}


@pytest.mark.parametrize(
    ('ahead', 'workers'), [(0, 1), (1, 1), (3, 2), (9, 4)]
)
def test_prefetching_equals_map(ahead, workers):
    def work(n):
        time.sleep(0.002 * (n % 3))
        return n * n

    before = threads()
    assert list(prefetch_map(range(30), work, ahead, workers)) == [
        n * n for n in range(30)
    ]
    assert threads() == before
    assert list(prefetch_map([], work, ahead, workers)) == []


def test_no_more_is_read_than_may_wait():
    read = []

    def items():
        for n in range(1000):
            read.append(n)
            yield n

    stream = prefetch_map(items(), lambda n: n, 4, 1)
    for n in range(5):
        assert next(stream) == n
        until = time.monotonic() + 10
        while len(read) < n + 1 + 4 and time.monotonic() < until:
            time.sleep(0.002)
        # Without a consumer: four wait, one is blocked, one more was read.
        assert n + 1 + 4 <= len(read) <= n + 1 + 4 + 1
    stream.close()


@pytest.mark.parametrize('ahead', [0, 2])
def test_an_error_is_raised_at_its_position(ahead):
    def items():
        yield from (4, 2, 0, 1)
        raise OSError('truncated')

    stream = prefetch_map(items(), lambda n: 8 // n, ahead, 1)
    assert [next(stream), next(stream)] == [2, 4]
    with pytest.raises(ZeroDivisionError):
        next(stream)
    stream = prefetch_map(items(), lambda n: n, ahead, 1)
    assert [next(stream) for _ in range(4)] == [4, 2, 0, 1]
    with pytest.raises(OSError, match='truncated'):
        next(stream)


def test_closing_ends_threads_and_closes_the_source():
    closed = []

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    before = threads()
    stream = prefetch_map(endless(), str, 3, 2)
    assert next(stream) == '1'
    stream.close()
    assert closed
    assert threads() == before


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(0, 3), max_size=60),
    st.integers(1, 5),
    st.integers(1, 12),
)
def test_batches_have_equal_keys_and_no_item_waits_long(keys, size, window):
    latest = {}  # number of the latest item read

    def items():
        for n, key in enumerate(keys):
            latest['item'] = n
            yield n, key

    seen = []
    for batch in batch_by_key(items(), lambda i: i[1], size, window):
        assert 1 <= len(batch) <= size
        assert len({item[1] for _, item in batch}) == 1
        assert latest['item'] - batch[0][0] <= window
        assert all(position == item[0] for position, item in batch)
        seen += batch
    assert sorted(n for n, _ in seen) == list(range(len(keys)))
    assert list(restore_order(seen)) == list(enumerate(keys))


def test_equal_keys_fill_batches():
    batches = list(batch_by_key('aabab' * 4, str, 4, 100))
    assert [len(b) for b in batches] == [4, 4, 4, 4, 4]
