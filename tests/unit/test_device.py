"""What a stage asks of the machine: that a number does not depend on how busy it is."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from worldmodels.runtime.device import VECTOR_FUNCTIONS, set_threads


class Calls(TorchDispatchMode):
    """Notes every operation with the type and the size of its first operand."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if args and isinstance(args[0], torch.Tensor):
            self.seen.add((function.overloadpacket.__name__, args[0].dtype, args[0].numel()))
        return function(*args, **(kwargs or {}))


def test_vector_functions_are_first_called_on_one_thread():
    """Else a process's first result of one may be of low precision in one thread's share.

    The race itself came once in 200 processes on a busy machine: too seldom to be a test.
    """
    threads = torch.get_num_threads()
    with Calls() as calls:
        set_threads(threads)
    sizes = {(name, dtype): size for name, dtype, size in calls.seen}
    assert {name for name, _ in sizes} >= set(VECTOR_FUNCTIONS)
    assert all((name, dtype) in sizes for name in VECTOR_FUNCTIONS for dtype in (torch.float32, torch.float64))
    assert max(sizes.values()) < 16, "so little is never shared among threads"
