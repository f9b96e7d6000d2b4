"""One game of Doom Take Cover in a ViZDoom engine process, every setting set here (paper, section 4.1; the released
environment's configuration): ViZDoom's own scenario file has another size, no HUD, a weapon, and no time limit.
"""

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import psutil
import torch
import torch.nn.functional as F

from worldmodels.config.tasks import TakeCoverOptions
from worldmodels.errors import UserError

ACTION_SIZE = 1
STILL, RIGHT, LEFT = [0, 0], [1, 0], [0, 1]
"""Buttons (MOVE_RIGHT, MOVE_LEFT)."""
SHOWN_SHARE = 400 / 480
"""Rows of the screen above the status bar."""


class GameStep(NamedTuple):
    """What one action led to."""

    reward: float
    died: bool
    timed_out: bool


def buttons(action: float) -> list[int]:
    """Cut one continuous action in [-1, 1] into thirds: left, still, right (the released environment)."""
    if action < -1 / 3:
        return LEFT
    return RIGHT if action > 1 / 3 else STILL


def resize_frames(screens: np.ndarray, size: int = 64) -> np.ndarray:
    """Resize screens (N, h, w, 3) uint8 to frames (N, size, size, 3) uint8: bilinear with antialiasing, as Pillow does."""
    channels_first = torch.from_numpy(screens).permute(0, 3, 1, 2)
    resized = F.interpolate(channels_first, size=(size, size), mode="bilinear", antialias=True)
    return resized.permute(0, 2, 3, 1).contiguous().numpy()


def _children() -> set[int]:
    """Process ids of this process's own children."""
    return {child.pid for child in psutil.Process().children()}


def guard(engines: set[int]) -> "subprocess.Popen[bytes]":
    """Start a shell that kills `engines` when this process ends, however it ends.

    An engine that waits for orders does not notice that its master was killed with SIGKILL, and would stay for ever. The
    shell waits for the end of a pipe, which the kernel closes with the process.
    """
    numbers = " ".join(str(pid) for pid in sorted(engines))
    script = f"cat > /dev/null; kill -9 {numbers} 2> /dev/null"
    return subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True)


def import_vizdoom() -> Any:
    """Return the vizdoom module. Raises UserError where it is missing."""
    try:
        import vizdoom
    except ImportError as error:
        raise UserError(f"ViZDoom cannot be imported ({error}). Install it: pip install vizdoom.") from None
    return vizdoom


class TakeCoverGame:
    """One engine process. The same seed gives the same episode for the same actions. Use as a context manager."""

    def __init__(self, options: TakeCoverOptions) -> None:
        self.options = options
        self.steps = 0
        self._vizdoom = import_vizdoom()
        self.engine = self._vizdoom.DoomGame()
        self._configure()
        before = _children()
        try:
            self.engine.init()
        except Exception as error:  # ViZDoom raises many types of its own
            raise UserError(
                f"the ViZDoom engine did not start ({' '.join(str(error).split())}). Run `python -c 'import vizdoom'`, and check that "
                "/dev/shm is not full."
            ) from None
        self._guardian = guard(_children() - before)

    def _configure(self) -> None:
        vizdoom, engine = self._vizdoom, self.engine
        width, height = self.options.screen_resolution.split("x")
        # An engine writes its settings on exit: into nowhere, rather than into the user's folder.
        engine.set_doom_config_path(os.devnull)
        engine.set_doom_scenario_path(str(Path(vizdoom.scenarios_path) / "take_cover.wad"))
        engine.set_doom_map("map01")
        engine.set_doom_skill(self.options.skill)
        engine.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{width}X{height}"))
        engine.set_screen_format(vizdoom.ScreenFormat.RGB24)
        engine.set_render_hud(True)
        engine.set_render_weapon(False)
        engine.set_render_crosshair(False)
        engine.set_render_decals(False)
        engine.set_render_particles(False)
        engine.set_available_buttons([vizdoom.Button.MOVE_RIGHT, vizdoom.Button.MOVE_LEFT])
        engine.set_episode_start_time(self.options.start_tic)
        engine.set_episode_timeout(0)  # counted here: the engine's own timeout would include the tics before the start
        engine.set_mode(vizdoom.Mode.PLAYER)
        engine.set_window_visible(False)
        engine.set_sound_enabled(False)

    def reset(self, seed: int) -> np.ndarray:
        """Begin the episode of `seed`; returns its first screen (h, w, 3) uint8, without the status bar."""
        self._guard(lambda: (self.engine.set_seed(seed), self.engine.new_episode()))
        self.steps = 0
        return self.screen()

    def screen(self) -> np.ndarray:
        """What is seen now: (h, w, 3) uint8, a copy."""
        state = self._guard(self.engine.get_state)
        screen = state.screen_buffer
        return np.array(screen[: round(len(screen) * SHOWN_SHARE)])

    def step(self, action: float) -> GameStep:
        """Act for one tic. Every tic is worth 1, the fatal one too. Raises UserError for an action that is no number."""
        if not np.isfinite(action):
            raise UserError(f"the action {action} is not a number: the controller or its inputs have diverged.")
        self._guard(lambda: self.engine.make_action(buttons(action), 1))
        self.steps += 1
        died = bool(self.engine.is_player_dead() or self.engine.is_episode_finished())
        return GameStep(1.0, died, not died and self.steps >= self.options.max_steps)

    def _guard(self, call: Any) -> Any:
        try:
            return call()
        except Exception as error:
            name = type(error).__name__
            raise UserError(
                f"the ViZDoom engine ended unexpectedly ({name}: {' '.join(str(error).split())}). Finished episodes are kept; run the "
                "same command again."
            ) from None

    def close(self) -> None:
        """End the engine process."""
        self.engine.close()
        self._guardian.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()
