"""Held-out sequences: the same ones for every simulator and every training seed of an experiment."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from worldmodels.data.atari_windows import AtariWindows
from worldmodels.data.windows import Windows
from worldmodels.envs.atari.screens import resolution_of_frames
from worldmodels.simulators.fit import require_fit
from worldmodels.simulators.noise import RowStreams
from worldmodels.simulators.protocol import ScoredSimulator

CANDIDATES = 16
"""Sequences of which pictures show one: the one of median change, neither the liveliest nor the stillest."""


class HeldOut:
    """Sequences of `steps` steps from a data set's test shards, as one simulator sees them.

    Sequence n is the same window of the same episode for every simulator. Raises UserError when the simulator has
    another number of actions, or other frames, than the data set, or learned from another game.
    """

    def __init__(self, shards: list[Path], simulator: ScoredSimulator, steps: int, batch_size: int) -> None:
        resolution = resolution_of_frames(*simulator.frame_shape)
        words = ("held-out sequences",)
        self.simulator, self.batch_size = simulator, batch_size
        self.windows = AtariWindows(shards, batch_size, steps, words, resolution, simulator.device)
        require_fit(self.windows.facts, simulator.action_size, simulator.frame_shape, simulator.origin)

    def batch(self, number: int) -> Windows:
        """Batch `number`."""
        windows = self.windows.batch(number)
        return windows._replace(frames=self.simulator.seen(windows.frames))

    def batches(self, sequences: int, first: int = 0) -> Iterator[Windows]:
        """Batches that have `sequences` sequences in all, from number `first` on."""
        for number in range(first, -(-sequences // self.batch_size)):
            kept = min(self.batch_size, sequences - number * self.batch_size)
            yield Windows(*(part[:kept] for part in self.batch(number)))


def shown_sequence(shards: list[Path], simulator: ScoredSimulator, warm_up: int, horizon: int) -> Windows:
    """The one sequence that pictures show, (1, ...): of median change after the warm-up among CANDIDATES.

    Which one it is is decided at a small size, so that simulators of all resolutions show the same.
    """
    steps = warm_up + horizon
    small = AtariWindows(shards, CANDIDATES, steps, ("shown sequence",), "grey42")
    frames = small.batch(0).frames[:, warm_up:].float()
    change = (frames[:, 1:] - frames[:, :1]).square().mean(dim=(1, 2, 3, 4))
    shown = int(np.argsort(change.numpy(), kind="stable")[CANDIDATES // 2])
    held_out = HeldOut(shards, simulator, steps, CANDIDATES)
    windows = held_out.windows.read([small.first_row(int(small.numbers(0)[shown]))])
    return windows._replace(frames=simulator.seen(windows.frames))


@torch.no_grad()
def imagined_frames(simulator: ScoredSimulator, windows: Windows, warm_up: int, horizon: int) -> Tensor:
    """Frames (B, horizon, H, W, C) uint8 that follow the warm-up in imagination, with the actions that were taken."""
    noise = RowStreams(
        [("imagined", row) for row in range(len(windows.actions))], simulator.noise_size, simulator.device
    )
    state = simulator.observe(windows.frames[:, : warm_up + 1], windows.actions[:, :warm_up], noise)
    frames = []
    for step in range(warm_up, warm_up + horizon):
        state = simulator.step(state, windows.actions[:, step], 1.0, noise)
        frames.append(simulator.render(state))
    return torch.stack(frames, dim=1)
