"""Several batches at once, each on a thread of its own, instead of one batch on several threads.

Threads that share one small operation wait for each other at its end; where another program, or reading the next
batch, keeps one of them, all wait. Batches that are independent need no such end.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from worldmodels.runtime.device import set_threads

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 2
"""Items that are worked or wait for it, for each worker: enough that none stands idle while the next one is made."""
MOST_WORKERS = 16
"""More cannot be fed by one thread that reads, and each takes memory."""


def workers_on(device: torch.device) -> int:
    """How many items are worked at once: on a CPU one for each of torch's threads, as far as that pays."""
    return min(torch.get_num_threads(), MOST_WORKERS) if device.type == "cpu" else 1


def work_side_by_side(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Yield function(item) in order, worked by so many threads, in each of which torch uses one core.

    Items are made in the calling thread, a few ahead of their turn. What making or working one raises is raised here.
    """
    before = torch.get_num_threads()
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, "worker", initializer=set_threads, initargs=(1,))
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # a worker's one thread would be the default of every thread made later
