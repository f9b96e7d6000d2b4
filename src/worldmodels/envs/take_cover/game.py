"""One game of Doom Take Cover in a ViZDoom engine process, every setting set here (paper, section 4.1; the released
environment's configuration): ViZDoom's own scenario file has another size, no HUD, a weapon, and no time limit.
"""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.config.tasks import TakeCoverOptions
from worldmodels.envs.games import Closing, GameStep
from worldmodels.envs.take_cover.engine import find_screen, forget_memory, launcher, remember_memory, watched_start
from worldmodels.errors import UserError

ACTION_SIZE = 1
STILL, RIGHT, LEFT = [0, 0], [1, 0], [0, 1]
"""Buttons (MOVE_RIGHT, MOVE_LEFT)."""
SHOWN_SHARE = 400 / 480
"""Rows of the screen above the status bar."""


def buttons(action: float) -> list[int]:
    """Cut one continuous action in [-1, 1] into thirds: left, still, right (the released environment)."""
    if action < -1 / 3:
        return LEFT
    return RIGHT if action > 1 / 3 else STILL


def action_from_unit(action: np.ndarray) -> np.ndarray:
    """Numbers in [-1, 1] are actions already."""
    return action


def import_vizdoom() -> Any:
    """Return the vizdoom module. Raises UserError where it is missing."""
    try:
        import vizdoom
    except ImportError as error:
        raise UserError(f"ViZDoom cannot be imported ({error}). Install it: pip install vizdoom.") from None
    return vizdoom


class TakeCoverGame(Closing):
    """One engine process. The same seed gives the same episode for the same actions. Use as a context manager."""

    def __init__(self, options: TakeCoverOptions) -> None:
        self.options = options
        self.steps = 0
        self.leftover = ""  # the instance that names the engine's shared memory
        self._live: np.ndarray | None = None  # view of the whole screen in the engine's memory
        self._vizdoom = import_vizdoom()
        self.engine = self._vizdoom.DoomGame()
        self._configure()
        try:
            with watched_start():
                self.engine.init()
        except Exception as error:  # ViZDoom raises many types of its own
            raise UserError(
                f"the ViZDoom engine did not start ({' '.join(str(error).split())}). Run `python -c 'import vizdoom'`, "
                "and check that /dev/shm is not full."
            ) from None
        self.leftover = str(self.engine.get_instance_id())
        remember_memory(self.leftover)

    def _configure(self) -> None:
        vizdoom, engine = self._vizdoom, self.engine
        engine.set_vizdoom_path(launcher(str(Path(vizdoom.__file__).with_name("vizdoom"))))
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
        engine.set_episode_timeout(0)  # counted here, so that the frame after the last action is still shown
        engine.set_mode(vizdoom.Mode.PLAYER)
        engine.set_window_visible(False)
        engine.set_sound_enabled(False)

    def reset(self, seed: int) -> np.ndarray:
        """Begin the episode of `seed`; returns its first screen (h, w, 3) uint8, without the status bar."""
        try:
            self.engine.set_seed(seed)
            self.engine.new_episode()
            shown = self.engine.get_state().screen_buffer
        except Exception as error:
            raise self._ended(error) from None
        self.steps = 0
        # Checked at every episode, so that another layout of the shared memory cannot go unnoticed.
        if self._live is None or not np.array_equal(self._live, shown):
            self._live = find_screen(self.leftover, shown)
        return self.screen()

    @property
    def screen_shape(self) -> tuple[int, int, int]:
        """Shape (h, w, 3) of a screen without the status bar."""
        engine = self.engine
        return round(engine.get_screen_height() * SHOWN_SHARE), engine.get_screen_width(), 3

    def screen(self) -> np.ndarray:
        """What is seen now: (h, w, 3) uint8, a copy."""
        screen = np.empty(self.screen_shape, np.uint8)
        self.read_screen(screen)
        return screen

    def read_screen(self, into: np.ndarray) -> None:
        """Copy what is seen now to `into` (h, w, 3) uint8."""
        if self._live is not None:
            into[:] = self._live[: len(into)]
            return
        try:
            into[:] = self.engine.get_state().screen_buffer[: len(into)]
        except Exception as error:
            raise self._ended(error) from None

    def step(self, action: np.ndarray) -> GameStep:
        """Act (1,) for one tic. Every tic is worth 1, the fatal one too. Raises UserError unless it is a number."""
        (value,) = action.tolist()
        if not math.isfinite(value):
            raise UserError(f"the action {value} is not a number: the controller or its inputs have diverged.")
        try:
            self.engine.make_action(buttons(value), 1)
        except Exception as error:
            raise self._ended(error) from None
        self.steps += 1
        died = bool(self.engine.is_player_dead() or self.engine.is_episode_finished())
        return GameStep(1.0, died, not died and self.steps >= self.options.max_steps)

    def _ended(self, error: Exception) -> UserError:
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return UserError(
            f"the ViZDoom engine ended unexpectedly ({what}). Finished episodes are kept; run the same command again."
        )

    def close(self) -> None:
        """End the engine process."""
        self._live = None
        self.engine.close()
        if self.leftover:
            forget_memory(self.leftover)
            self.leftover = ""
