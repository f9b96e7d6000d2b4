"""One Atari game behind the interface of all real tasks (envs/games.py), so that many play as a batch."""

from collections.abc import Sequence

import numpy as np

from worldmodels.config.tasks import AtariOptions
from worldmodels.envs.atari.emulator import Console, noop_frames
from worldmodels.envs.games import Closing, GameStep
from worldmodels.errors import UserError
from worldmodels.seeds import generator

ACTION_SIZE = 1
"""One number: the index of an action in the set."""
ALL_ACTIONS = 18


def action_from_unit(action: np.ndarray) -> np.ndarray:
    """Index (..., 1) float32 of one of all 18 actions, for numbers (..., 1) in [-1, 1]; needs `actions: full`."""
    return np.clip(np.floor((action + 1) / 2 * ALL_ACTIONS), 0, ALL_ACTIONS - 1).astype(np.float32)


class AtariGame(Closing):
    """One game. Use as a context manager."""

    leftover = ""

    def __init__(self, options: AtariOptions) -> None:
        self.options = options
        self.console = Console(options)

    @property
    def screen_shape(self) -> tuple[int, int, int]:
        """(210, 160, 3) in nearly every game."""
        return (*self.console.screen_shape, 3)

    def reset(self, seed: int) -> np.ndarray:
        """Begin the episode of `seed`, which chooses the no-ops; returns its first screen (h, w, 3) uint8."""
        self.console.reset(noop_frames(self.options, generator("atari", "noops", seed)))
        return self.screen()

    def replay(self, noops: int, actions: Sequence[int]) -> np.ndarray:
        """Begin an episode as a recorded one did, and take its actions; returns the screen (h, w, 3) uint8 they led to."""
        self.console.reset(noops)
        for action in actions:
            self.console.step(action)
        return self.screen()

    def screen(self) -> np.ndarray:
        """What is seen now: (h, w, 3) uint8, a copy."""
        shown = np.empty(self.screen_shape, np.uint8)
        self.console.read_rgb(shown)
        return shown

    def read_screen(self, into: np.ndarray) -> None:
        """Copy what is seen now to `into` (h, w, 3) uint8."""
        self.console.read_rgb(into)

    def step(self, action: np.ndarray) -> GameStep:
        """Act once. action: (1,), an index into the action set. Raises UserError when it is none."""
        step = self.console.step(checked_action(action, len(self.console.action_codes), self.options))
        return GameStep(step.reward, step.ended, step.timed_out)

    def close(self) -> None:
        """The emulator ends with the object."""


def checked_action(action: np.ndarray, count: int, options: AtariOptions) -> int:
    """The index that `action` (1,) names. Raises UserError unless it is one of `count`."""
    number = float(action[0]) if action.shape == (ACTION_SIZE,) else float("nan")
    if not (number.is_integer() and 0 <= number < count):
        raise UserError(
            f"{action.tolist()} is not an action of {options.game}: with `actions: {options.actions}` it takes one "
            f"whole number from 0 to {count - 1}."
        )
    return int(number)
