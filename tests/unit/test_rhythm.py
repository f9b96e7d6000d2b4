"""Deaths at one phase of a period are found, and deaths at random times have none."""

import numpy as np

from worldmodels.benchmarks.rhythm import PERIODS, rhythm


def test_clockwork_is_found_at_its_period():
    draw = np.random.default_rng(1)
    times = 40 + 107 * draw.integers(0, 19, 200) + draw.normal(0, 5, 200)
    period, concentration = rhythm(times)
    assert period == 107
    # A normal jitter of standard deviation s leaves exp(-(2 pi s / T)^2 / 2) of the concentration: 0.96 here.
    assert abs(concentration - np.exp(-((2 * np.pi * 5 / 107) ** 2) / 2)) < 0.02


def test_deaths_at_random_times_have_no_rhythm():
    draws = np.random.default_rng(2).uniform(0, 2100, (100, 200))
    best = [rhythm(times)[1] for times in draws]
    assert 0.12 < np.mean(best) < 0.25 and PERIODS[0] == 60
