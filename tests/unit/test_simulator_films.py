"""Films of simulators: every one of them is seen, each with its own frames."""

import numpy as np
import pytest

from worldmodels.figures.simulator_films import prediction_film

WARM_UP = 2


@pytest.mark.parametrize("count", [1, 4, 10, 24])
def test_film_shows_every_simulator_and_the_real_game(count):
    """Each simulator has a grey of its own once it imagines; before, all show the real game's."""
    greys = [20 + 8 * number for number in range(count)]
    real = [np.full((5, 6, 8, 1 + 2 * (number % 2)), 10, np.uint8) for number in range(count)]
    predicted = [np.full((2, 6, 8, 1), grey, np.uint8) for grey in greys]
    pictures = list(prediction_film(real, predicted, [str(grey) for grey in greys], WARM_UP))
    assert len(pictures) == 5
    shown = [{grey for grey in (10, *greys) if (picture == grey).all(axis=2).sum() > 10_000} for picture in pictures]
    assert shown[: WARM_UP + 1] == [{10}] * (WARM_UP + 1)
    assert shown[WARM_UP + 1 :] == [{10, *greys}] * 2
    assert all(side % 2 == 0 for side in pictures[0].shape[:2]), "H.264 wants even sides"
