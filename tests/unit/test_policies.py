"""Policies that collect data, compared with what the released code does."""

import numpy as np
import pytest

from worldmodels.config.datasets import (
    BrownianPolicy,
    RandomControllerPolicy,
    SweepingPolicy,
    UniformPolicy,
    WanderingPolicy,
)
from worldmodels.envs.policies import make_policy
from worldmodels.seeds import generator


def actions(options, episode, steps=200, size=3):
    policy = make_policy(options, size, generator("test", episode))
    return np.stack([policy(step) for step in range(steps)])


EVERY = [RandomControllerPolicy(), BrownianPolicy(), UniformPolicy(), SweepingPolicy(), WanderingPolicy()]


@pytest.mark.parametrize("options", EVERY)
def test_actions_belong_to_the_episode_and_stay_in_range(options):
    """Collection must give the same bytes again, and no environment takes actions beyond its bounds."""
    first, again, other = actions(options, 1), actions(options, 1), actions(options, 2)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.abs(first).max() <= 1 and first.dtype == np.float32


def test_random_controller_drives_like_the_released_one():
    """Figures of an emulation of the released policy over 400 episodes: median spread of steering 0.18, 10 to 90 %:
    0.04 to 0.64; its mean about 0 in almost every episode.
    """
    episodes = np.stack([actions(RandomControllerPolicy(), episode)[:, 0] for episode in range(400)])
    low, median, high = np.quantile(episodes.std(axis=1), [0.1, 0.5, 0.9])
    assert 0.02 < low < 0.07 and 0.13 < median < 0.24 and 0.5 < high < 0.75
    assert np.median(np.abs(episodes.mean(axis=1))) < 0.05


def test_brownian_steps_have_the_ports_size():
    """A walk that stays away from its bounds moves by N(0, 1 / 50) a step."""
    walk = actions(BrownianPolicy(step=0.02), 1, 4000)
    inside = (np.abs(walk[1:]) < 1) & (np.abs(walk[:-1]) < 1)
    assert np.diff(walk, axis=0)[inside].std() == pytest.approx(0.02, rel=0.05)
    assert BrownianPolicy().step == pytest.approx(1 / np.sqrt(50), rel=1e-3)


def test_sweeping_moves_one_way_then_the_other():
    """Moves alternate, last as long as they may, and rests of the wanted share and length lie between them."""
    options = SweepingPolicy(shortest_hold=10, longest_hold=60, rest=0.25, longest_rest=5)
    values = actions(options, 1, 40_000, 1)[:, 0]
    starts = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)
    lengths, chosen = np.diff(starts), values[starts[:-1]]
    rests = np.abs(chosen) < 1 / 3
    moves = chosen[~rests]
    assert (np.sign(moves[1:]) == -np.sign(moves[:-1])).all() and np.abs(moves).max() > 0.95
    assert (lengths[~rests].min(), lengths[~rests].max()) == (10, 60)
    assert (lengths[rests].min(), lengths[rests].max()) == (1, 5)
    assert rests.sum() / len(moves) == pytest.approx(0.25, abs=0.04)


def test_wandering_hovers_in_some_episodes_and_sweeps_in_others():
    """The logarithm of an episode's longest stride is uniform between its bounds; rests last as long as moves may."""
    options = WanderingPolicy(shortest_stride=4, longest_stride=120, rest=0.3)
    longest = []
    for episode in range(300):
        values = actions(options, episode, 3000, 1)[:, 0]
        starts = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)
        lengths, rests = np.diff(starts), np.abs(values[starts[:-1]]) < 1 / 3
        longest.append(lengths.max())
        assert rests.sum() / (~rests).sum() == pytest.approx(0.3, abs=0.3)
    assert 4 <= min(longest) < 6 and 110 < max(longest) <= 120
    assert np.median(longest) == pytest.approx(np.sqrt(4 * 120), rel=0.25)
    assert np.mean(np.array(longest) < 4 * 30**0.25) == pytest.approx(0.25, abs=0.08)
