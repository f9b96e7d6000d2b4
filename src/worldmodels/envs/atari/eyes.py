"""What an agent that plays sees: a stack of 84 x 84 grey frames, made of screens exactly as a data set's are."""

import numpy as np
import torch

from worldmodels.envs.atari.screens import look_up, shrink

SIZE = 84
STACK = 4


def grey_frames(screens: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Screens (N, h, w) uint8 as frames (N, 84, 84) uint8; grey: (256, 1) luminance of each colour number."""
    return shrink(look_up(screens, grey)[:, 0], SIZE).numpy()


class Eyes:
    """Stacks of the last frames of several games, the newest last; before the first frame it is dark."""

    def __init__(self, games: int) -> None:
        self.stacks = np.zeros((games, STACK, SIZE, SIZE), np.uint8)

    def see(self, frames: np.ndarray, first: np.ndarray) -> torch.Tensor:
        """Take the newest frame of each game, (S, 84, 84), `first` (S,) of an episode or not; the stacks (S, 4, 84, 84)."""
        self.stacks[first] = 0
        self.stacks[:, :-1] = self.stacks[:, 1:].copy()
        self.stacks[:, -1] = frames
        return torch.from_numpy(self.stacks)
