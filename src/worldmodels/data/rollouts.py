"""Rollouts on disk: HDF5 shards of whole episodes, written and read in chunks, so that memory stays flat.

Time alignment: frame t is what was seen when action t was chosen; an episode of T steps has T frames and T actions, and
the last action of an episode that ended in death is the fatal one (no frame follows it).
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import h5py
import hdf5plugin
import numpy as np

from worldmodels.errors import UserError
from worldmodels.runtime.files import atomic_path

FORMAT = "worldmodels-rollouts-1"
CHUNK_FRAMES = 64
"""Frames in one HDF5 chunk (0.8 MB raw): the unit of reading."""
BYTES_PER_FRAME = 7_300
"""Measured on Take Cover at 160x120 with the compression below; raw frames are 12,288 bytes."""
TYPICAL_EPISODE_FRAMES = 340
"""Mean length of a kept episode of the random policy, measured; the original collection had 308."""
COMPRESSION = hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.BITSHUFFLE)
OPEN_FILES = 32


class ShardFacts(NamedTuple):
    """Everything of a shard but its frames."""

    actions: np.ndarray  # (N, A) float32
    rewards: np.ndarray  # (N,) float32
    episode_offsets: np.ndarray  # (E + 1,) int64
    deaths: np.ndarray  # (E,) bool
    seeds: np.ndarray  # (E,) int64


def write_shard(path: Path, frames: Iterator[np.ndarray], facts: ShardFacts, options: str, shard: int) -> None:
    """Write a shard atomically; the same content gives the same bytes.

    frames: pieces (n, 64, 64, 3) uint8 of any length, in order. options: the block that the shard was made from.
    """
    total = len(facts.actions)
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=("v110", "v110")) as file:
        shape, chunk = (total, 64, 64, 3), (min(CHUNK_FRAMES, total), 64, 64, 3)
        stored = file.create_dataset("frames", shape, np.uint8, chunks=chunk, track_times=False, **COMPRESSION)
        row = 0
        for piece in whole_chunks(frames, CHUNK_FRAMES):
            stored[row : row + len(piece)] = piece
            row += len(piece)
        if row != total:
            raise ValueError(f"{path}: {row} frames were given for {total} actions")
        for name, values in facts._asdict().items():
            file.create_dataset(name, data=values, track_times=False)
        file.attrs["options"], file.attrs["shard"], file.attrs["format"] = options, shard, FORMAT
        file.attrs["complete"] = True


def whole_chunks(pieces: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Cut a stream of arrays into pieces of `size` rows, so that no HDF5 chunk is compressed twice."""
    waiting: list[np.ndarray] = []
    count = 0
    for piece in pieces:
        waiting.append(piece)
        count += len(piece)
        if count >= size:
            joined = np.concatenate(waiting)
            whole = count - count % size
            yield from (joined[start : start + size] for start in range(0, whole, size))
            waiting, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(waiting)


def open_shard(path: Path) -> h5py.File:
    """Open a shard for reading. Raises UserError unless it is a whole shard of this format."""
    if not path.is_file():
        raise UserError(f"{path} does not exist. Ask snakemake for the target again: it collects what is missing.")
    try:
        file = h5py.File(path, "r", rdcc_nbytes=2_000_000)
    except OSError:
        raise _damaged(path, "is not a complete HDF5 file", "the writer never finished it") from None
    try:
        if file.attrs.get("format") != FORMAT or not file.attrs.get("complete"):
            raise _damaged(path, "is not a rollout shard of this version", f"format {file.attrs.get('format')!r}")
        frames, steps = len(file["frames"]), int(file["episode_offsets"][-1])
        if not frames == steps == len(file["actions"]) == len(file["rewards"]):
            raise _damaged(path, "is not consistent", f"{frames} frames for {steps} steps")
    except (OSError, KeyError, RuntimeError) as error:
        file.close()
        raise _damaged(path, "is not a complete HDF5 file", str(error)) from None
    except UserError:
        file.close()
        raise
    return file


def _damaged(path: Path, what: str, detail: str) -> UserError:
    return UserError(
        f"{path} {what} ({path.stat().st_size:,} bytes; {detail}). Delete it and run the same command: only this shard "
        "is collected again."
    )


class RolloutFrames:
    """The frames of many shards as one sequence. Files are opened when they are read, a bounded number at a time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self._open: dict[int, h5py.File] = {}
        facts = []
        for path in self.paths:
            with open_shard(path) as file:
                facts.append(ShardFacts(*(file[name][:] for name in ShardFacts._fields)))
        lengths = [len(shard.actions) for shard in facts]
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.actions = np.concatenate([shard.actions for shard in facts])  # (N, A)
        self.deaths = np.concatenate([shard.deaths for shard in facts])  # (E,)
        steps = np.concatenate([np.diff(shard.episode_offsets) for shard in facts])
        self.episode_offsets = np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)  # (E + 1,)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def chunk_bounds(self) -> list[tuple[int, int]]:
        """(start, stop) of every HDF5 chunk, in frames of the whole sequence."""
        bounds = []
        for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True):
            cuts = [*range(int(start), int(stop), CHUNK_FRAMES), int(stop)]
            bounds += list(zip(cuts[:-1], cuts[1:], strict=True))
        return bounds

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames start:stop, (stop - start, 64, 64, 3) uint8. Raises UserError when a shard is damaged."""
        pieces = []
        while start < stop:
            shard = int(np.searchsorted(self.starts, start, side="right")) - 1
            end = min(stop, int(self.starts[shard + 1]))
            offset = int(self.starts[shard])
            try:
                pieces.append(self._file(shard)["frames"][start - offset : end - offset])
            except OSError as error:
                raise _damaged(self.paths[shard], "is not a complete HDF5 file", str(error)) from None
            start = end
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _file(self, shard: int) -> h5py.File:
        if shard not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._open.pop(next(iter(self._open))).close()
            self._open[shard] = open_shard(self.paths[shard])
        return self._open[shard]


def estimate_shard_bytes(episodes: int) -> int:
    """Disk that a shard of `episodes` kept episodes needs while it is collected: raw frames, then the shard."""
    return episodes * TYPICAL_EPISODE_FRAMES * (12_288 + BYTES_PER_FRAME)
