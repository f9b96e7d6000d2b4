"""Rollouts on disk: HDF5 shards of whole episodes, written and read in chunks, so that memory stays flat.

Time alignment: frame t is what was seen when action t was chosen; an episode of T steps has T frames and T actions, and
the last action of an episode that ended in death is the fatal one (no frame follows it).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import hdf5plugin
import numpy as np

from worldmodels.data.shards import damaged, open_whole_shard
from worldmodels.runtime.files import atomic_path

FORMAT = "worldmodels-rollouts-1"
CHUNK_FRAMES = 64
"""Frames in one HDF5 chunk (0.8 MB raw): the unit of reading."""
COMPRESSION = hdf5plugin.Blosc(cname="lz4", clevel=3, shuffle=hdf5plugin.Blosc.BITSHUFFLE)
"""Measured on 6,000 frames (µs a frame to write, bytes a frame; all are read in about 25-30 µs): this 29, 7,400; LZ4 without
bit shuffling 43, 7,500; HDF5's LZ4 57, 7,000; Zstd level -10 48, 6,300; Zstd level 1 81, 4,500; gzip 260, 4,500."""
OPEN_FILES = 32


class ShardFacts(NamedTuple):
    """Everything of a shard but its frames."""

    actions: np.ndarray  # (N, A) float32
    rewards: np.ndarray  # (N,) float32
    episode_offsets: np.ndarray  # (E + 1,) int64
    deaths: np.ndarray  # (E,) bool
    seeds: np.ndarray  # (E,) int64


class ChunkCompressor:
    """Compresses frames as HDF5 would, without a file: so they can be stored before their shard's size is known."""

    def __init__(self, chunk_frames: int = CHUNK_FRAMES) -> None:
        self.chunk_frames = chunk_frames
        self._file: h5py.File | None = None
        self._used = 0

    def compress(self, frames: np.ndarray) -> bytes:
        """The bytes of one chunk. frames: (n, 64, 64, 3) uint8, n <= chunk_frames; the rest of the chunk is black."""
        if self._file is None or self._used == 256:  # begin again now and then: HDF5 never gives memory back
            self._begin()
        assert self._file is not None
        stored = self._file["frames"]
        stored[: len(frames)] = frames
        stored[len(frames) :] = 0
        self._used += 1
        filter_mask, content = stored.id.read_direct_chunk((0, 0, 0, 0))
        assert filter_mask == 0, "pure noise, which HDF5 stores uncompressed, is no frame of a game"
        return content

    def _begin(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = h5py.File(f"chunk-{id(self)}", "w", driver="core", backing_store=False)
        create_frames(self._file, self.chunk_frames, self.chunk_frames)
        self._used = 0


def create_frames(file: h5py.File, frames: int, chunk_frames: int) -> h5py.Dataset:
    """Create the data set of `frames` frames."""
    shape, chunk = (frames, 64, 64, 3), (chunk_frames, 64, 64, 3)
    return file.create_dataset("frames", shape, np.uint8, chunks=chunk, track_times=False, **COMPRESSION)


class DiskFile:
    """A file for HDF5 to write to, which remembers that the disk is full instead of saying so: HDF5 crashes the
    interpreter when it cannot write what it still holds.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self.problem: OSError | None = None
        self.seek, self.tell, self.read, self.readinto = file.seek, file.tell, file.read, file.readinto

    def write(self, content: Any) -> int:
        """Write, or remember why not."""
        self._attempt(lambda: self._file.write(content))
        return len(content)

    def truncate(self, size: int) -> int:
        """Set the length, or remember why not."""
        self._attempt(lambda: self._file.truncate(size))
        return size

    def flush(self) -> None:
        """Flush, or remember why not."""
        self._attempt(self._file.flush)

    def check(self) -> None:
        """Raise the first problem."""
        if self.problem is not None:
            raise self.problem

    def _attempt(self, work: Callable[[], object]) -> None:
        if self.problem is None:
            try:
                work()
            except OSError as error:
                self.problem = error


def write_shard(path: Path, frames: Iterable[np.ndarray], facts: ShardFacts, options: str, shard: int) -> None:
    """Write a shard atomically; the same content gives the same bytes.

    frames: pieces (n, 64, 64, 3) uint8 of any length, in order. options: the block that the shard was made from.
    Raises UserError when the disk is full.
    """
    compressor = ChunkCompressor(min(CHUNK_FRAMES, len(facts.actions)))
    chunks = (compressor.compress(piece) for piece in whole_chunks(frames, CHUNK_FRAMES))
    write_compressed_shard(path, chunks, facts, options, shard)


def write_compressed_shard(path: Path, chunks: Iterable[bytes], facts: ShardFacts, options: str, shard: int) -> None:
    """As write_shard, from chunks of CHUNK_FRAMES frames (a shorter shard is one chunk) of a ChunkCompressor."""
    total = len(facts.actions)
    size = min(CHUNK_FRAMES, total)
    with atomic_path(path) as temporary, temporary.open("r+b", buffering=0) as raw:
        disk = DiskFile(raw)
        with h5py.File(disk, "w", libver=("v110", "v110")) as file:
            stored, row = create_frames(file, total, size), 0
            for chunk in chunks:
                stored.id.write_direct_chunk((row, 0, 0, 0), chunk)
                disk.check()
                row += size
            if row < total or row >= total + size:
                raise ValueError(f"{path}: about {row} frames were given for {total} actions")
            for name, values in facts._asdict().items():
                file.create_dataset(name, data=values, track_times=False)
            file.attrs["options"], file.attrs["shard"], file.attrs["format"] = options, shard, FORMAT
            file.attrs["complete"] = True
        disk.check()


def whole_chunks(pieces: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
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
    return open_whole_shard(path, "a rollout shard", FORMAT, inconsistency, cache_bytes=2_000_000)


def inconsistency(file: h5py.File) -> str | None:
    """What contradicts itself in an open shard, or None."""
    frames, offsets = file["frames"], file["episode_offsets"][:]
    if frames.dtype != np.uint8 or frames.shape[1:] != (64, 64, 3):
        return f"frames are {frames.dtype} of shape {frames.shape}"
    if len(offsets) < 2 or offsets[0] != 0 or np.diff(offsets).min() < 1:
        return "episode offsets do not rise from 0"
    lengths = {name: len(file[name]) for name in ("frames", "actions", "rewards")}
    if set(lengths.values()) != {int(offsets[-1])}:
        return f"{offsets[-1]} steps in episodes, but {lengths}"
    if not len(file["deaths"]) == len(file["seeds"]) == len(offsets) - 1:
        return f"{len(offsets) - 1} episodes, but {len(file['deaths'])} deaths and {len(file['seeds'])} seeds"
    return None


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
        self.rewards = np.concatenate([shard.rewards for shard in facts])  # (N,)
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
                raise damaged(self.paths[shard], "is not a complete HDF5 file", str(error)) from None
            start = end
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _file(self, shard: int) -> h5py.File:
        if shard not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._open.pop(next(iter(self._open))).close()
            self._open[shard] = open_shard(self.paths[shard])
        return self._open[shard]
