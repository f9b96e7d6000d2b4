"""Collecting one shard of Atari frames: a few games side by side, each of which fills an equal part of the shard.

The games advance in lockstep, a row of the shard at a time, so that an agent chooses for all of them at once. All that
the next row depends on is in a checkpoint: the consoles' states, the random streams, the agent's last frames. A shard
that was killed goes on there, and ends with the same bytes.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch

from worldmodels.config.atari import CHUNK_FRAMES, AtariShardOptions
from worldmodels.config.datasets import MOST_DATASET_SEEDS, MOST_SHARDS
from worldmodels.data.atari import (
    NO_ACTION,
    AtariFacts,
    AtariRecord,
    ScreenCompressor,
    estimate_shard_bytes,
    write_atari_shard,
)
from worldmodels.envs.atari.colours import Colours
from worldmodels.envs.atari.emulator import Console, ConsoleState, Pictures, noop_frames
from worldmodels.envs.atari.eyes import Eyes, grey_frames
from worldmodels.errors import UserError
from worldmodels.models.atari_agent import choose_actions, load_agent, map_actions
from worldmodels.runtime.files import readable_disk_errors
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.space import require_disk
from worldmodels.runtime.state import StateFolder
from worldmodels.seeds import COLLECTION_SEEDS, generator

SPLITS = ("train", "test")
SEEDS_PER_SHARD = len(COLLECTION_SEEDS) // (MOST_DATASET_SEEDS * MOST_SHARDS * len(SPLITS))
"""Episode seeds reserved for a shard, 5,000, most of them never used."""


@dataclass
class Player:
    """One of the games of a shard: its console and the episode that it plays."""

    number: int
    console: Console
    rng: np.random.Generator
    attempts: int = 0
    fresh: bool = True  # the next row is the first of an episode
    over: bool = False  # the next row is the last of the episode
    rows: list[int] = field(default_factory=list)  # first row of each episode, in this game's part
    seeds: list[int] = field(default_factory=list)
    noops: list[int] = field(default_factory=list)

    def begin(self, seed: int, row: int) -> None:
        """Begin the episode of `seed` at a row."""
        self.rng = generator("collect_atari", "episode", seed)
        noops = noop_frames(self.console.options, self.rng)
        self.console.reset(noops)
        self.attempts += 1
        self.rows.append(row)
        self.seeds.append(seed)
        self.noops.append(noops)


class AtariPolicy(Protocol):
    """Chooses for all games at once."""

    def choose(self, screens: np.ndarray, players: list[Player]) -> np.ndarray:
        """Actions (S,) for what all games show, (S, h, w) uint8; a player's randomness comes from its own stream."""
        ...

    def memory(self) -> np.ndarray:
        """What it remembers of earlier screens."""
        ...

    def remember(self, memory: np.ndarray) -> None:
        """Go on from such a memory."""
        ...


class RandomPolicy:
    """Uniform actions."""

    def __init__(self, actions: int) -> None:
        self.actions = actions

    def choose(self, screens: np.ndarray, players: list[Player]) -> np.ndarray:
        """Actions (S,)."""
        return np.array([player.rng.integers(self.actions) for player in players])

    def memory(self) -> np.ndarray:
        """Nothing."""
        return np.zeros(0, np.uint8)

    def remember(self, memory: np.ndarray) -> None:
        """Nothing."""


