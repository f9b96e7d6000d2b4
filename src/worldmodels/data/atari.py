"""Atari frames on disk: HDF5 shards of episodes, lossless and small, from which every resolution is made on reading.

A row is one moment of an episode. Time alignment: screen t is observed, action t is taken there, reward t and done t
follow it, and screen t + 1 is the result. An episode of T steps has T + 1 rows: in its last one there is only a screen,
and the action is -1. A shard may cut the last episode of each of its parallel games: it has no done, and ends the same.

Screens are colour numbers (one byte a pixel; the shard holds the emulator's colour table), each as the difference (XOR)
to the one before, in chunks of CHUNK_FRAMES whose first screen is whole, compressed with Zstd.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import h5py
import hdf5plugin
import numpy as np

from worldmodels.config.atari import CHUNK_FRAMES
from worldmodels.data.rollouts import DiskFile
from worldmodels.data.shards import damaged, open_whole_shard
from worldmodels.errors import UserError
from worldmodels.runtime.files import atomic_path

FORMAT = "worldmodels-atari-1"
NO_ACTION = -1
"""Action of the last row of an episode."""
COMPRESSION = hdf5plugin.Zstd(clevel=3)
OPEN_FILES = 64


class AtariFacts(NamedTuple):
    """Everything of a shard but its screens."""

    actions: np.ndarray  # (N,) int8, indices into the action set; -1 in the last row of an episode
    rewards: np.ndarray  # (N,) float32, as the game gives them
    dones: np.ndarray  # (N,) bool: the action ended the episode
    life_losses: np.ndarray  # (N,) bool: the action cost a life
    episode_offsets: np.ndarray  # (E + 1,) int64; episode e is rows offsets[e]:offsets[e + 1]
    seeds: np.ndarray  # (E,) int64
    noops: np.ndarray  # (E,) int64 emulator frames of no action before the first row


class AtariRecord(NamedTuple):
    """What a shard says of itself."""

    game: str
    action_codes: tuple[int, ...]  # ALE's number of each action
    colours: np.ndarray  # (256, 3) uint8
    options: str  # the block that it was made from
    name: str  # train-000


def take_differences(screens: np.ndarray) -> np.ndarray:
    """One chunk of screens (n, h, w) as differences, each to the screen before; the first one whole."""
    differences = screens.copy()
    np.bitwise_xor(screens[1:], screens[:-1], out=differences[1:])
    return differences


def undo_differences(chunk: np.ndarray) -> None:
    """Make screens of one chunk of differences (n, h, w), in place."""
    for row in range(1, len(chunk)):
        np.bitwise_xor(chunk[row], chunk[row - 1], out=chunk[row])


class ScreenCompressor:
    """Compresses chunks of screens as HDF5 would, without a file: so they can be stored before their shard exists."""

    def __init__(self, screen_shape: tuple[int, int]) -> None:
        self.screen_shape = screen_shape
        self._file: h5py.File | None = None
        self._used = 0

    def compress(self, screens: np.ndarray) -> bytes:
        """The bytes of one chunk, of screens (CHUNK_FRAMES, h, w) uint8."""
        if self._file is None or self._used == 256:  # begin again now and then: HDF5 never gives memory back
            self._begin()
        assert self._file is not None
        stored = self._file["screens"]
        stored[:] = take_differences(screens)
        self._used += 1
        return stored.id.read_direct_chunk((0, 0, 0))[1]

    def _begin(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = h5py.File(f"screens-{id(self)}", "w", driver="core", backing_store=False)
        create_screens(self._file, CHUNK_FRAMES, self.screen_shape)
        self._used = 0


def create_screens(file: h5py.File, frames: int, screen_shape: tuple[int, int]) -> h5py.Dataset:
    """Create the data set of `frames` screens."""
    chunk = (CHUNK_FRAMES, *screen_shape)
    return file.create_dataset(
        "screens", (frames, *screen_shape), np.uint8, chunks=chunk, track_times=False, **COMPRESSION
    )


def write_atari_shard(
    path: Path,
    chunks: Iterable[tuple[int, bytes]],
    facts: AtariFacts,
    record: AtariRecord,
    screen_shape: tuple[int, int],
) -> None:
    """Write a shard atomically; the same content gives the same bytes.

    chunks: (number of its first row, bytes of a ScreenCompressor), in any order. Raises UserError when the disk is full.
    """
    with atomic_path(path) as temporary, temporary.open("r+b", buffering=0) as raw:
        disk = DiskFile(raw)
        with h5py.File(disk, "w", track_order=False) as file:
            screens = create_screens(file, len(facts.actions), screen_shape)
            for row, content in chunks:
                screens.id.write_direct_chunk((row, 0, 0), content)
                disk.check()
            for name, values in facts._asdict().items():
                file.create_dataset(name, data=values, track_times=False)
            file.create_dataset("colours", data=record.colours, track_times=False)
            file.attrs["game"], file.attrs["action_codes"] = record.game, np.array(record.action_codes)
            file.attrs["options"], file.attrs["name"] = record.options, record.name
            file.attrs["format"], file.attrs["complete"] = FORMAT, True
        disk.check()


def open_atari_shard(path: Path) -> h5py.File:
    """Open a shard for reading. Raises UserError unless it is a whole shard of this format."""
    return open_whole_shard(path, "an Atari shard", FORMAT, inconsistency, cache_bytes=0)


def inconsistency(file: h5py.File) -> str | None:
    """What contradicts itself in an open shard, or None."""
    screens, offsets = file["screens"], file["episode_offsets"][:]
    if screens.dtype != np.uint8 or screens.ndim != 3:
        return f"screens are {screens.dtype} of shape {screens.shape}"
    if len(offsets) < 2 or offsets[0] != 0 or np.diff(offsets).min() < 1:
        return "episode offsets do not rise from 0"
    lengths = {name: len(file[name]) for name in ("screens", "actions", "rewards", "dones", "life_losses")}
    if set(lengths.values()) != {int(offsets[-1])}:
        return f"{offsets[-1]} rows in episodes, but {lengths}"
    actions, last = file["actions"][:], offsets[1:] - 1
    if (actions[last] != NO_ACTION).any() or (actions == NO_ACTION).sum() != len(last):
        return "the rows without an action are not the last ones of episodes"
    if actions.max() >= len(file.attrs["action_codes"]):
        return f"action {actions.max()} is not one of {len(file.attrs['action_codes'])}"
    return None


class AtariStore:
    """Many shards of one game as one sequence of rows. Screens stay on disk; the rest is mapped, not read.

    Raises UserError when a shard is damaged, or of another game, action set or screen than the first.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self._open: dict[int, h5py.File] = {}
        self._facts: list[dict[str, np.ndarray]] = []
        offsets, colours = [np.zeros(1, np.int64)], np.zeros((256, 3), np.uint8)
        for path in self.paths:
            with open_atari_shard(path) as file:
                self._check_same(path, file)
                self._facts.append(
                    {name: _mapped(path, file[name]) for name in ("actions", "rewards", "dones", "life_losses")}
                )
                offsets.append(file["episode_offsets"][1:] + offsets[-1][-1])
                colours = np.maximum(colours, file["colours"][:])  # a colour that a shard has not seen is black
        self.colours = colours  # (256, 3) uint8
        self.starts = np.concatenate([[0], np.cumsum([len(one["actions"]) for one in self._facts])]).astype(np.int64)
        self.episode_offsets = np.concatenate(offsets)  # (E + 1,)

    def _check_same(self, path: Path, file: h5py.File) -> None:
        found = (file.attrs["game"], tuple(int(c) for c in file.attrs["action_codes"]), file["screens"].shape[1:])
        if not self._facts:
            self.game, self.action_codes, self.screen_shape = found
        expected = (self.game, self.action_codes, self.screen_shape)
        if found != expected:
            raise UserError(
                f"{path} holds {found[0]} with {len(found[1])} actions and screens {found[2]}, but {self.paths[0]} "
                f"{expected[0]} with {len(expected[1])} actions and screens {expected[2]}. Name shards of one data set."
            )

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def actions_count(self) -> int:
        """Number of actions in the set."""
        return len(self.action_codes)

    @cached_property
    def episode_lengths(self) -> np.ndarray:
        """Rows of each episode, (E,)."""
        return np.diff(self.episode_offsets)

    def facts(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows start:stop, all of one shard, of 'actions', 'rewards', 'dones' or 'life_losses'."""
        shard = self._shard_of(start)
        offset = int(self.starts[shard])
        return self._facts[shard][name][start - offset : stop - offset]

    def history(self, row: int) -> tuple[int, np.ndarray]:
        """What led to a row: emulator frames of no action, then the actions (n,) of its episode before it."""
        episode = int(np.searchsorted(self.episode_offsets, row, side="right")) - 1
        first = int(self.episode_offsets[episode])
        shard = self._shard_of(row)
        in_shard = episode - int(np.searchsorted(self.episode_offsets, self.starts[shard]))
        return int(self._file(shard)["noops"][in_shard]), self.facts("actions", first, row)

    def screens(self, start: int, stop: int) -> np.ndarray:
        """Screens start:stop, all of one shard, (stop - start, h, w) uint8. Raises UserError when it is damaged."""
        shard = self._shard_of(start)
        offset = int(self.starts[shard])
        start, stop = start - offset, stop - offset
        first = start - start % CHUNK_FRAMES
        last = -(-stop // CHUNK_FRAMES) * CHUNK_FRAMES
        try:
            rows = self._file(shard)["screens"][first:last]
        except OSError as error:
            raise damaged(self.paths[shard], "is not a complete HDF5 file", str(error)) from None
        for begin in range(0, len(rows), CHUNK_FRAMES):
            undo_differences(rows[begin : min(begin + CHUNK_FRAMES, stop - first)])
        return rows[start - first : stop - first]

    def _shard_of(self, row: int) -> int:
        return int(np.searchsorted(self.starts, row, side="right")) - 1

    def _file(self, shard: int) -> h5py.File:
        if shard not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._open.pop(next(iter(self._open))).close()
            self._open[shard] = h5py.File(self.paths[shard], "r", rdcc_nbytes=0)
        return self._open[shard]


def _mapped(path: Path, stored: h5py.Dataset) -> np.ndarray:
    """An uncompressed data set of a shard, mapped: it takes no memory of its own."""
    return np.memmap(path, stored.dtype, "r", stored.id.get_offset(), stored.shape)
