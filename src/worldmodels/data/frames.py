"""Shuffled batches of frames for V, by step number: a resumed training needs no stored position.

Compressed chunks cannot be read frame by frame. So in each epoch the chunks are permuted, groups of chunks that fill a
bounded buffer are read, the frames of a group are permuted, and batches are cut from that order. Memory is bounded by
two groups, whatever the number of rollouts. Batches do not cross groups: what does not fill one is left out (of each group
less than a batch, of other frames in each epoch). Where an epoch has fewer frames than a batch, it is one smaller batch.

A part of an epoch is a part of every chunk, its frames equally far apart: neighbours differ little, so a few frames of
every moment show more than all frames of a few.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch

from worldmodels.data.prefetch import prefetch
from worldmodels.seeds import generator

FRAME_BYTES = 64 * 64 * 3
GROUP_BYTES = 100_000_000
"""Frames of one group: about 8,100."""


class FrameStore(Protocol):
    """Frames on disk, in chunks: see RolloutFrames."""

    @property
    def chunk_bounds(self) -> list[tuple[int, int]]:
        """(start, stop) of every chunk."""
        ...

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames start:stop, uint8."""
        ...


class Group(NamedTuple):
    """Frames that are shuffled together: a share of each of these chunks."""

    chunks: list[int]
    epoch: int
    share: float


