"""One Atari console: ale-py's emulator, stepped as the data sets are (RES: action repeat 4, only the 4th frame is seen).

Every default of the usual wrappers is set on purpose here: no sticky actions, no maximum over frames, no clipped
rewards; no-op starts, fire and life losses as the options say.

Every episode starts from one snapshot of the console, taken after the cartridge was loaded. ALE's own reset does not
forget: in Fishing Derby, Freeway and Surround the next episode depends on the one before. So an episode here is a
function of its no-ops and actions alone. (ALE's `random_seed` changes nothing without sticky actions, measured.)
"""

from typing import NamedTuple

import numpy as np
from ale_py import Action, ALEInterface, ALEState, LoggerMode, roms

from worldmodels.config.tasks import AtariOptions
from worldmodels.errors import UserError

ALEInterface.setLoggerMode(LoggerMode.Error)


class ConsoleStep(NamedTuple):
    """What one action led to."""

    reward: float
    ended: bool
    timed_out: bool
    life_lost: bool


class Console:
    """A console with one game, always in the middle of an episode.

    Raises UserError where ale-py has no ROM of the game.
    """

    def __init__(self, options: AtariOptions) -> None:
        self.options = options
        self._ale = load_game(options.game)
        self._actions = action_set(self._ale, options.actions)
        self._start = self._ale.cloneSystemState()
        self._frames = 0
        self.steps = 0

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

    @property
    def ram(self) -> np.ndarray:
        """The console's memory, (128,) uint8."""
        return self._ale.getRAM()

    def reset(self, noops: int) -> None:
        """Begin an episode after so many emulator frames of no action."""
        self._ale.restoreSystemState(self._start)
        self._frames = self.steps = 0
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
            reward += self._ale.act(action)
            self._frames += 1
            if self._ale.game_over():
                break
        return reward

    def read_screen(self, into: np.ndarray) -> None:
        """Copy what is seen now to `into` (h, w) uint8: the colour numbers of the television chip."""
        self._ale.getScreen(into)

    def read_rgb(self, into: np.ndarray) -> None:
        """Copy what is seen now to `into` (h, w, 3) uint8."""
        self._ale.getScreenRGB(into)

    def read_grey(self, into: np.ndarray) -> None:
        """Copy what is seen now to `into` (h, w) uint8: luminance."""
        self._ale.getScreenGrayscale(into)

    def save(self) -> tuple[bytes, int, int]:
        """Everything that the next step depends on: the console's state, emulator frames and steps of the episode."""
        return self._ale.cloneSystemState().serialize(), self._frames, self.steps

    def restore(self, saved: tuple[bytes, int, int]) -> None:
        """Go on from what `save` returned, also in another process."""
        state, self._frames, self.steps = saved
        self._ale.restoreSystemState(ALEState(state))


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