class NoisyAgent:
    """A trained agent, a share ε of whose actions is uniform instead."""

    def __init__(self, path: Path, options: AtariShardOptions, console: Console, colours: Colours) -> None:
        self.agent = load_agent(path)
        codes = console.action_codes
        self.actions = np.array(map_actions(path, self.agent.options, options.task.game, codes))
        self.all_actions, self.epsilon, self.colours = len(codes), options.epsilon, colours
        self.eyes = Eyes(options.parallel_games)

    def choose(self, screens: np.ndarray, players: list[Player]) -> np.ndarray:
        """Actions (S,)."""
        noise = np.array([player.rng.random(3) for player in players])
        first = np.array([player.fresh for player in players])
        stacks = self.eyes.see(grey_frames(screens, self.colours.grey), first)
        chosen = self.actions[choose_actions(self.agent, stacks, torch.from_numpy(noise[:, 0])).numpy()]
        return np.where(noise[:, 1] < self.epsilon, (noise[:, 2] * self.all_actions).astype(int), chosen)

    def memory(self) -> np.ndarray:
        """The last frames."""
        return self.eyes.stacks

    def remember(self, memory: np.ndarray) -> None:
        """Go on from these frames."""
        self.eyes.stacks[:] = memory


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
    """The shard in the making: everything but what its games are doing."""

    def __init__(self, options: AtariShardOptions, name: str, agent: Path | None, file: BinaryIO) -> None:
        self.options, self.name, self.file = options, name, file
        consoles = [Console(options.task) for _ in range(options.parallel_games)]
        self.players = [Player(number, console, generator("unused")) for number, console in enumerate(consoles)]
        self.colours = Colours.of(consoles[0])
        self.codes, self.screen_shape = consoles[0].action_codes, consoles[0].screen_shape
        self.policy: AtariPolicy = (
            RandomPolicy(len(self.codes)) if agent is None else NoisyAgent(agent, options, consoles[0], self.colours)
        )
        self.length = options.frames_per_shard // options.parallel_games  # rows of each game
        shape = (options.parallel_games, self.length)
        self.actions = np.full(shape, NO_ACTION, np.int8)
        self.rewards = np.zeros(shape, np.float32)
        self.dones, self.life_losses = np.zeros(shape, bool), np.zeros(shape, bool)
        self.waiting = np.zeros((options.parallel_games, CHUNK_FRAMES, *self.screen_shape), np.uint8)
        self.sizes: list[int] = []  # bytes of each chunk, game after game for each CHUNK_FRAMES rows
        self.row = 0
        self._compressor = ScreenCompressor(self.screen_shape)

    def advance(self) -> None:
        """Add a row of each game."""
        now = self.row % CHUNK_FRAMES
        for player in self.players:
            if player.fresh:
                attempt = player.attempts * len(self.players) + player.number
                player.begin(episode_seed(self.options, self.name, attempt), self.row)
            screen = self.waiting[player.number, now]
            player.console.read_screen(screen)
            self.colours.learn(player.console, screen)
        chosen = self.policy.choose(self.waiting[:, now], self.players)
        for player, action in zip(self.players, chosen, strict=True):
            self._act(player, int(action))
        self.row += 1
        if now == CHUNK_FRAMES - 1:
            self._compress()

    def _act(self, player: Player, action: int) -> None:
        """Take an action, unless this is an episode's last row or the part's."""
        player.fresh = player.over
        if player.over or self.row == self.length - 1:
            player.over = False
            return
        step = player.console.step(action)
        place = player.number, self.row
        self.actions[place], self.rewards[place] = action, step.reward
        self.dones[place], self.life_losses[place] = step.ended, step.life_lost
        player.over = step.ended or step.timed_out

    def _compress(self) -> None:
        for screens in self.waiting:
            content = self._compressor.compress(screens)
            self.file.write(content)
            self.sizes.append(len(content))

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """(first row in the shard, content) of every chunk."""
        self.file.seek(0)
        for index, size in enumerate(self.sizes):
            chunk, game = divmod(index, len(self.players))
            yield game * self.length + chunk * CHUNK_FRAMES, self.file.read(size)

    def facts(self) -> AtariFacts:
        """The shard's arrays."""
        starts = [player.number * self.length + row for player in self.players for row in player.rows]
        return AtariFacts(
            actions=self.actions.ravel(),
            rewards=self.rewards.ravel(),
            dones=self.dones.ravel(),
            life_losses=self.life_losses.ravel(),
            episode_offsets=np.array([*starts, self.actions.size], np.int64),
            seeds=np.array([seed for player in self.players for seed in player.seeds], np.int64),
            noops=np.array([noops for player in self.players for noops in player.noops], np.int64),
        )

    def record(self) -> AtariRecord:
        """What the shard says of itself."""
        options = self.options.canonical_json()
        return AtariRecord(self.options.task.game, self.codes, self.colours.rgb, options, self.name)


def collect_atari_shard(
    output: Path, name: str, options: AtariShardOptions, agent: Path | None, state: StateFolder
) -> None:
    """Play until the shard is full, then write it.

    Raises UserError when the disk is too small (before the first frame) or full, or the agent is of another game.
    """
    require_disk(output.parent, estimate_shard_bytes(options.frames_per_shard), f"shard {name}")
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


ARRAYS = ("actions", "rewards", "dones", "life_losses")


def checkpoint(shard: ShardCollection, state: StateFolder) -> None:
    """Save everything that the next row depends on."""
    shard.file.flush()
    os.fsync(shard.file.fileno())
    tensors = {name: torch.from_numpy(getattr(shard, name)[:, : shard.row].copy()) for name in ARRAYS}
    tensors["waiting"] = torch.from_numpy(shard.waiting)
    tensors["memory"] = torch.from_numpy(shard.policy.memory())
    tensors["colours"] = torch.from_numpy(shard.colours.rgb)
    meta: dict[str, Any] = {"row": shard.row, "sizes": shard.sizes, "known": list(shard.colours.known), "players": []}
    for player in shard.players:
        system, frames, steps, pictures = player.console.save()
        tensors[f"console.{player.number}"] = torch.frombuffer(bytearray(system), dtype=torch.uint8)
        for name, picture in pictures._asdict().items():
            tensors[f"{name}.{player.number}"] = torch.from_numpy(picture)
        kept = {name: getattr(player, name) for name in PLAYER_FIELDS}
        meta["players"].append({**kept, "frames": frames, "steps": steps, "rng": player.rng.bit_generator.state})
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
    for name in ARRAYS:
        getattr(shard, name)[:, : shard.row] = tensors[name].numpy()
    shard.waiting[:] = tensors["waiting"].numpy()
    shard.policy.remember(tensors["memory"].numpy())
    shard.colours.rgb[:], shard.colours.known = tensors["colours"].numpy(), bytes(meta["known"])
    for player, saved in zip(shard.players, meta["players"], strict=True):
        system = tensors[f"console.{player.number}"].numpy().tobytes()
        pictures = Pictures(*(tensors[f"{name}.{player.number}"].numpy() for name in Pictures._fields))
        player.console.restore(ConsoleState(system, saved["frames"], saved["steps"], pictures))
        player.rng.bit_generator.state = saved["rng"]
        for name in PLAYER_FIELDS:
            setattr(player, name, saved[name])
