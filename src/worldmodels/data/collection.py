"""Collecting one shard: play whole episodes of a policy, keep those that are long enough, write them.

A shard has its own stream of episode seeds. Finished episodes are appended to a raw file in the state folder; a
checkpoint records how much of it is whole. A shard that was killed goes on there, and ends with the same bytes.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.config.datasets import ShardOptions
from worldmodels.data.rollouts import ShardFacts, estimate_shard_bytes, write_shard
from worldmodels.runtime.files import readable_disk_errors
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.space import require_disk
from worldmodels.runtime.state import StateFolder
from worldmodels.seeds import COLLECTION_SEEDS, generator

SEEDS_PER_SHARD = 100_000
"""Episode seeds reserved for a shard, most of them never used."""
RESIZE_BATCH = 32
"""Screens that are resized together: memory stays flat in the length of an episode."""


@dataclass
class Episode:
    """One played episode."""

    seed: int
    actions: np.ndarray  # (T, A) float32
    rewards: np.ndarray  # (T,) float32
    died: bool


@dataclass
class Collected:
    """What a shard has so far; its frames are in the raw file."""

    attempts: int = 0
    frames: int = 0
    episodes: list[Episode] = field(default_factory=list)

    def facts(self) -> ShardFacts:
        """The shard's arrays."""
        lengths = [len(episode.actions) for episode in self.episodes]
        return ShardFacts(
            actions=np.concatenate([episode.actions for episode in self.episodes]),
            rewards=np.concatenate([episode.rewards for episode in self.episodes]),
            episode_offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            deaths=np.array([episode.died for episode in self.episodes]),
            seeds=np.array([episode.seed for episode in self.episodes], dtype=np.int64),
        )


def shard_seed(options: ShardOptions, shard: int, attempt: int) -> int:
    """Episode seed of attempt number `attempt` in a shard; shards and data sets share none."""
    first = int(generator("collect_rollouts", options.seed).integers(0, len(COLLECTION_SEEDS) // 2))
    return COLLECTION_SEEDS[(first + shard * SEEDS_PER_SHARD + attempt) % len(COLLECTION_SEEDS)]


def collect_shard(output: Path, shard: int, options: ShardOptions, state: StateFolder) -> None:
    """Play until `options.episodes_per_shard` episodes are kept, then write the shard.

    Raises UserError when the disk is too small (before the first frame) or full, or the game dies.
    """
    require_disk(output.parent, estimate_shard_bytes(options.episodes_per_shard), f"shard {shard}")
    task = importlib.import_module(f"worldmodels.envs.{options.task.name}")
    raw = state.path / "frames.raw"
    collected = _restore(state, raw)
    game = task.TakeCoverGame(options.task)
    kept = len(collected.episodes)
    with (
        game,
        readable_disk_errors(raw),
        raw.open("ab") as sink,
        Progress(f"shard {shard}", options.episodes_per_shard, "episodes", state, kept) as progress,
    ):
        while len(collected.episodes) < options.episodes_per_shard:
            seed = shard_seed(options, shard, collected.attempts)
            policy = task.make_policy(options.policy, generator("collect_rollouts", "policy", seed))
            before = sink.tell()
            episode = play(game, policy, seed, sink, task.resize_frames)
            collected.attempts += 1
            if len(episode.actions) >= options.shortest_episode:
                collected.episodes.append(episode)
                collected.frames += len(episode.actions)
                progress.advance(1, frames=collected.frames)
            else:
                sink.flush()
                sink.truncate(before)
                sink.seek(before)
            if state.due:
                sink.flush()
                _checkpoint(collected, state)
                state.leave_if_stopped()
    write_shard(output, _read_raw(raw, collected.frames), collected.facts(), options.canonical_json(), shard)


def play(game: Any, policy: Any, seed: int, sink: Any, resize: Any) -> Episode:
    """Play one episode; its frames (T, 64, 64, 3) go to the file `sink`."""
    screens = [game.reset(seed)]
    actions: list[np.ndarray] = []
    rewards: list[float] = []
    while True:
        action = policy(len(actions))
        result = game.step(float(action[0]))
        actions.append(action)
        rewards.append(result.reward)
        ended = result.died or result.timed_out
        if ended or len(screens) == RESIZE_BATCH:
            sink.write(resize(np.stack(screens)))
            screens = []
        if ended:
            return Episode(seed, np.stack(actions), np.array(rewards, dtype=np.float32), result.died)
        screens.append(game.screen())


def _checkpoint(collected: Collected, state: StateFolder) -> None:
    episodes = [
        [episode.seed, episode.died, episode.actions.tolist(), episode.rewards.tolist()]
        for episode in collected.episodes
    ]
    state.save({}, {"attempts": collected.attempts, "frames": collected.frames, "episodes": episodes})


def _restore(state: StateFolder, raw: Path) -> Collected:
    found = state.load()
    if found is None:
        raw.unlink(missing_ok=True)
        return Collected()
    meta = found[1]
    size = meta["frames"] * 64 * 64 * 3
    if not raw.is_file() or raw.stat().st_size < size:  # the machine lost what was not flushed: begin again
        raw.unlink(missing_ok=True)
        return Collected()
    with raw.open("r+b") as file:
        file.truncate(size)
    episodes = [
        Episode(seed, np.array(actions, dtype=np.float32), np.array(rewards, dtype=np.float32), died)
        for seed, died, actions, rewards in meta["episodes"]
    ]
    return Collected(meta["attempts"], meta["frames"], episodes)


def _read_raw(raw: Path, frames: int) -> Iterator[np.ndarray]:
    with raw.open("rb") as file:
        for start in range(0, frames, 256):
            count = min(256, frames - start)
            yield np.frombuffer(file.read(count * 64 * 64 * 3), np.uint8).reshape(count, 64, 64, 3)
