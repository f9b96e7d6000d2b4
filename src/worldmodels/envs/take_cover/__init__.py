"""Doom Take Cover under the protocol of Ha & Schmidhuber 2018: one game, many games as a batch, the random policy.

Time alignment: the frame at time t is what was seen when action t was chosen. The fatal action is the last one, and no
frame follows it.
"""

import gymnasium

from worldmodels.envs.frames import resize_frames
from worldmodels.envs.take_cover.engine import sweep_memory as sweep
from worldmodels.envs.take_cover.game import ACTION_SIZE, TakeCoverGame, action_from_unit
from worldmodels.envs.take_cover.single import TakeCoverEnv

__all__ = [
    "ACTION_SIZE",
    "ENDING",
    "TakeCoverEnv",
    "TakeCoverGame",
    "action_from_unit",
    "make_game",
    "resize_frames",
    "sweep",
]

ENDING = "death"
make_game = TakeCoverGame

if "worldmodels/TakeCover-v0" not in gymnasium.registry:
    gymnasium.register("worldmodels/TakeCover-v0", entry_point="worldmodels.envs.take_cover:TakeCoverEnv")
