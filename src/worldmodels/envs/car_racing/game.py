"""One game of CarRacing-v3, by EnvPool or by gymnasium, with the crop and the actions of the released environment."""

import importlib
import warnings
from abc import abstractmethod
from types import ModuleType
from typing import Any

import numpy as np

from worldmodels.config.tasks import CarRacingOptions
from worldmodels.envs.games import Closing, GameStep
from worldmodels.errors import UserError

ENVIRONMENT = "CarRacing-v3"
ACTION_SIZE = 3
SCREEN_SHAPE = (84, 96, 3)
"""Rows 84 to 96 show the indicator bar, and are cut off."""


def action_from_unit(action: np.ndarray) -> np.ndarray:
    """What the car takes, (..., 3) float32: steering in [-1, 1], gas and brake in [0, 1] (released model.py).

    action: numbers (..., 3) in [-1, 1]. Steering stays, gas is (x + 1) / 2, brake is x cut to [0, 1].
    """
    steering, gas, brake = action[..., 0], (action[..., 1] + 1) / 2, np.clip(action[..., 2], 0, 1)
    return np.stack([steering, gas, brake], axis=-1).astype(np.float32)


def make_game(options: CarRacingOptions) -> "CarRacingGame":
    """Start one game on the backend that the options name."""
    return {"envpool": EnvPoolGame, "gymnasium": GymnasiumGame}[options.backend](options)


class CarRacingGame(Closing):
    """What both backends share. Use as a context manager."""

    leftover = ""
    screen_shape = SCREEN_SHAPE

    def __init__(self, options: CarRacingOptions) -> None:
        self.options = options
        self.steps = 0
        self._shown = np.zeros(SCREEN_SHAPE, np.uint8)

    def reset(self, seed: int) -> np.ndarray:
        """Begin the episode of `seed`, on a track of its own; returns its first screen (84, 96, 3) uint8."""
        self.steps = 0
        self._shown = self._begin(seed)[: SCREEN_SHAPE[0]]
        return self.screen()

    def screen(self) -> np.ndarray:
        """What is seen now: (84, 96, 3) uint8, a copy."""
        return self._shown.copy()

    def read_screen(self, into: np.ndarray) -> None:
        """Copy what is seen now to `into` (84, 96, 3) uint8."""
        into[:] = self._shown

    def step(self, action: np.ndarray) -> GameStep:
        """Drive one fiftieth of a second. action: (3,) as the car takes it. Raises UserError unless all are numbers."""
        if action.shape != (ACTION_SIZE,):
            raise UserError(
                f"the action has shape {action.shape}, but a car takes steering, gas and brake, shape (3,)."
            )
        if not np.isfinite(action).all():
            raise UserError(f"the action {action} is not all numbers: the controller or its inputs have diverged.")
        screen, reward, ended = self._advance(action)
        self._shown = screen[: SCREEN_SHAPE[0]]
        self.steps += 1
        return GameStep(float(reward), bool(ended), not ended and self.steps >= self.options.max_steps)

    @abstractmethod
    def _begin(self, seed: int) -> np.ndarray:
        """First screen (96, 96, 3) of the episode of `seed`."""

    @abstractmethod
    def _advance(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """Screen (96, 96, 3), reward, and whether the rules end the episode."""


class EnvPoolGame(CarRacingGame):
    """EnvPool's C++ game. It ignores seeds given to reset, so that each episode is a pool of its own."""

    def __init__(self, options: CarRacingOptions) -> None:
        super().__init__(options)
        self._envpool = import_backend("envpool", "pip install envpool, or set the task's backend: gymnasium")
        if ENVIRONMENT not in self._envpool.list_all_envs():
            raise UserError(
                f"EnvPool {self._envpool.__version__} has no {ENVIRONMENT}. Install the version of the lock, or set the "
                "task's backend: gymnasium."
            )
        self._pool: Any = None

    def _begin(self, seed: int) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of gymnasium, about the precision of bounds
            self._pool = self._envpool.make(ENVIRONMENT, "gymnasium", num_envs=1, num_threads=1, seed=[seed])
        return self._pool.reset()[0][0]

    def _advance(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        screens, rewards, terminated, _, _ = self._pool.step(action[None])
        return screens[0], rewards[0], terminated[0]

    def close(self) -> None:
        """Let go of the pool, which ends its thread."""
        self._pool = None


class GymnasiumGame(CarRacingGame):
    """gymnasium's own game, which reported scores come from."""

    def __init__(self, options: CarRacingOptions) -> None:
        super().__init__(options)
        gymnasium = import_backend("gymnasium", "pip install 'gymnasium[box2d]'")
        try:
            self._environment = gymnasium.make(ENVIRONMENT, max_episode_steps=-1)
        except gymnasium.error.DependencyNotInstalled as error:
            raise UserError(f"gymnasium cannot play {ENVIRONMENT} ({error}).") from None

    def _begin(self, seed: int) -> np.ndarray:
        return self._environment.reset(seed=seed)[0]

    def _advance(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        screen, reward, terminated, _, _ = self._environment.step(action.astype(np.float64))
        return screen, float(reward), terminated

    def close(self) -> None:
        """End the game."""
        self._environment.close()


def import_backend(name: str, remedy: str) -> ModuleType:
    """Import a library that plays the game. Raises UserError where it is missing, or a part of it (EnvPool's assets)."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise UserError(f"{name} cannot be imported ({error}). Do: {remedy}.") from None
