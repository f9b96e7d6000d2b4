"""One Atari console: ale-py's emulator, stepped as the data sets are (RES: action repeat 4, only the 4th frame is seen).

Every default of the usual wrappers is set on purpose here: no sticky actions, no maximum over frames, no clipped
rewards; no-op starts, fire and life losses as the options say.

Every episode starts from one snapshot of the console, taken after the cartridge was loaded. ALE's own reset does not
forget: in Fishing Derby, Freeway and Surround the next episode depends on the one before. So an episode here is a
function of its no-ops and actions alone. (ALE's `random_seed` changes nothing without sticky actions, measured.)

The emulator's saved states are not quite whole. What it last drew is not in them: it goes on showing that until the next
frame, and shows remains of it where a game draws only part of a frame (Qbert, as it starts). So the first picture is
kept with the snapshot, and before each episode SETTLING_FRAMES are played that nobody sees, the same for all.
"""

from typing import NamedTuple

import numpy as np
from ale_py import Action, ALEInterface, LoggerMode, roms

from worldmodels.config.tasks import AtariOptions
from worldmodels.errors import UserError

ALEInterface.setLoggerMode(LoggerMode.Error)

SETTLING_FRAMES = 60


class ConsoleStep(NamedTuple):
    """What one action led to."""

    reward: float
    ended: bool
    timed_out: bool
    life_lost: bool


class Pictures(NamedTuple):
    """What a console shows."""

    screen: np.ndarray  # (h, w) uint8, colour numbers of the television chip
    rgb: np.ndarray  # (h, w, 3) uint8


class Console:
    """A console with one game, always in the middle of an episode.

    Raises UserError where ale-py has no ROM of the game.
    """

    def __init__(self, options: AtariOptions) -> None:
        self.options = options
        self._ale = load_game(options.game)
        self._actions = action_set(self._ale, options.actions)
        self._frames = self.steps = 0
        self._kept: Pictures | None = None  # what is shown, as long as the emulator has drawn no frame in the episode
        self._start = self._ale.cloneSystemState()
        self._start_pictures = Pictures(self._ale.getScreen(), self._ale.getScreenRGB())
        self.reset(0)

    @property
    def action_codes(self) -> tuple[int, ...]:
        """ALE's number of each action in the set: 0 no-op, 1 fire, ..."""
        return tuple(int(action.value) for action in self._actions)

    @property
    def screen_shape(self) -> tuple[int, int]:
        """(210, 160) in nearly every game."""
        return tuple(self._ale.getScreenDims())

    @property
    def lives(self) -> int:
        """Lives left; 0 in games that count none."""
        return int(self._ale.lives())

    def reset(self, noops: int) -> None:
        """Begin an episode after so many emulator frames of no action."""
        self._ale.restoreSystemState(self._start)
        self._hold(Action.NOOP, SETTLING_FRAMES)
        self._ale.restoreSystemState(self._start)
        self._frames, self.steps, self._kept = 0, 0, self._start_pictures
        self._hold(Action.NOOP, noops)
        if self.options.fire_on_reset and Action.FIRE in self._actions:
            self._hold(Action.FIRE, self.options.frame_repeat)

    def step(self, action: int) -> ConsoleStep:
        """Take an action of the set, by its index, for `frame_repeat` emulator frames."""
        lives = self.lives
        reward = self._hold(self._actions[action], self.options.frame_repeat)
        self.steps += 1
        life_lost = self.lives < lives
        ended = self._ale.game_over() or (life_lost and self.options.life_loss_ends)
        return ConsoleStep(reward, ended, not ended and self._frames >= self.options.max_frames, life_lost)

    def _hold(self, action: Action, frames: int) -> float:
        """Act for so many emulator frames, or until the game is over; the sum of rewards."""
        reward = 0.0
        for _ in range(frames):
            self._kept = None
            reward += self._ale.act(action)
            self._frames += 1
            if self._ale.game_over():
                break
        return reward

    def read_screen(self, into: np.ndarray) -> None:
        """Copy what is seen now to `into` (h, w) uint8, contiguous: the colour numbers of the television chip."""
        if self._kept is None:
            self._ale.getScreen(into)
        else:
            into[:] = self._kept.screen

    def read_rgb(self, into: np.ndarray) -> None:
        """Copy what is seen now to `into` (h, w, 3) uint8, contiguous."""
        if self._kept is None:
            self._ale.getScreenRGB(into)
        else:
            into[:] = self._kept.rgb


def load_game(game: str) -> ALEInterface:
    """An emulator with the game's cartridge in it. Raises UserError where ale-py has none."""
    cartridge = roms.get_rom_path(game) if game in roms.get_all_rom_ids() else None
    if cartridge is None:
        raise UserError(f"ale-py has no ROM of '{game}'. It has: {', '.join(roms.get_all_rom_ids())}.")
    ale = ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setInt("frame_skip", 1)
    ale.setInt("max_num_frames_per_episode", 0)
    ale.loadROM(cartridge)
    return ale


def action_set(ale: ALEInterface, name: str) -> list[Action]:
    """The actions that matter in the loaded game ('minimal'), or all ('full')."""
    return list(ale.getMinimalActionSet() if name == "minimal" else ale.getLegalActionSet())


def noop_frames(options: AtariOptions, rng: np.random.Generator) -> int:
    """How many emulator frames of no action an episode begins with: uniform in 1 ... noop_max."""
    return int(rng.integers(1, options.noop_max + 1)) if options.noop_max else 0
