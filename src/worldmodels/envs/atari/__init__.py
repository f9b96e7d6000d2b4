"""Atari games on ale-py, played as in RES (Chiappa et al. 2017, appendix A): one console, many games as a batch.

Time alignment: the frame at time t is what was seen when action t was chosen, and the frame at t + 1 is its result: the
last of the emulator frames that the action lasted. The action that ended an episode has a result too: the last screen.
"""

from worldmodels.envs.atari.game import ACTION_SIZE, AtariGame, action_from_unit
from worldmodels.envs.frames import resize_frames

__all__ = ["ACTION_SIZE", "ENDING", "action_from_unit", "make_game", "resize_frames", "sweep"]

ENDING = "game over"
make_game = AtariGame


def sweep(_leftover: str) -> None:
    """The emulator leaves nothing behind."""
