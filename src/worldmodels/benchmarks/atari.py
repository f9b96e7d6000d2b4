"""How fast Atari frames are made, stored and read: ways to step the games beside each other, then the way to disk and back."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from worldmodels.config.atari import AgentOptions, AtariShardOptions
from worldmodels.config.tasks import AtariOptions
from worldmodels.data.atari import AtariStore, write_atari_shard
from worldmodels.data.atari_collection import ShardCollection
from worldmodels.data.atari_windows import AtariWindows
from worldmodels.envs.atari.emulator import Console
from worldmodels.models.atari_agent import AtariAgent, save_agent
from worldmodels.seeds import generator

GAMES = ("pong", "ms_pacman", "seaquest", "riverraid")
SIDE_BY_SIDE = 8
ROUNDS = 3
SECONDS = 1.0
READING_SECONDS = 3.0
FRAMES = 1000
Steps = Callable[[], int]
"""Plays a little; returns how many steps that were."""


def measure_atari() -> dict[str, Any]:
    """Steps a second (four emulator frames each) by way of stepping, in turns; frames a second to disk and back."""
    figures = _stepping("ms_pacman")
    figures["stored share of AtariVectorEnv"] = figures["stored, random"] / figures["AtariVectorEnv, 2 threads"]
    with tempfile.TemporaryDirectory() as folder:
        paths = {game: _collect(Path(folder) / f"{game}.h5", game) for game in GAMES}
        for game, path in paths.items():
            figures[f"bytes a frame, {game}"] = _bytes_per_frame(path)
        figures |= _reading(paths["ms_pacman"])
    return figures


def _stepping(game: str) -> dict[str, Any]:
    """Rates of all ways, timed in turns, so that a noisy machine slows all."""
    with _ways(game) as ways:
        steps, spent = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0.0)
        for _ in range(ROUNDS):
            for name, play in ways.items():
                begin = time.perf_counter()
                while time.perf_counter() - begin < SECONDS:
                    steps[name] += play()
                spent[name] += time.perf_counter() - begin
        return {name: steps[name] / spent[name] for name in ways}


@contextmanager
def _ways(game: str) -> Iterator[dict[str, Steps]]:
    with tempfile.TemporaryDirectory() as folder:
        agent = Path(folder) / "agent.safetensors"
        save_agent(agent, AtariAgent(AgentOptions(game=game, action_codes=tuple(range(18)))))
        with (Path(folder) / "random").open("w+b") as one, (Path(folder) / "agent").open("w+b") as other:
            ways = {
                "plain loop": _plain_loop(game),
                "AtariVectorEnv, 1 thread": _vector_env(game, 1),
                "AtariVectorEnv, 2 threads": _vector_env(game, 2),
                "SB3 DummyVecEnv": _sb3(game, processes=False),
                "SB3 SubprocVecEnv": _sb3(game, processes=True),
                "stored, random": _storing(game, None, one),
                "stored, DQN": _storing(game, agent, other),
            }
            yield ways


def _plain_loop(game: str) -> Steps:
    console, rng = Console(AtariOptions(game=game)), generator("benchmark")
    screen = np.empty(console.screen_shape, np.uint8)

    def play() -> int:
        if console.step(int(rng.integers(18))).ended:
            console.reset(1)
        console.read_screen(screen)
        return 1

    return play


def _vector_env(game: str, threads: int) -> Steps:
    from ale_py.vector_env import AtariVectorEnv

    games = AtariVectorEnv(
        game,
        SIDE_BY_SIDE,
        num_threads=threads,
        full_action_space=True,
        img_height=210,
        img_width=160,
        grayscale=False,
        stack_num=1,
        maxpool=False,
        noop_max=0,
        reward_clipping=False,
        use_fire_reset=False,
    )
    games.reset(seed=0)
    return _playing(games.step)


def _sb3(game: str, processes: bool) -> Steps:
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    makers = [lambda: _gymnasium_game(game) for _ in range(SIDE_BY_SIDE)]
    games = SubprocVecEnv(makers, start_method="forkserver") if processes else DummyVecEnv(makers)
    games.reset()
    return _playing(games.step)


def _gymnasium_game(game: str) -> Any:
    import ale_py
    import gymnasium
    from ale_py.registration import rom_id_to_name

    gymnasium.register_envs(ale_py)
    settings: dict[str, Any] = {
        "frameskip": 4,
        "repeat_action_probability": 0.0,
        "full_action_space": True,
        "obs_type": "rgb",
    }
    return gymnasium.make(f"ALE/{rom_id_to_name(game)}-v5", **settings)


def _playing(step: Callable[[np.ndarray], Any]) -> Steps:
    rng = generator("benchmark")

    def play() -> int:
        step(rng.integers(18, size=SIDE_BY_SIDE))
        return SIDE_BY_SIDE

    return play


def _storing(game: str, agent: Path | None, file: Any) -> Steps:
    """Collection without its end: emulation, the policy, compression, writing."""
    shard = ShardCollection(_options(game, 10_000_000, agent is not None), "train-000", agent, file)

    def play() -> int:
        shard.advance()
        return len(shard.play.players)

    return play


def _options(game: str, frames: int, uses_agent: bool) -> AtariShardOptions:
    games = 4
    return AtariShardOptions(
        task=AtariOptions(game=game),
        epsilon=0.2,
        uses_agent=uses_agent,
        frames_per_shard=frames,
        parallel_games=games,
        seed=0,
    )


def _collect(path: Path, game: str) -> Path:
    with path.with_suffix(".chunks").open("w+b") as file:
        shard = ShardCollection(_options(game, FRAMES, False), "train-000", None, file)
        while shard.row < shard.length:
            shard.advance()
        write_atari_shard(path, shard.chunks(), shard.facts(), shard.record(), shard.screen_shape)
    return path


def _bytes_per_frame(path: Path) -> float:
    with h5py.File(path) as file:
        return file["screens"].id.get_storage_size() / len(file["screens"])


def _reading(path: Path) -> dict[str, Any]:
    """Frames a second of 16 windows of 25 steps, decoded to colour numbers, colours, and smaller pictures."""
    torch.set_num_threads(1)
    store, figures = AtariStore([path]), {}
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < READING_SECONDS:
        store.screens(0, FRAMES // 4)
        count += FRAMES // 4
    figures["read in order, colour numbers"] = count / (time.perf_counter() - begin)
    for resolution in ("native", "grey84", "rgb96"):
        windows = AtariWindows([path], 16, 25, ("benchmark",), resolution)
        begin, batches = time.perf_counter(), 0
        while time.perf_counter() - begin < READING_SECONDS:
            windows.batch(batches)
            batches += 1
        figures[f"windows, {resolution}"] = batches * 16 * 26 / (time.perf_counter() - begin)
    return figures