class FrameBatches:
    """`len(batches)` batches, the same for the same seed words. epochs may be a fraction: 0.5 takes every second frame."""

    def __init__(
        self,
        frames: FrameStore,
        batch_size: int,
        epochs: float,
        seed_words: tuple[str | int, ...],
        group_bytes: int = GROUP_BYTES,
    ) -> None:
        self.frames, self.batch_size, self.seed_words = frames, batch_size, seed_words
        longest = max(b - a for a, b in frames.chunk_bounds)
        self.chunks_per_group = max(1, group_bytes // (FRAME_BYTES * longest), -(-batch_size // longest))
        self.groups = self._plan(epochs)
        sizes = [self._frames_of(group) for group in self.groups]
        if max(sizes) < batch_size:
            everything = list(range(len(frames.chunk_bounds)))
            self.groups = [Group(everything, epoch, min(1.0, epochs - epoch)) for epoch in range(math.ceil(epochs))]
            sizes = [self._frames_of(group) for group in self.groups]
            self.batch_size = min(batch_size, sizes[0])
        self.first_steps = np.concatenate([[0], np.cumsum([size // self.batch_size for size in sizes])])

    def _plan(self, epochs: float) -> list[Group]:
        """The groups, epoch after epoch."""
        groups: list[Group] = []
        for epoch in range(math.ceil(epochs)):
            share = min(1.0, epochs - epoch)
            order = generator(*self.seed_words, "chunks", epoch).permutation(len(self.frames.chunk_bounds))
            size = int(self.chunks_per_group / share)
            groups += [
                Group(order[start : start + size].tolist(), epoch, share) for start in range(0, len(order), size)
            ]
        return groups

    def _frames_of(self, group: Group) -> int:
        """Frames of a group that are used."""
        return sum(self._count(chunk, group.share) for chunk in group.chunks)

    def _count(self, chunk: int, share: float) -> int:
        """Frames of a chunk that are used."""
        start, stop = self.frames.chunk_bounds[chunk]
        return max(1, round(share * (stop - start)))

    def __len__(self) -> int:
        return int(self.first_steps[-1])

    def iterate(self, first_step: int) -> Iterator[np.ndarray]:
        """Yield batches (B, 64, 64, 3) uint8 from `first_step` on; a thread reads the next group meanwhile."""
        return self._cut(first_step, lambda numbers: prefetch(self.read_group(number) for number in numbers))

    def rows(self, first_step: int) -> Iterator[np.ndarray]:
        """As `iterate`, but the rows (B,) of the frames instead of the frames: for frames that lie in memory."""
        return self._cut(first_step, lambda numbers: (self.group_rows(number) for number in numbers))

    def _cut(self, first_step: int, make: Callable[[range], Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
        """Cut groups that `make` makes into batches."""
        first_group = int(np.searchsorted(self.first_steps, first_step, side="right")) - 1
        numbers = range(first_group, len(self.groups))
        for number, group in zip(numbers, make(numbers), strict=True):
            skipped = max(0, first_step - int(self.first_steps[number]))
            count = int(self.first_steps[number + 1] - self.first_steps[number])
            for batch in range(skipped, count):
                yield group[batch * self.batch_size : (batch + 1) * self.batch_size]

    def read_group(self, number: int) -> np.ndarray:
        """The shuffled frames of one group, (n, 64, 64, 3) uint8."""
        order = self._order(number)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        shuffled = np.empty((len(order), 64, 64, 3), np.uint8)
        row = 0
        for rows in self._rows(number):
            start = int(rows[0])
            frames = self.frames.read(start, int(rows[-1]) + 1)
            shuffled[place[row : row + len(rows)]] = frames[rows - start]
            row += len(rows)
        return shuffled

    def group_rows(self, number: int) -> np.ndarray:
        """The rows of a group's frames, (n,), shuffled as `read_group` shuffles the frames."""
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows(number)])
        return rows[self._order(number)]

    def _rows(self, number: int) -> list[np.ndarray]:
        """Rows of a group's frames, chunk by chunk."""
        group = self.groups[number]
        return [self._kept(chunk, group) for chunk in sorted(group.chunks)]

    def _kept(self, chunk: int, group: Group) -> np.ndarray:
        """Rows of a chunk that are used: all, or so many, equally far apart, from a random one on."""
        start, stop = self.frames.chunk_bounds[chunk]
        if group.share == 1:
            return np.arange(start, stop)
        count = self._count(chunk, group.share)
        first = generator(*self.seed_words, "kept", group.epoch, chunk).random()
        return start + ((np.arange(count) + first) * ((stop - start) / count)).astype(np.int64)

    def _order(self, number: int) -> np.ndarray:
        """Which of a group's frames comes first, second, ..."""
        group = self.groups[number]
        return generator(*self.seed_words, "frames", number).permutation(self._frames_of(group))


def fits_on(device: torch.device, frames: FrameStore) -> bool:
    """Whether all frames take at most the half of what a GPU has free; never true of a CPU."""
    needed = frames.chunk_bounds[-1][1] * FRAME_BYTES
    return device.type == "cuda" and needed < torch.cuda.mem_get_info(device)[0] / 2


def load_frames(frames: FrameStore, device: torch.device) -> torch.Tensor:
    """All frames on `device`, (N, 64, 64, 3) uint8; the host holds one chunk at a time."""
    loaded = torch.empty((frames.chunk_bounds[-1][1], 64, 64, 3), dtype=torch.uint8, device=device)
    for start, stop in frames.chunk_bounds:
        loaded[start:stop] = torch.as_tensor(frames.read(start, stop))
    return loaded


def batches_on_device(batches: FrameBatches, device: torch.device) -> Callable[[int], Iterator[torch.Tensor]]:
    """The same batches as `batches.iterate`, on `device`: gathered there if all frames fit, copied there if not."""
    if not fits_on(device, batches.frames):
        return lambda first_step: (torch.as_tensor(batch).to(device) for batch in batches.iterate(first_step))
    return gathered(batches, load_frames(batches.frames, device))


def gathered(batches: FrameBatches, loaded: torch.Tensor) -> Callable[[int], Iterator[torch.Tensor]]:
    """The batches of `batches`, gathered out of frames (N, 64, 64, 3) that were loaded before."""
    return lambda first_step: (
        loaded[torch.from_numpy(rows).to(loaded.device)] for rows in prefetch(batches.rows(first_step), depth=4)
    )
