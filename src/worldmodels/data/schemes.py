"""Schemes of training: which steps of a subsequence take in the real frame (observation-dependent transitions, ODT) and
which the predicted one (prediction-dependent, PDT) (Chiappa et al. 2017, section 3.1).

The step that leads to x_{t+1} takes in x_t or its prediction, so a flag at place k of a subsequence that begins at
time s speaks of frame s + k. The first such frame follows the warm-up and has a prediction too.
"""

import math
from fractions import Fraction
from typing import NamedTuple


class Phase(NamedTuple):
    """Some updates of training, all with the same flags."""

    updates: int | None  # None: to the end
    predicted: Fraction  # share of steps that take in the predicted frame
    alternating: bool = False  # predicted steps stand between observed ones, rather than at the end
    length: int | None = None  # steps of a subsequence, where the phase has its own
    first_observed: bool = False  # the first step takes in the real frame, whatever the share


ALL_OBSERVED, ALL_PREDICTED = Fraction(0), Fraction(1)

SCHEMES: dict[str, tuple[Phase, ...]] = {
    "0%PDT": (Phase(None, ALL_OBSERVED),),
    "33%PDT": (Phase(None, Fraction(5, 15)),),
    "0%-20%-33%PDT": (
        Phase(10_000, ALL_OBSERVED),
        Phase(100_000, Fraction(3, 15)),
        Phase(None, Fraction(5, 15)),
    ),
    "46%PDT Alt.": (Phase(None, Fraction(7, 15), alternating=True),),
    "46%PDT": (Phase(None, Fraction(7, 15)),),
    "67%PDT": (Phase(None, Fraction(10, 15)),),
    "0%-100%PDT": (Phase(1000, ALL_OBSERVED), Phase(None, ALL_PREDICTED)),
    "100%PDT": (Phase(None, ALL_PREDICTED),),
    "Oh": (
        Phase(500_000, ALL_OBSERVED, length=10),
        Phase(250_000, ALL_PREDICTED, length=3),
        Phase(None, ALL_PREDICTED, length=5),
    ),
    "60%PDT": (Phase(None, Fraction(15, 25)),),  # the open grey implementation's 10 + 15
    "first observed": (Phase(None, ALL_PREDICTED, first_observed=True),),  # K-step prediction (Oh et al. 2015)
}
"""By the paper's names. Shares are of the paper's 15 steps; other lengths round."""


def observed_flags(scheme: str, update: int, length: int, scale: float = 1.0) -> tuple[bool, ...]:
    """Say for each step of `update`'s subsequence whether it takes in the real frame.

    length: steps of a subsequence, unless the phase has its own. scale: factor on the updates of phases.
    """
    phase = current_phase(SCHEMES[scheme], update, scale)
    steps = min(phase.length or length, length)
    predicted = min(round(phase.predicted * steps), steps - phase.first_observed)
    if not phase.alternating:
        return (True,) * (steps - predicted) + (False,) * predicted
    flags = [True] * steps
    flags[1 : 2 * predicted : 2] = [False] * len(flags[1 : 2 * predicted : 2])
    return tuple(flags)


def steps_trained(scheme: str, updates: int, length: int, scale: float = 1.0) -> int:
    """Steps of all subsequences in so many updates; a phase may have shorter ones. length, scale: see observed_flags."""
    total, begin, reach = 0, 0, 0.0
    for phase in SCHEMES[scheme]:
        reach = math.inf if phase.updates is None else reach + phase.updates * scale
        end = updates if reach > updates else math.ceil(reach)
        total += (end - begin) * min(phase.length or length, length)
        begin = end
    return total


def current_phase(phases: tuple[Phase, ...], update: int, scale: float) -> Phase:
    """The phase that `update` falls in."""
    end = 0.0
    for phase in phases[:-1]:
        assert phase.updates is not None, "only the last phase is endless"
        end += phase.updates * scale
        if update < end:
            return phase
    return phases[-1]
