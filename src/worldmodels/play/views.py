"""What a player sees and moves: a dream, and the real game beside it, one step at a time."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from worldmodels.config.tasks import TaskOptions
from worldmodels.envs.games import Closing, frame_maker, load_task
from worldmodels.simulators.noise import RowStreams
from worldmodels.simulators.protocol import Simulator

FRAME_SIZE = 64


class View(Protocol):
    """One picture in the window."""

    name: str
    picture: np.ndarray  # (H, W, 3) uint8, what is seen now
    total: float | None  # sum of rewards; None where nobody knows them
    steps: int
    over: bool

    def reset(self, seed: int) -> None:
        """Begin the episode of `seed`."""

    def step(self, action: np.ndarray) -> None:
        """Act (A,) once; nothing happens once it is over."""


def noise_of(seed: int, simulator: Simulator[Any]) -> RowStreams:
    """The random numbers of the dream of a seed."""
    return RowStreams([("play", seed)], simulator.noise_size, simulator.device)


class DreamView:
    """A simulator that is played.

    begin: the first state for a stream of random numbers. knows_rewards: whether its rewards are the game's.
    """

    name = "dream"

    def __init__(
        self, simulator: Simulator[Any], begin: Callable[[RowStreams], Any], temperature: float, knows_rewards: bool
    ) -> None:
        self.simulator, self.begin, self.temperature = simulator, begin, temperature
        self._knows_rewards = knows_rewards

    def reset(self, seed: int) -> None:
        """Dream another dream: its random numbers belong to the seed."""
        self._noise = noise_of(seed, self.simulator)
        self._state = self.begin(self._noise)
        self.total: float | None = 0.0 if self._knows_rewards else None
        self.steps, self.over = 0, False
        self._show()

    def step(self, action: np.ndarray) -> None:
        """Imagine what the action (A,) leads to."""
        if self.over:
            return
        taken = torch.from_numpy(action).to(self.simulator.device)
        taken = taken.long() if self.simulator.discrete else taken[None]  # (1,) or (1, A)
        self._state = self.simulator.step(self._state, taken, self.temperature, self._noise)
        self.steps += 1
        if self.total is not None:
            self.total += float(self.simulator.reward(self._state)[0])
        self.over = bool(self.simulator.done(self._state)[0])
        self._show()

    def _show(self) -> None:
        frame = self.simulator.render(self._state)[0].cpu().numpy()
        self.picture = np.repeat(frame, 3, axis=2) if frame.shape[2] == 1 else frame


class RealView(Closing):
    """The real game. Use as a context manager.

    begin: puts the game where the episode of a seed begins, and returns what it shows; the game's own reset by default.
    """

    name = "real game"

    def __init__(self, options: TaskOptions, begin: Callable[[Any, int], np.ndarray] | None = None) -> None:
        task = load_task(options.name)
        self._game = task.make_game(options)
        self._begin = begin or (lambda game, seed: game.reset(seed))
        self._make_frames = frame_maker(task, options)

    def reset(self, seed: int) -> None:
        """Begin the episode of `seed`."""
        self.picture = self._begin(self._game, seed)
        self.total: float | None = 0.0
        self.steps, self.over = 0, False

    def step(self, action: np.ndarray) -> None:
        """Act (A,) once."""
        if self.over:
            return
        result = self._game.step(action)
        self.steps += 1
        assert self.total is not None
        self.total += result.reward
        self.over = result.ended or result.timed_out
        if not self.over:
            self.picture = self._game.screen()

    def frame(self) -> np.ndarray:
        """What V sees of it: (64, 64, 3) uint8."""
        return self._make_frames(self.picture[None], FRAME_SIZE)[0]

    def close(self) -> None:
        """End the game."""
        self._game.close()
