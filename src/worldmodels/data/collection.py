"""Collecting one shard: play whole episodes of a policy, keep those that are long enough, write them.

A shard has its own stream of episode seeds. The frames of kept episodes are compressed at once, in the chunks of the
shard to come, and appended to a file in the state folder; a checkpoint records how much of it is whole. A shard that
was killed goes on there, and ends with the same bytes.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from worldmodels.config.datasets import MOST_DATASET_SEEDS, MOST_SHARDS, PolicyOptions, ShardOptions
from worldmodels.data.rollouts import (
    CHUNK_FRAMES,
    ChunkCompressor,
    ShardFacts,
    write_compressed_shard,
)
from worldmodels.envs.games import Game, Task, frame_maker, load_task
from worldmodels.envs.policies import Policy, make_policy
from worldmodels.errors import UserError
from worldmodels.runtime.files import readable_disk_errors
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.space import require_disk
from worldmodels.runtime.state import StateFolder
from worldmodels.seeds import COLLECTION_SEEDS, generator

SEEDS_PER_SHARD = len(COLLECTION_SEEDS) // (MOST_DATASET_SEEDS * MOST_SHARDS)
"""Episode seeds reserved for a shard, 10,000, most of them never used."""
RESIZE_BATCH = 16
"""Screens that are resized together: more would leave the processor's cache."""


@dataclass
class Episode:
    """One played episode."""

    seed: int
    actions: np.ndarray  # (T, A) float32
    rewards: np.ndarray  # (T,) float32
    died: bool


@dataclass
class Collected:
    """What a shard has so far, but its frames."""

    attempts: int = 0
    episodes: list[Episode] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """Frames of the kept episodes."""
        return sum(len(episode.actions) for episode in self.episodes)

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


class FrameSink(Protocol):
    """Takes the frames of an episode, piece by piece."""

    def write(self, frames: np.ndarray) -> None:
        """Take frames (n, 64, 64, 3) uint8."""


class FrameLog:
    """Frames of kept episodes: whole chunks in a file, compressed; the rest, less than a chunk, in memory."""

    def __init__(self, file: BinaryIO, chunks: list[int] | None = None, rest: np.ndarray | None = None) -> None:
        self.file = file
        self.chunks = [] if chunks is None else chunks  # bytes of each chunk
        self._waiting = np.empty((CHUNK_FRAMES, 64, 64, 3), np.uint8)
        self._count = 0
        self._compressor = ChunkCompressor()
        if rest is not None:
            self.write(rest)

    @property
    def rest(self) -> np.ndarray:
        """Frames that do not fill a chunk yet."""
        return self._waiting[: self._count]

    def write(self, frames: np.ndarray) -> None:
        """Append frames (n, 64, 64, 3) uint8."""
        while len(frames):
            count = min(len(frames), CHUNK_FRAMES - self._count)
            self._waiting[self._count : self._count + count] = frames[:count]
            self._count, frames = self._count + count, frames[count:]
            if self._count == CHUNK_FRAMES:
                content = self._compressor.compress(self._waiting)
                self.file.write(content)
                self.chunks.append(len(content))
                self._count = 0

    def read_chunks(self) -> Iterator[bytes]:
        """All chunks in order, the unfinished one last."""
        self.file.seek(0)
        for size in self.chunks:
            yield self.file.read(size)
        if self._count:
            compressor = self._compressor if self.chunks else ChunkCompressor(self._count)
            yield compressor.compress(self.rest)


class Candidate:
    """The episode that is being played: its frames wait until it is long enough to be kept."""

    def __init__(self, log: FrameSink, shortest: int) -> None:
        self._log, self._shortest = log, shortest
        self._waiting: list[np.ndarray] = []
        self._count = 0

    def write(self, frames: np.ndarray) -> None:
        """Append frames (n, 64, 64, 3) uint8."""
        self._count += len(frames)
        self._waiting.append(frames)
        if self._count >= self._shortest:
            for piece in self._waiting:
                self._log.write(piece)
            self._waiting = []


def shard_seed(options: ShardOptions, shard: int, attempt: int) -> int:
    """Episode seed of attempt number `attempt` in a shard; shards share none, nor do data sets of different seeds."""
    if attempt >= SEEDS_PER_SHARD:
        raise UserError(
            f"shard {shard} played {attempt:,} episodes, and too few had {options.shortest_episode} frames. "
            "Lower the data set's shortest_episode or episodes_per_shard in config.yaml."
        )
    return COLLECTION_SEEDS[(options.seed * MOST_SHARDS + shard) * SEEDS_PER_SHARD + attempt]


Player = Callable[[Game, int], Policy]
"""(game, episode seed) -> the policy of that episode, which chooses actions as the game takes them."""


