"""Collecting one shard of Atari frames: a few games side by side, each of which fills an equal part of the shard.

The games advance in lockstep, a row of the shard at a time, so that an agent chooses for all of them at once. All that
the next row depends on is in a checkpoint: the actions so far, the random streams, the agent's last frames. A shard that
was killed plays its unfinished episodes again up to there, goes on, and ends with the same bytes.
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from worldmodels.config.atari import CHUNK_FRAMES, AtariShardOptions
from worldmodels.config.datasets import MOST_DATASET_SEEDS, MOST_SHARDS
from worldmodels.data.atari import (
    NO_ACTION,
    AtariFacts,
    AtariRecord,
    ScreenCompressor,
    write_atari_shard,
)
from worldmodels.data.atari_play import Play, Rows
from worldmodels.errors import UserError
from worldmodels.runtime.files import readable_disk_errors
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.space import require_disk
from worldmodels.runtime.state import StateFolder
from worldmodels.seeds import COLLECTION_SEEDS

SPLITS = ("train", "test")
SEEDS_PER_SHARD = len(COLLECTION_SEEDS) // (MOST_DATASET_SEEDS * MOST_SHARDS * len(SPLITS))
"""Episode seeds reserved for a shard, 5,000, most of them never used."""


def shard_number(name: str) -> int:
    """Number of a shard among all of its data set, from its name: train-003, test-000."""
    split, _, number = name.partition("-")
    if split not in SPLITS or not number.isdigit() or int(number) >= MOST_SHARDS:
        raise UserError(f"'{name}' is not a shard's name. They are train-000, train-001, ... and test-000, ...")
    return SPLITS.index(split) * MOST_SHARDS + int(number)


def episode_seed(options: AtariShardOptions, name: str, attempt: int) -> int:
    """Seed of the episode number `attempt` of a shard; shards share none, nor do data sets of different seeds."""
    if attempt >= SEEDS_PER_SHARD:
        raise UserError(
            f"shard {name} played {attempt:,} episodes, and has seeds for no more. Lower the data set's "
            "frames_per_shard in config.yaml."
        )
    shard = options.seed * MOST_SHARDS * len(SPLITS) + shard_number(name)
    return COLLECTION_SEEDS[shard * SEEDS_PER_SHARD + attempt]


class ShardCollection:
    """The shard in the making."""

    def __init__(self, options: AtariShardOptions, name: str, agent: Path | None, file: BinaryIO) -> None:
        self.options, self.name, self.file = options, name, file
        self.play = Play(options, agent, partial(episode_seed, options, name))
        self.screen_shape = self.play.screen_shape
        self.length = options.frames_per_shard // options.parallel_games  # rows of each game
        shape = (options.parallel_games, self.length)
        self.rows = Rows(
            np.full(shape, NO_ACTION, np.int8),
            np.zeros(shape, np.float32),
            np.zeros(shape, bool),
            np.zeros(shape, bool),
        )
        self.waiting = np.zeros((options.parallel_games, CHUNK_FRAMES, *self.screen_shape), np.uint8)
        self.sizes: list[int] = []  # bytes of each chunk, game after game for each CHUNK_FRAMES rows
        self.row = 0
        self._compressor = ScreenCompressor(self.screen_shape)

    def advance(self) -> None:
        """Add a row of each game."""
        now = self.row % CHUNK_FRAMES
        added = self.play.advance(self.waiting[:, now], self.row, cut=self.row == self.length - 1)
        for all_rows, values in zip(self.rows, added, strict=True):
            all_rows[:, self.row] = values
        self.row += 1
        if now == CHUNK_FRAMES - 1:
            self._compress()

    def _compress(self) -> None:
        for screens in self.waiting:
            content = self._compressor.compress(screens)
            self.file.write(content)
            self.sizes.append(len(content))

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """(first row in the shard, content) of every chunk."""
        self.file.seek(0)
        for index, size in enumerate(self.sizes):
            chunk, game = divmod(index, len(self.play.players))
            yield game * self.length + chunk * CHUNK_FRAMES, self.file.read(size)

    def facts(self) -> AtariFacts:
        """The shard's arrays."""
        players = self.play.players
        starts = [player.number * self.length + row for player in players for row in player.rows]
        offsets = np.array([*starts, self.rows.actions.size], np.int64)
        seeds = np.array([seed for player in players for seed in player.seeds], np.int64)
        noops = np.array([noops for player in players for noops in player.noops], np.int64)
        return AtariFacts(*[*(values.ravel() for values in self.rows), offsets, seeds, noops])

    def record(self) -> AtariRecord:
        """What the shard says of itself."""
        game, block = self.options.task.game, self.options.canonical_json()
        return AtariRecord(game, self.play.action_codes, self.play.colours.rgb, block, self.name)


