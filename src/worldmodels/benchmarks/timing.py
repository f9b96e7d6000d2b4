"""Rates of two pieces of work that share a noisy machine."""

import time
from collections.abc import Callable


def alternate(one: Callable[[], None], other: Callable[[], None], seconds: float) -> tuple[float, float]:
    """Calls a second of two functions, timed in turns for `seconds` in all, so that a noisy machine slows both."""
    spent = [0.0, 0.0]
    calls = 0
    one()
    other()
    while sum(spent) < seconds:
        for index, function in enumerate((one, other)):
            begin = time.perf_counter()
            function()
            spent[index] += time.perf_counter() - begin
        calls += 1
    return calls / spent[0], calls / spent[1]
