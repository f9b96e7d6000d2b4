"""Real Doom Take Cover: the reference protocol, seeds, ends of episodes, and workers that die."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from gymnasium.utils.env_checker import check_env
from PIL import Image

from worldmodels.config.datasets import HeldRandomPolicy
from worldmodels.config.tasks import TakeCoverOptions
from worldmodels.envs.frames import resize_frames
from worldmodels.envs.games import make_games
from worldmodels.envs.policies import make_policy
from worldmodels.envs.take_cover import TakeCoverEnv, TakeCoverGame
from worldmodels.envs.take_cover.engine import MEMORY_PREFIXES
from worldmodels.envs.take_cover.game import LEFT, RIGHT, STILL, buttons
from worldmodels.errors import UserError
from worldmodels.seeds import generator

pytestmark = pytest.mark.doom
SMALL = TakeCoverOptions(screen_resolution="160x120")


def play(game, seed, limit=10_000):
    """Frames and last step of one episode of a policy that belongs to the seed."""
    policy = make_policy(HeldRandomPolicy(), 1, generator("test", seed))
    screens = [game.reset(seed)]
    while len(screens) <= limit:
        result = game.step(policy(len(screens) - 1))
        if result.ended or result.timed_out:
            return np.stack(screens), result
        screens.append(game.screen())
    raise AssertionError("the episode did not end")


def test_engine_runs_the_reference_protocol():
    """Ports of this task went wrong in skill, colours, crop, start time and what is drawn."""
    with TakeCoverGame(TakeCoverOptions()) as game:
        screen = game.reset(1)
        assert screen.shape == (400, 640, 3) and screen.dtype == np.uint8
        engine = game.engine
        assert engine.get_episode_time() == 14
        assert engine.get_available_buttons_size() == 2
        assert [str(button).split(".")[-1] for button in engine.get_available_buttons()] == ["MOVE_RIGHT", "MOVE_LEFT"]
        assert str(engine.get_screen_format()).endswith("RGB24")
        assert engine.get_screen_height() == 480


def test_action_is_cut_into_thirds():
    assert [buttons(action) for action in (-1, -0.34, -0.33, 0, 0.33, 0.34, 1)] == [
        *(LEFT, LEFT, STILL, STILL, STILL, RIGHT, RIGHT),
    ]


def test_left_and_right_move_apart():
    """If the buttons were swapped or dead, both policies would see the same."""
    with TakeCoverGame(SMALL) as game:
        ends = []
        for action in (-1, 1):
            game.reset(3)
            for _ in range(30):
                game.step(np.array([action], np.float32))
            ends.append(game.screen().astype(int))
    assert np.abs(ends[0] - ends[1]).mean() > 2


def test_same_seed_same_episode_other_seed_other_episode():
    with TakeCoverGame(SMALL) as game:
        first, again, other = (play(game, seed)[0] for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_time_limit_is_no_death_and_is_exact():
    with TakeCoverGame(TakeCoverOptions(screen_resolution="160x120", max_steps=20)) as game:
        frames, last = play(game, 5)
    assert len(frames) == 20
    assert last.timed_out and not last.ended


def test_fatal_action_ends_the_episode_and_is_worth_one_tic():
    with TakeCoverGame(SMALL) as game:
        frames, last = play(game, 6)
        assert game.steps == len(frames)
    assert last == (1.0, True, False)
    assert 50 < len(frames) < 2100


def test_resize_is_pillows_antialiased_bilinear():
    screens = generator("test", "screens").integers(0, 256, (3, 100, 160, 3), dtype=np.uint8)
    ours = resize_frames(screens).astype(int)
    pillow = [np.asarray(Image.fromarray(screen).resize((64, 64), Image.Resampling.BILINEAR)) for screen in screens]
    assert np.abs(ours - np.stack(pillow)).max() <= 1


def test_gymnasium_accepts_the_single_game_form():
    environment = TakeCoverEnv(screen_resolution="160x120", render_mode="rgb_array")
    check_env(environment, skip_render_check=True)
    environment.close()


def test_bad_actions_are_refused_in_a_sentence():
    environment = TakeCoverEnv(screen_resolution="160x120")
    environment.reset(seed=1)
    with pytest.raises(UserError, match="shape"):
        environment.step(np.zeros(2))
    with pytest.raises(UserError, match="not a number"):
        environment.step(np.array([np.nan]))
    environment.close()


def test_games_in_a_batch_play_as_they_would_alone():
    """Scores must not depend on how many games are played at once."""
    seeds = [5, 6, 7]
    actions = generator("test", "batch").uniform(-1, 1, (40, 3, 1)).astype(np.float32)
    with make_games(SMALL, 3, 2) as games:
        games.reset(range(3), seeds)
        seen = [games.frames.copy()]
        for step in actions:
            games.step(step, np.ones(3, bool))
            seen.append(games.frames.copy())
    with TakeCoverGame(SMALL) as game:
        for slot, seed in enumerate(seeds):
            alone = [game.reset(seed)]
            for step in actions[:, slot, 0]:
                game.step(np.array([step], np.float32))
                alone.append(game.screen())
            assert np.array_equal(resize_frames(np.stack(alone)), np.stack(seen)[:, slot])


def test_resting_games_are_left_alone():
    with make_games(SMALL, 2, 1) as games:
        games.reset([0, 1], [5, 6])
        before = games.frames.copy()
        result = games.step(np.ones((2, 1), np.float32), np.array([True, False]))
        assert result.rewards.tolist() == [1, 0]
        assert np.array_equal(games.frames[1], before[1])


def test_dead_worker_is_reported_within_seconds_and_leaves_nothing_behind():
    """The classic complaint: a worker dies and training hangs for ever."""
    games = make_games(SMALL, 2, 2)
    games.reset([0, 1], [5, 6])
    workers = [worker.pid for worker in games._workers]
    engines = [child.pid for pid in workers for child in psutil.Process(pid).children(recursive=True)]
    os.kill(workers[1], signal.SIGKILL)
    begin = time.monotonic()
    with pytest.raises(UserError, match=r"game worker 1 \(process \d+, games 1\) died"):
        for _ in range(100):
            games.step(np.zeros((2, 1), np.float32), np.ones(2, bool))
    assert time.monotonic() - begin < 10
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in (*workers, *engines)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in (*workers, *engines) if _alive(pid)]


def test_missing_vizdoom_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(UserError, match=r"ViZDoom cannot be imported .*: pip install vizdoom"):
        TakeCoverGame(SMALL)


def test_killed_engine_is_reported_with_its_worker():
    games = make_games(SMALL, 2, 2)
    games.reset([0, 1], [5, 6])
    (engine,) = psutil.Process(games._workers[0].pid).children(recursive=True)
    engine.kill()
    with pytest.raises(UserError, match=r"game worker 0 \(process \d+, games 0\) failed: the ViZDoom engine ended"):
        for _ in range(100):
            games.step(np.zeros((2, 1), np.float32), np.ones(2, bool))
    assert not multiprocessing.active_children()


PLAYERS = """
import os, sys, time, psutil
from worldmodels.config.tasks import TakeCoverOptions
from worldmodels.envs.games import make_games
from worldmodels.envs.take_cover import TakeCoverGame
if __name__ == "__main__":
    small = TakeCoverOptions(screen_resolution="160x120")
    game, games = TakeCoverGame(small), make_games(small, 2, 2)
    print(game.leftover, *games._leftovers)
    print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
    time.sleep(100)