def collect_atari_shard(
    output: Path, name: str, options: AtariShardOptions, agent: Path | None, state: StateFolder
) -> None:
    """Play until the shard is full, then write it.

    Raises UserError when the disk is too small (before the first frame) or full, or the agent is of another game.
    """
    # its chunks, then their copy in the shard
    require_disk(output.parent, 2 * options.stored_bytes, f"shard {name}")
    path = state.path / "screens.chunks"
    with readable_disk_errors(path), path.open("a+b") as file:
        shard = ShardCollection(options, name, agent, file)
        restore(shard, state)
        games = options.parallel_games
        with Progress(f"shard {name}", options.frames_per_shard, "frames", state, shard.row * games) as progress:
            while shard.row < shard.length:
                shard.advance()
                progress.advance(games)
                if state.due:
                    checkpoint(shard, state)
                    state.leave_if_stopped()
        write_atari_shard(output, shard.chunks(), shard.facts(), shard.record(), shard.screen_shape)


def checkpoint(shard: ShardCollection, state: StateFolder) -> None:
    """Save everything that the next row depends on."""
    shard.file.flush()
    os.fsync(shard.file.fileno())
    rows = {name: values[:, : shard.row].copy() for name, values in shard.rows._asdict().items()}
    play = shard.play
    arrays = {**rows, "waiting": shard.waiting, "memory": play.policy.memory(), "colours": play.colours.rgb}
    tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
    meta: dict[str, Any] = {"row": shard.row, "sizes": shard.sizes, "known": list(play.colours.known), "players": []}
    for player in play.players:
        kept = {name: getattr(player, name) for name in PLAYER_FIELDS}
        meta["players"].append({**kept, "rng": player.rng.bit_generator.state})
    state.save(tensors, meta)


PLAYER_FIELDS = ("attempts", "fresh", "over", "rows", "seeds", "noops")


def restore(shard: ShardCollection, state: StateFolder) -> None:
    """Go on from the last checkpoint, if its screens are there; what came after it is played again."""
    found = state.load()
    if found is None or os.fstat(shard.file.fileno()).st_size < sum(found[1]["sizes"]):
        shard.file.truncate(0)
        return
    tensors, meta = found
    shard.file.truncate(sum(meta["sizes"]))
    shard.row, shard.sizes = meta["row"], meta["sizes"]
    for name, values in shard.rows._asdict().items():
        values[:, : shard.row] = tensors[name].numpy()
    shard.waiting[:] = tensors["waiting"].numpy()
    shard.play.policy.remember(tensors["memory"].numpy())
    shard.play.colours.rgb[:], shard.play.colours.known = tensors["colours"].numpy(), bytes(meta["known"])
    for player, saved in zip(shard.play.players, meta["players"], strict=True):
        player.rng.bit_generator.state = saved["rng"]
        for name in PLAYER_FIELDS:
            setattr(player, name, saved[name])
        if player.rows:
            episode = shard.rows.actions[player.number, player.rows[-1] : shard.row]
            player.replay([int(action) for action in episode if action != NO_ACTION])
