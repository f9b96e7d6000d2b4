"""Several batches at once, each on a thread of its own, instead of one batch on several threads.

Threads that share one small operation wait for each other at its end; where another program, or reading the next
batch, keeps one of them, all wait. Batches that are independent need no such end.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 2
"""Items that wait for a worker, for each worker: enough that none stands idle while the next one is made."""


def work_side_by_side(
    function: Callable[[Item], Result], items: Iterable[Item], device: torch.device
) -> Iterator[Result]:
    """Yield function(item) in order. On a CPU as many items at once as torch has threads, each on one; else one at a time.

    Items are made in the calling thread, a few ahead of their turn. What making or working one raises is raised here.
    """
    before = torch.get_num_threads()
    threads = before if device.type == "cpu" else 1
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, "worker", initializer=torch.set_num_threads, initargs=(1,))
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # what a worker says of itself, MKL takes for all
