"""Atari games as stable-baselines3 wants them, for agents that learn on exactly the frames that data sets store.

What is done for learning alone, and never to a score or a data set: rewards may be reduced to their sign, and a lost
life may end the return (the game goes on).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from stable_baselines3.common.vec_env import VecEnv

from worldmodels.config.tasks import AtariOptions
from worldmodels.envs.atari.colours import Colours
from worldmodels.envs.atari.emulator import Console, noop_frames
from worldmodels.envs.atari.eyes import SIZE, STACK, Eyes, grey_frames
from worldmodels.seeds import generator


class LearningGames(VecEnv):
    """Several games in one process, stepped one after the other; their frames are shrunk together.

    Observations are (B, 4, 84, 84) uint8. Episodes are those of `seed_words`, in the order in which they begin.
    """

    def __init__(
        self,
        options: AtariOptions,
        games: int,
        seed_words: tuple[str | int, ...],
        clip_rewards: bool,
        life_loss_ends: bool,
    ) -> None:
        self.consoles = [Console(options) for _ in range(games)]
        self.colours = Colours.of(self.consoles[0])
        actions = Discrete(len(self.consoles[0].action_codes))
        super().__init__(games, Box(0, 255, (STACK, SIZE, SIZE), np.uint8), actions)
        self._rng = generator(*seed_words)
        self._clip, self._life_loss_ends, self._task = clip_rewards, life_loss_ends, options
        self._eyes = Eyes(games)
        self._screens = np.empty((games, *self.consoles[0].screen_shape), np.uint8)
        self._actions = np.zeros(games, np.int64)
        self._returns = np.zeros(games)
        self.finished: list[tuple[int, float]] = []  # steps and unclipped return of every whole episode

    def reset(self) -> np.ndarray:
        """Begin an episode in every game."""
        for number in range(self.num_envs):
            self._begin(number)
        return self._look(np.ones(self.num_envs, bool))

    def step_async(self, actions: np.ndarray) -> None:
        """Take note of the actions (B,)."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Act: observations, rewards (B,) float32, dones (B,) bool, and for each end what was seen there."""
        rewards, dones = np.zeros(self.num_envs, np.float32), np.zeros(self.num_envs, bool)
        infos: list[dict[str, Any]] = [{} for _ in self.consoles]
        restarts = np.zeros(self.num_envs, bool)
        for number, (console, action) in enumerate(zip(self.consoles, self._actions, strict=True)):
            step = console.step(int(action))
            self._returns[number] += step.reward
            rewards[number] = np.sign(step.reward) if self._clip else step.reward
            restarts[number] = step.ended or step.timed_out
            dones[number] = restarts[number] or (self._life_loss_ends and step.life_lost)
            infos[number]["TimeLimit.truncated"] = step.timed_out
        seen = self._look(np.zeros(self.num_envs, bool))
        for number in np.flatnonzero(dones).tolist():
            infos[number]["terminal_observation"] = seen[number].copy()
        for number in np.flatnonzero(restarts).tolist():
            self.finished.append((self.consoles[number].steps, float(self._returns[number])))
            infos[number]["episode"] = {"r": self._returns[number], "l": self.consoles[number].steps, "t": 0.0}
            self._begin(number)
        return (self._look(restarts, only=restarts) if restarts.any() else seen), rewards, dones, infos

    def _begin(self, number: int) -> None:
        self.consoles[number].reset(noop_frames(self._task, self._rng))
        self._returns[number] = 0

    def _look(self, first: np.ndarray, only: np.ndarray | None = None) -> np.ndarray:
        """Stacks of all games after the newest frames of all, or of `only` some; a copy."""
        for console, screen in zip(self.consoles, self._screens, strict=True):
            console.read_screen(screen)
            self.colours.learn(console, screen)
        frames = grey_frames(self._screens, self.colours.grey)
        if only is None:
            return self._eyes.see(frames, first).numpy().copy()
        restarted = Eyes(int(only.sum()))
        self._eyes.stacks[only] = restarted.see(frames[only], first[only]).numpy()
        return self._eyes.stacks.copy()

    def close(self) -> None:
        """The emulators end with the object."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """stable-baselines3 asks for `render_mode` alone."""
        return [getattr(self, attr_name, None) for _ in self._indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Nothing may be set from outside."""
        raise NotImplementedError(attr_name)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Games have no methods of their own."""
        raise NotImplementedError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No wrapper is used."""
        return [False for _ in self._indices(indices)]

    def _indices(self, indices: Any) -> Sequence[int]:
        return list(self._get_indices(indices))
