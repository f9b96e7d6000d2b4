"""Random numbers that belong to (rollout, step), whatever else is in the batch and in whatever order."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from worldmodels.seeds import generator

BLOCK_STEPS = 32
"""Steps for which a row's random words are drawn at once. The numbers do not depend on it."""

Words = tuple[str | int, ...]


class RowStreams:
    """A stream of uniform and normal numbers for each row of a batch.

    A row's n-th draw depends on its words and on n alone: not on the other rows, which may leave. numpy's generators
    give 32-bit words row by row, and torch turns them into numbers for all rows at once, which is four times as fast
    as numpy's own normal numbers.
    """

    def __init__(
        self,
        words: Sequence[Words],
        size: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.size, self.device, self.dtype = size, device, dtype
        self._generators = [generator(*row) for row in words]
        self._rows: Tensor | None = None  # rows of the block that are still in the batch; None: all
        width = math.ceil(3 * size / 2)  # 64-bit words a step: three 32-bit words a number pair
        self._words = np.empty((len(words), BLOCK_STEPS * width), dtype=np.uint64)
        self._step = BLOCK_STEPS

    def __len__(self) -> int:
        return len(self._generators) if self._rows is None else len(self._rows)

    def draw(self) -> tuple[Tensor, Tensor]:
        """The next uniform numbers in [0, 1) and standard normal numbers of every row, (B, size) each."""
        if self._step == BLOCK_STEPS:
            self._fill()
        bits = self._block[:, self._step]  # (B, >= 3 * size) int32
        self._step += 1
        bits = bits if self._rows is None else bits[self._rows]
        uniform, radius, angle = (bits[:, part * self.size : (part + 1) * self.size] for part in range(3))
        return uniform_numbers(uniform).to(self.dtype), normal_numbers(radius, angle).to(self.dtype)

    def select(self, rows: Tensor) -> None:
        """Keep `rows` (indices), in their order."""
        rows = rows.to(self.device)
        self._rows = rows if self._rows is None else self._rows[rows]

    def _fill(self) -> None:
        """Draw the next block of the rows that are left."""
        if self._rows is not None:
            self._generators = [self._generators[row] for row in self._rows.tolist()]
            self._rows = None
        words = self._words[: len(self._generators)]  # the same memory again: fresh memory costs more than its numbers
        for row, stream in zip(words, self._generators, strict=True):
            row[:] = stream.bit_generator.random_raw(len(row))
        self._block = torch.from_numpy(words.view(np.int32)).to(self.device).view(len(words), BLOCK_STEPS, -1)
        self._step = 0


def uniform_numbers(bits: Tensor) -> Tensor:
    """Uniform float32 numbers in [0, 1) of int32 `bits`: the upper 24, which float32 holds exactly."""
    return (bits >> 8).bitwise_and_(0xFFFFFF).to(torch.float32).mul_(2**-24)


def normal_numbers(radius: Tensor, angle: Tensor) -> Tensor:
    """Standard normal float32 numbers of two times 32 `bits` each (Box and Muller 1958); at most 5.9 in size."""
    exponent = uniform_numbers(radius).add_(2**-25).log_().mul_(-2)
    return exponent.sqrt_().mul_(uniform_numbers(angle).mul_(2 * math.pi).cos_())
