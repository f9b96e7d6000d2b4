"""What playing yields. A module of its own: who only plays need not wait for the search's library, which takes a second to import."""

from typing import NamedTuple

import numpy as np


class Scores(NamedTuple):
    """How episodes went, and what they cost."""

    returns: np.ndarray  # (P, R) of a population, (n,) of one controller
    steps: int  # of the dream or of the real environment, in all
