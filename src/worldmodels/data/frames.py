"""Shuffled batches of frames for V, by step number: a resumed training needs no stored position.

Compressed chunks cannot be read frame by frame. So in each epoch the chunks are permuted, groups of chunks that fill a
bounded buffer are read, the frames of a group are permuted, and batches are cut from that order. Memory is bounded by
two groups, whatever the number of rollouts. Batches do not cross groups: what does not fill one is left out (at most
one batch in hundreds, another one in each epoch).
"""

import math
import queue
import threading
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from worldmodels.seeds import generator

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


class FrameBatches:
    """`len(batches)` batches, the same for the same seed words. epochs may be a fraction: 0.5 reads half the chunks."""

    def __init__(
        self,
        frames: FrameStore,
        batch_size: int,
        epochs: float,
        seed_words: tuple[str | int, ...],
        group_bytes: int = GROUP_BYTES,
    ) -> None:
        self.frames, self.batch_size, self.seed_words = frames, batch_size, seed_words
        frame_bytes = 64 * 64 * 3
        self.chunks_per_group = max(1, group_bytes // (frame_bytes * max(b - a for a, b in frames.chunk_bounds)))
        self.groups = self._plan(epochs)
        batches = [
            sum(frames.chunk_bounds[c][1] - frames.chunk_bounds[c][0] for c in g) // batch_size for g in self.groups
        ]
        if not sum(batches):  # fewer frames than a batch: one batch of all
            self.batch_size = sum(b - a for a, b in frames.chunk_bounds)
            batches = [1, *[0] * (len(self.groups) - 1)]
            self.groups = [list(range(len(frames.chunk_bounds))), *[[] for _ in self.groups[1:]]]
        self.first_steps = np.concatenate([[0], np.cumsum(batches)])

    def _plan(self, epochs: float) -> list[list[int]]:
        """Chunks of every group, epoch after epoch."""
        groups: list[list[int]] = []
        count = len(self.frames.chunk_bounds)
        for epoch in range(math.ceil(epochs)):
            share = min(1.0, epochs - epoch)
            order = generator(*self.seed_words, "chunks", epoch).permutation(count)[: max(1, round(share * count))]
            size = self.chunks_per_group
            groups += [order[start : start + size].tolist() for start in range(0, len(order), size)]
        return groups

    def __len__(self) -> int:
        return int(self.first_steps[-1])

    def iterate(self, first_step: int) -> Iterator[np.ndarray]:
        """Yield batches (B, 64, 64, 3) uint8 from `first_step` on; a thread reads the next group meanwhile."""
        first_group = int(np.searchsorted(self.first_steps, first_step, side="right")) - 1
        waiting: queue.Queue = queue.Queue(maxsize=1)
        ended = threading.Event()
        reader = threading.Thread(target=self._read_ahead, args=(first_group, waiting, ended), daemon=True)
        reader.start()
        try:
            for number in range(first_group, len(self.groups)):
                group = waiting.get()
                if isinstance(group, BaseException):
                    raise group
                skipped = max(0, first_step - int(self.first_steps[number]))
                count = int(self.first_steps[number + 1] - self.first_steps[number])
                for batch in range(skipped, count):
                    yield group[batch * self.batch_size : (batch + 1) * self.batch_size]
        finally:
            ended.set()

    def _read_ahead(self, first_group: int, waiting: queue.Queue, ended: threading.Event) -> None:
        for number in range(first_group, len(self.groups)):
            try:
                group: np.ndarray | BaseException = self.read_group(number)
            except BaseException as error:
                group = error
            while not ended.is_set():
                try:
                    waiting.put(group, timeout=0.5)
                    break
                except queue.Full:
                    continue
            if ended.is_set() or isinstance(group, BaseException):
                return

    def read_group(self, number: int) -> np.ndarray:
        """The shuffled frames of one group, (n, 64, 64, 3) uint8."""
        bounds = [self.frames.chunk_bounds[chunk] for chunk in sorted(self.groups[number])]
        if not bounds:
            return np.empty((0, 64, 64, 3), np.uint8)
        order = generator(*self.seed_words, "frames", number).permutation(sum(b - a for a, b in bounds))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        shuffled = np.empty((len(order), 64, 64, 3), np.uint8)
        row = 0
        for start, stop in bounds:
            shuffled[place[row : row + stop - start]] = self.frames.read(start, stop)
            row += stop - start
        return shuffled