def blind_player(policy: PolicyOptions, task: Task) -> Player:
    """A policy that sees nothing; its randomness belongs to the episode."""

    def begin(_game: Game, seed: int) -> Policy:
        choose = make_policy(policy, task.ACTION_SIZE, generator("collect_rollouts", "policy", seed))
        return lambda step: task.action_from_unit(choose(step))

    return begin


def collect_shard(output: Path, shard: int, options: ShardOptions, state: StateFolder, player: Player) -> None:
    """Let `player` play until `options.episodes_per_shard` episodes are kept, then write the shard.

    Raises UserError when the disk is too small (before the first frame) or full, or the game dies.
    """
    # Its compressed chunks lie in the state folder until they are copied into the shard.
    require_disk(output.parent, 2 * options.stored_bytes, f"shard {shard}")
    task = load_task(options.task.name)
    path = state.path / "frames.chunks"
    with readable_disk_errors(path), path.open("a+b") as file:
        collected, log = _restore(state, file)
        with (
            task.make_game(options.task) as game,
            Progress(
                f"shard {shard}", options.episodes_per_shard, "episodes", state, len(collected.episodes)
            ) as progress,
        ):
            while len(collected.episodes) < options.episodes_per_shard:
                if _attempt(task, game, options, shard, collected, log, player):
                    progress.advance(1, frames=collected.frames)
                if state.due:
                    _checkpoint(collected, log, state)
                    state.leave_if_stopped()
        write_compressed_shard(output, log.read_chunks(), collected.facts(), options.canonical_json(), shard)


def _attempt(
    task: Task, game: Game, options: ShardOptions, shard: int, collected: Collected, log: FrameLog, player: Player
) -> bool:
    """Play one more episode; whether it was kept."""
    seed = shard_seed(options, shard, collected.attempts)
    episode = play(
        game,
        player(game, seed),
        seed,
        Candidate(log, options.shortest_episode),
        frame_maker(task, options.task),
    )
    collected.attempts += 1
    kept = len(episode.actions) >= options.shortest_episode
    if kept:
        collected.episodes.append(episode)
    return kept


def play(
    game: Game, policy: Policy, seed: int, sink: FrameSink, resize: Callable[[np.ndarray, int], np.ndarray]
) -> Episode:
    """Play one episode; its frames (T, 64, 64, 3) go to `sink`."""
    game.reset(seed)
    screens = np.empty((RESIZE_BATCH, *game.screen_shape), np.uint8)
    actions: list[np.ndarray] = []
    rewards: list[float] = []
    ended = timed_out = False
    while not (ended or timed_out):
        row = len(actions) % RESIZE_BATCH
        game.read_screen(screens[row])
        actions.append(policy(len(actions)))
        reward, ended, timed_out = game.step(actions[-1])
        rewards.append(reward)
        if row == RESIZE_BATCH - 1 or ended or timed_out:
            sink.write(resize(screens[: row + 1], 64))
    return Episode(seed, np.stack(actions), np.array(rewards, dtype=np.float32), ended)


def _checkpoint(collected: Collected, log: FrameLog, state: StateFolder) -> None:
    import torch

    began = time.monotonic()
    log.file.flush()
    os.fsync(log.file.fileno())
    tensors = {"rest": torch.from_numpy(log.rest.copy())}
    if collected.episodes:
        facts = collected.facts()
        tensors |= {name: torch.from_numpy(values) for name, values in facts._asdict().items()}
    state.save(tensors, {"attempts": collected.attempts, "chunks": log.chunks}, began)


def _restore(state: StateFolder, file: BinaryIO) -> tuple[Collected, FrameLog]:
    """Go on from the last checkpoint, if its frames are there; what came after it is played again."""
    found = state.load()
    if found is None or os.fstat(file.fileno()).st_size < sum(found[1]["chunks"]):
        file.truncate(0)
        return Collected(), FrameLog(file)
    tensors, meta = found
    file.truncate(sum(meta["chunks"]))
    collected = Collected(meta["attempts"])
    if "seeds" in tensors:
        collected.episodes = _episodes(ShardFacts(*(tensors[name].numpy() for name in ShardFacts._fields)))
    return collected, FrameLog(file, list(meta["chunks"]), tensors["rest"].numpy())


def _episodes(facts: ShardFacts) -> list[Episode]:
    spans = zip(facts.episode_offsets[:-1], facts.episode_offsets[1:], strict=True)
    return [
        Episode(int(seed), facts.actions[start:stop], facts.rewards[start:stop], bool(died))
        for (start, stop), seed, died in zip(spans, facts.seeds, facts.deaths, strict=True)
    ]
