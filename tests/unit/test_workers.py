"""Working batches side by side: order, errors, one torch thread each, and nothing left behind."""

import threading
import time

import pytest
import torch

from worldmodels.runtime.workers import work_side_by_side


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("worker")]


def test_results_come_in_order_from_threads_of_one_torch_thread_each():
    together = threading.Barrier(2, timeout=10)

    def work(number):
        if number < 2:
            together.wait()  # a single worker would never get past this
            time.sleep(0.1 * (1 - number))  # the second is done before the first
        return number, torch.get_num_threads()

    assert list(work_side_by_side(work, range(7), 2)) == [(number, 1) for number in range(7)]
    assert torch.get_num_threads() == 2 and not workers()


def test_errors_arise_in_the_reader_and_nobody_goes_on_without_one():
    def broken(number):
        if number == 2:
            raise ValueError("no more")
        return number

    seen = []
    with pytest.raises(ValueError, match="no more"):
        for number in work_side_by_side(broken, range(1000), 2):
            seen.append(number)
    assert seen == [0, 1] and not workers()
    made = []
    numbers = work_side_by_side(lambda number: number, (made.append(number) or number for number in range(1000)), 2)
    assert [next(numbers), next(numbers)] == [0, 1]
    numbers.close()
    assert len(made) < 10 and not workers()