"""


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_engine_that_is_killed_while_it_starts_is_reported(tmp_path, delay):
    """ViZDoom itself crashes then, or waits for ever."""
    program = (
        "from worldmodels.config.tasks import TakeCoverOptions as O; import worldmodels.envs.take_cover.engine as e; "
    )
    program += (
        "e.START_SECONDS = 10; from worldmodels.envs.take_cover.game import TakeCoverGame as G; g = G(O()); print(1)"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    player = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, **pipes)
    engine, instance = _starting_engine(player)
    time.sleep(delay)
    with contextlib.suppress(psutil.NoSuchProcess):  # a fast machine has played and left by now
        engine.kill()
    started, message = player.communicate(timeout=60)
    for prefix in MEMORY_PREFIXES:  # whoever dies so early leaves it behind
        Path("/dev/shm", prefix + instance).unlink(missing_ok=True)
    if not started:  # the test may come too late
        assert player.returncode != 0
        assert "the ViZDoom engine" in message and "Run the same command again" in message


def _starting_engine(player: subprocess.Popen) -> tuple[psutil.Process, str]:
    """Wait for the engine that `player` starts; return it and its instance's number."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and player.poll() is None:
        for child in psutil.Process(player.pid).children():
            words = []  # of a child that is not the engine yet, or no more
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                words = child.cmdline()
            if "+viz_instance_id" in words and "vizdoom" in Path(words[0]).name:
                return child, words[words.index("+viz_instance_id") + 1]
        time.sleep(0.005)
    raise AssertionError("no engine was started")


def test_killed_program_leaves_no_process_no_memory_and_no_file(tmp_path):
    """An engine waits for ever for a player that was killed, and holds 11 MB of shared memory."""
    script = tmp_path / "players.py"
    script.write_text(PLAYERS)
    (tmp_path / "cwd").mkdir()
    player = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, cwd=tmp_path / "cwd")
    instances = player.stdout.readline().split()
    children = [int(pid) for pid in player.stdout.readline().split()]
    assert len(instances) == 3 and len(children) >= 5
    player.kill()
    player.wait()
    memory = [Path("/dev/shm", prefix + instance) for prefix in MEMORY_PREFIXES for instance in instances]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any([*map(_alive, children), *(path.exists() for path in memory)]):
        time.sleep(0.1)
    assert not [pid for pid in children if _alive(pid)]
    assert not [path for path in memory if path.exists()]
    assert not list((tmp_path / "cwd").iterdir())


def test_signals_are_the_players_business():
    """Ctrl-C and a cluster's SIGTERM reach every process; an engine that died of them would spoil the last checkpoint."""
    with TakeCoverGame(SMALL) as game:
        game.reset(5)
        (engine,) = (child for child in psutil.Process().children() if child.name() == "vizdoom")
        engine.send_signal(signal.SIGINT)
        engine.terminate()
        time.sleep(0.3)
        assert not game.step(np.zeros(1, np.float32)).ended
    assert not engine.is_running()


def test_screen_is_read_from_the_engines_memory_as_vizdoom_would_hand_it_out():
    with TakeCoverGame(SMALL) as game:
        for seed in (5, 6):
            game.reset(seed)
            assert game._live is not None
            for _ in range(40):
                game.step(np.ones(1, np.float32))
                assert np.array_equal(game.screen(), game.engine.get_state().screen_buffer[:100])


def _alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_held_random_policy_holds_and_spans_the_range():
    """Actions change only where the step number is a multiple of the hold: at most 10 tics apart from a change's own."""
    policy = make_policy(HeldRandomPolicy(), 1, generator("test", "policy"))
    actions = np.concatenate([policy(step) for step in range(5000)])
    changes = np.flatnonzero(np.diff(actions)) + 1
    assert -1 <= actions.min() < -0.95 and 0.95 < actions.max() <= 1
    assert 400 < len(changes) < 2500
    assert np.diff(changes).max() <= 10
