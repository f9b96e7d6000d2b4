"""CarRacing-v3 under the protocol of Ha & Schmidhuber 2018, played by EnvPool or by gymnasium.

Time alignment: the frame at time t is what was seen when action t was chosen. An action is what the car takes:
(steering, gas, brake), steering in [-1, 1] and the others in [0, 1].
"""

from worldmodels.envs.car_racing.game import ACTION_SIZE, action_from_unit, make_game
from worldmodels.envs.frames import resize_frames

__all__ = ["ACTION_SIZE", "ENDING", "action_from_unit", "make_game", "resize_frames", "sweep"]

ENDING = "finished"
"""The car came round, or left the field: CarRacing-v3 calls both the end."""


def sweep(_leftover: str) -> None:
    """Neither backend leaves anything behind."""
