"""Reading ahead: order, errors, and that nothing goes on when nobody reads any more."""

import itertools
import threading
import time

import pytest

from worldmodels.data.prefetch import prefetch


def slow_numbers():
    for number in itertools.count():
        time.sleep(0.05)
        yield number


def test_no_thread_is_left_when_the_reader_stops():
    """One that reads HDF5 as the process ends would keep h5py's lock, and the process would hang instead of ending."""
    numbers = prefetch(slow_numbers(), depth=2)
    assert [next(numbers), next(numbers)] == [0, 1]
    numbers.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]
    for number in prefetch(slow_numbers()):  # as `fit` does: it breaks off, and the generator goes out of use
        if number == 1:
            break
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_items_come_in_order_and_errors_where_they_arose():
    def items():
        yield from range(5)
        raise ValueError("no more")

    seen = []
    with pytest.raises(ValueError, match="no more"):
        for number in prefetch(items(), depth=3):
            seen.append(number)
    assert seen == [0, 1, 2, 3, 4]
