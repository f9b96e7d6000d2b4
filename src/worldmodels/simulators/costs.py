"""What a step of a simulator costs: operations, counted by running it, and time."""

import time
from collections.abc import Callable, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from worldmodels.simulators.error_file import Costs
from worldmodels.simulators.noise import RowStreams
from worldmodels.simulators.protocol import ScoredSimulator

STEPS_A_CALL = 5


def costs_of(simulator: ScoredSimulator) -> Costs:
    """Parameters, and floating-point operations (2 a multiply-add) of an imagined step of one game."""
    counts = []
    for render in (True, False):
        work = imagination(simulator, 1, render, steps=1)
        with FlopCounterMode(display=False) as counter:
            work()
        counts.append(int(counter.get_total_flops()))
    return Costs(simulator.parameters, *counts)


@torch.no_grad()
def imagination(simulator: ScoredSimulator, batch: int, render: bool, steps: int = STEPS_A_CALL) -> Callable[[], None]:
    """Work to be timed: `steps` imagined steps of `batch` games, each drawn or not, past the first imagined one."""
    height, width, channels = simulator.frame_shape
    device = simulator.device
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (batch, 2, height, width, channels), dtype=torch.uint8, generator=generator)
    actions = torch.zeros(batch, 1, dtype=torch.long, device=device)
    noise = RowStreams([("costs", row) for row in range(batch)], simulator.noise_size, device)
    begin = simulator.step(simulator.observe(frames.to(device), actions, noise), actions[:, 0], 1.0, noise)

    def work() -> None:
        state = begin
        for _ in range(steps):
            state = simulator.step(state, actions[:, 0], 1.0, noise)
            if render:
                simulator.render(state)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return work


def seconds_in_turns(works: Sequence[Callable[[], None]], seconds: float) -> list[float]:
    """Median seconds of a call of each work, all called in turns for about `seconds` each, so that noise hits all alike."""
    for work in works:
        work()
    spent: list[list[float]] = [[] for _ in works]
    while sum(map(sum, spent)) < seconds * len(works):
        for times, work in zip(spent, works, strict=True):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
    return [sorted(times)[len(times) // 2] for times in spent]
