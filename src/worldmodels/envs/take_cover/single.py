"""Take Cover as a Gymnasium environment: one game."""

from typing import Any

import gymnasium
import numpy as np

from worldmodels.config.tasks import TakeCoverOptions
from worldmodels.envs.frames import resize_frames
from worldmodels.envs.released_frames import released_frames
from worldmodels.envs.take_cover.game import TakeCoverGame
from worldmodels.errors import UserError


class TakeCoverEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """Frames (64, 64, 3) uint8, one action in [-1, 1], reward 1 a tic.

    `terminated` is death, `truncated` the time limit. After a fatal action there is no frame: the observation is black,
    as in the released environment. Options are those of TakeCoverOptions.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium declares it so)
        "render_modes": ["rgb_array"],
        "render_fps": 35,
    }

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        self.options = TakeCoverOptions(**options)
        self.render_mode = render_mode
        size = self.options.frame_size
        self.observation_space = gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        self._game: TakeCoverGame | None = None
        self._frame = np.zeros((size, size, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Begin an episode; the same seed gives the same one."""
        super().reset(seed=seed)
        if self._game is None:
            self._game = TakeCoverGame(self.options)
        chosen = seed if seed is not None else int(self.np_random.integers(2**31))
        self._frame = self._resize(self._game.reset(chosen))
        return self._frame, {"episode_seed": chosen}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Act for one tic."""
        if self._game is None:
            raise UserError("step() was called before reset(): call reset() to begin an episode.")
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (1,):
            raise UserError(f"the action has shape {values.shape}, but this game takes one number, shape (1,).")
        result = self._game.step(values)
        self._frame = np.zeros_like(self._frame) if result.ended else self._resize(self._game.screen())
        return self._frame, result.reward, result.ended, result.timed_out, {}

    def render(self) -> np.ndarray:
        """The current frame."""
        return self._frame

    def close(self) -> None:
        """End the engine process."""
        if self._game is not None:
            self._game.close()
            self._game = None

    def _resize(self, screen: np.ndarray) -> np.ndarray:
        make_frames = {"resize": resize_frames, "released": released_frames}[self.options.preprocessing]
        return make_frames(screen[None], self.options.frame_size)[0]
