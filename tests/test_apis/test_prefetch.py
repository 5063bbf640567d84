import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose.apis.prefetch import batches_of_equals, in_order, read_ahead


def threads():
    return {t for t in threading.enumerate() if t.is_alive()}


@pytest.mark.parametrize(
    ('ahead', 'workers'), [(0, 1), (1, 1), (3, 2), (9, 4)]
)
def test_reading_ahead_is_map(ahead, workers):
    def work(n):
        time.sleep(0.002 * (n % 3))
        return n * n

    before = threads()
    assert list(read_ahead(range(30), work, ahead, workers)) == [
        n * n for n in range(30)
    ]
    assert threads() == before
    assert list(read_ahead([], work, ahead, workers)) == []


def test_no_more_is_read_than_may_wait():
    taken = []

    def items():
        for n in range(1000):
            taken.append(n)
            yield n

    stream = read_ahead(items(), lambda n: n, 4)
    for n in range(5):
        assert next(stream) == n
        until = time.monotonic() + 10
        while len(taken) < n + 1 + 4 and time.monotonic() < until:
            time.sleep(0.002)
        # unasked: four wait, one is in hand, one more was taken
        assert n + 1 + 4 <= len(taken) <= n + 1 + 4 + 1
    stream.close()


@pytest.mark.parametrize('ahead', [0, 2])
def test_an_error_comes_in_its_place(ahead):
    def items():
        yield from (4, 2, 0, 1)
        raise OSError('the end is missing')

    stream = read_ahead(items(), lambda n: 8 // n, ahead)
    assert [next(stream), next(stream)] == [2, 4]
    with pytest.raises(ZeroDivisionError):
        next(stream)
    stream = read_ahead(items(), lambda n: n, ahead)
    assert [next(stream) for _ in range(4)] == [4, 2, 0, 1]
    with pytest.raises(OSError, match='the end is missing'):
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
    stream = read_ahead(endless(), str, 3, 2)
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
def test_batches_hold_equals_and_nobody_waits_long(keys, size, window):
    held = {}  # of which number it was when the batch was made

    def items():
        for n, key in enumerate(keys):
            held['now'] = n
            yield n, key

    seen = []
    for batch in batches_of_equals(items(), lambda i: i[1], size, window):
        assert 1 <= len(batch) <= size
        assert len({item[1] for _, item in batch}) == 1
        assert held['now'] - batch[0][0] <= window
        assert all(position == item[0] for position, item in batch)
        seen += batch
    assert sorted(n for n, _ in seen) == list(range(len(keys)))
    assert list(in_order(seen)) == list(enumerate(keys))


def test_what_is_equal_fills_batches():
    batches = list(batches_of_equals('aabab' * 4, str, 4, 100))
    assert [len(b) for b in batches] == [4, 4, 4, 4, 4]
