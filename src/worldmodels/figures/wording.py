"""How tables, figures and films speak of a task."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Wording(NamedTuple):
    """Words and ranges of one task."""

    score: str  # what an episode's return is
    real: str  # the real environment
    step: str  # what time is counted in
    steps_a_second: int  # of films at true speed
    solved: float  # mean score that counts as solved
    scores: tuple[float, float]  # range of histograms
    describe_action: Callable[[np.ndarray], str]


def direction(action: np.ndarray) -> str:
    """Where an action (1,) of Take Cover moves to."""
    if action[0] < -1 / 3:
        return "left"
    return "right" if action[0] > 1 / 3 else "still"


def driving(action: np.ndarray) -> str:
    """What an action (3,) does to the car."""
    return f"steer {action[0]:+.2f}  gas {action[1]:.2f}  brake {action[2]:.2f}"


WORDING = {
    # Solved: paper, sections 4.1 and 3.1.
    "take_cover": Wording("survival (tics)", "real game", "tic", 35, 750.0, (0, 2100), direction),
    "car_racing": Wording("score", "real environment", "step", 50, 900.0, (-100, 1000), driving),
}
"""By name of the task."""
