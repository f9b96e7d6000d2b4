"""CarRacing-v3 on both backends: protocol, seeds, ends of episodes, bad input."""

import os
import signal

import numpy as np
import pytest

from worldmodels.benchmarks import parity
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


def test_backends_are_one_game_on_one_track():
    """What is learned on EnvPool counts on gymnasium only if both are one game: where gymnasium lays EnvPool's track, the
    same actions earn the same and show almost the same pixels (gymnasium smooths edges, EnvPool does not).
    """
    with make_game(CarRacingOptions()) as one, parity.GymnasiumOnEnvPoolsTrack(CarRacingOptions()) as other:
        runs = [(parity.drive(one, seed, 100), parity.drive(other, seed, 100)) for seed in (1, 2, 12)]
    found = parity.step_by_step(runs)
    assert found["pixel_difference"] < 4 and found["equal_rewards"] > 0.97 and found["return_difference"] < 0.01
    assert all((rewards > 0).sum() >= 3 for (_, rewards), _ in runs)
    assert [parity.road_in_common(others[0], screens[0]) for (screens, _), (others, _) in runs] == [1] * 3


def test_a_seed_is_another_track_on_each():
    """Scores on the two are two samples: they must not be paired by seed."""
    with make_game(CarRacingOptions()) as one, make_game(CarRacingOptions(backend="gymnasium")) as other:
        ours, theirs = ([game.reset(seed) for seed in range(12)] for game in (one, other))
        assert parity.mean_road_in_common(theirs, ours) < 0.7
        assert parity.mean_road_in_common(theirs, theirs) == 1


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


def test_backend_without_its_files_is_named_through_workers(tmp_path, monkeypatch):
    """EnvPool's assets are packages of their own; without them its import fails with no ImportError."""
    (tmp_path / "envpool.py").write_text("raise FileNotFoundError('no folder envpool/atari/roms')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        UserError, match=r"^envpool cannot be imported \(no folder .*\)\. Do: pip install envpool, or set"
    ) as told:
        make_games(CarRacingOptions(), 2, 2)
    assert "out of memory" not in str(told.value)


def test_bad_actions_of_a_batch_are_refused():
    """What a diverged controller does; games that are over may hold anything."""
    with make_games(CarRacingOptions(), 2, 1) as games:
        games.reset(range(2), [1, 2])
        broken = np.stack([GAS, GAS * np.nan])
        with pytest.raises(UserError, match="not a finite number: the controller or its inputs have diverged"):
            games.step(broken, np.ones(2, bool))
        with pytest.raises(UserError, match=r"actions have shape \(2, 1\), but these games take \(2, 3\)"):
            games.step(broken[:, :1], np.ones(2, bool))
        assert np.isfinite(games.step(broken, np.array([True, False])).rewards).all()


def test_envpool_without_the_game_is_named(monkeypatch):
    import envpool

    monkeypatch.setattr(envpool, "list_all_envs", lambda: ["Pong-v5"])
    with pytest.raises(
        UserError, match=rf"EnvPool {envpool.__version__} has no CarRacing-v3. Install the version of the lock"
    ):
        car.EnvPoolGame(CarRacingOptions())


def test_worker_that_dies_is_reported():
    with make_games(CarRacingOptions(), 3, 3) as games:
        games.reset(range(3), range(1, 4))
        os.kill(games._workers[1].pid, signal.SIGKILL)
        with pytest.raises(UserError, match=r"game worker 1 \(process \d+, games 1\) died"):
            for _ in range(3):
                games.step(np.tile(GAS, (3, 1)), np.ones(3, bool))
