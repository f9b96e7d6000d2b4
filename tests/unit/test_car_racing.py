"""CarRacing-v3 on both backends: protocol, seeds, ends of episodes, bad input."""

import numpy as np
import pytest

from worldmodels.benchmarks.parity import SAME_START, road_in_common
from worldmodels.config.tasks import CarRacingOptions
from worldmodels.envs.car_racing import game as car
from worldmodels.envs.car_racing import make_game, resize_frames
from worldmodels.envs.games import make_games
from worldmodels.errors import UserError

BACKENDS = ("envpool", "gymnasium")
GAS = np.array([0.0, 0.6, 0.0], np.float32)


def drive(game, seed, steps, action=GAS):
    """Screens and rewards of `steps` steps."""
    screens, rewards = [game.reset(seed)], []
    for _ in range(steps):
        result = game.step(action)
        rewards.append(result.reward)
        screens.append(game.screen())
    return np.stack(screens), np.array(rewards)


@pytest.mark.parametrize("backend", BACKENDS)
def test_same_seed_same_track_and_frames(backend):
    """Scores are compared on the same tracks: a seed must be a track, whatever was played before."""
    with make_game(CarRacingOptions(backend=backend)) as game:
        first, rewards = drive(game, 5, 60)
        drive(game, 6, 10)
        again, same = drive(game, 5, 60)
        other, _ = drive(game, 7, 60)
    assert np.array_equal(first, again) and np.array_equal(rewards, same)
    assert np.abs(first.astype(int) - other).max() > 100
    assert first.shape == (61, 84, 96, 3) and first.dtype == np.uint8


def test_backends_are_one_game():
    """What is learned on EnvPool counts on gymnasium only if both are one game: where a seed begins alike on both, the
    first straight has the same rewards and almost the same pixels (gymnasium smooths edges, EnvPool does not).
    """
    runs = []
    for backend in BACKENDS:
        with make_game(CarRacingOptions(backend=backend)) as game:
            runs.append(drive(game, 12, 120))
    (screens, rewards), (real_screens, real_rewards) = runs
    assert np.abs(screens.astype(int) - real_screens).mean() < 6
    assert np.flatnonzero(rewards > 0).tolist() == pytest.approx(np.flatnonzero(real_rewards > 0).tolist(), abs=1)


def test_a_seed_begins_alike_on_both_and_is_another_track():
    """Scores on the two are two samples: they must not be paired by seed. The field turns with the start, hence the first
    frames agree where the start does, whatever the track."""
    with make_game(CarRacingOptions()) as one, make_game(CarRacingOptions(backend="gymnasium")) as other:
        firsts = [(one.reset(seed), other.reset(seed)) for seed in range(12)]
    apart = np.array([np.abs(ours.astype(int) - theirs).mean() for ours, theirs in firsts])
    assert np.mean(apart < SAME_START) >= 0.5
    assert [road_in_common(theirs, theirs) for _, theirs in firsts] == [1] * 12
    assert np.mean([road_in_common(ours, theirs) for ours, theirs in firsts]) < 0.6


@pytest.mark.parametrize("backend", BACKENDS)
def test_time_limit_is_not_an_end(backend):
    with make_game(CarRacingOptions(backend=backend, max_steps=20)) as game:
        game.reset(1)
        results = [game.step(GAS) for _ in range(20)]
    assert results[-1].timed_out and not results[-1].ended and not results[-2].timed_out


@pytest.mark.parametrize("backend", BACKENDS)
def test_leaving_the_field_ends_the_episode(backend):
    """CarRacing ends with -100 where the car leaves the playfield; seed 3 leads there without steering."""
    with make_game(CarRacingOptions(backend=backend)) as game:
        game.reset(3)
        results = []
        while not results or not (results[-1].ended or results[-1].timed_out):
            results.append(game.step(np.array([0.0, 0.2, 0.0], np.float32)))
    assert results[-1].ended and results[-1].reward <= -99 and len(results) == 354


def test_games_are_the_single_game():
    """A batch in worker processes shows and pays what one game does."""
    options = CarRacingOptions()
    with make_games(options, 3, 2) as games, make_game(options) as single:
        games.reset([0, 1, 2], [8, 9, 10])
        single.reset(9)
        for _ in range(25):
            result = games.step(np.tile(GAS, (3, 1)), np.ones(3, bool))
            alone = single.step(GAS)
            assert result.rewards[1] == pytest.approx(alone.reward)
        assert np.array_equal(games.frames[1], resize_frames(single.screen()[None])[0])


@pytest.mark.parametrize("action", [[0.0, np.nan, 0.0], [0.0, 0.5]])
def test_bad_actions_are_refused(action):
    with make_game(CarRacingOptions()) as game:
        game.reset(1)
        with pytest.raises(UserError, match="action"):
            game.step(np.array(action, np.float32))


def test_missing_backend_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "envpool", None)
    with pytest.raises(UserError, match=r"envpool cannot be imported .* set the task's backend: gymnasium"):
        car.EnvPoolGame(CarRacingOptions())
