"""Windows of stored Atari episodes, batch by batch: what every video model trains on and is tested with.

Batch n is a function of the seed words and of n alone, so a resumed training needs no stored position. Windows are
drawn independently and uniformly from all that lie within one episode. Time alignment: see data/windows.py.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from worldmodels.data.atari import AtariStore
from worldmodels.data.prefetch import prefetch
from worldmodels.data.windows import Windows
from worldmodels.envs.atari.colours import grey_table
from worldmodels.envs.atari.screens import (
    GameFacts,
    Resolution,
    look_up,
    look_up_on_device,
    make_frames,
    parse_resolution,
)
from worldmodels.errors import UserError
from worldmodels.seeds import generator

PREFETCHED = 3
"""Batches that are made ahead."""


class ScreenDecoder:
    """Makes frames of screens, on the CPU or on a GPU."""

    def __init__(self, colours: np.ndarray, resolution: Resolution, device: torch.device) -> None:
        self.resolution, self.device = resolution, device
        self._table = grey_table(colours) if resolution.grey else colours  # (256, C)

    def __call__(self, screens: np.ndarray) -> Tensor:
        """Screens (N, h, w) uint8 as frames (N, H, W, C) uint8 on the device."""
        if self.device.type == "cpu":
            return make_frames(look_up(screens, self._table), self.resolution.size)
        table = torch.from_numpy(self._table).to(self.device)
        planes = look_up_on_device(torch.from_numpy(screens).to(self.device), table)
        return make_frames(planes, self.resolution.size)


class AtariWindows:
    """Batches of `batch_size` windows of `steps` steps, at a resolution: 'native', 'grey84', 'rgb96', ...

    paths: shards of one data set. Raises UserError when they do not belong together or hold no window.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        batch_size: int,
        steps: int,
        seed_words: tuple[str | int, ...],
        resolution: str = "native",
        device: torch.device | str = "cpu",
    ) -> None:
        self.store = AtariStore(paths)
        self.batch_size, self.steps, self.seed_words = batch_size, steps, seed_words
        self.resolution, self.device = parse_resolution(resolution), torch.device(device)
        self._decode = ScreenDecoder(self.store.colours, self.resolution, self.device)
        self._ends = np.cumsum(np.maximum(self.store.episode_lengths - steps, 0))  # windows up to each episode's end
        if not self.count:
            raise UserError(
                f"no episode of {self.store.paths[0].parent} has {steps + 1} frames, so there is no window of {steps} "
                "steps. Ask for shorter windows, or collect more frames."
            )

    @property
    def count(self) -> int:
        """Number of different windows."""
        return int(self._ends[-1])

    @property
    def facts(self) -> GameFacts:
        """The game, at the windows' resolution."""
        return GameFacts(self.store.game, self.store.actions_count, self.resolution.shape(self.store.screen_shape))

    def first_row(self, window: int) -> int:
        """Row of the store where a window, numbered from 0 to count - 1, begins."""
        episode = int(np.searchsorted(self._ends, window, side="right"))
        before = int(self._ends[episode - 1]) if episode else 0
        return int(self.store.episode_offsets[episode]) + window - before

    def numbers(self, batch: int) -> np.ndarray:
        """Numbers of the windows in batch `batch`, (B,)."""
        return generator(*self.seed_words, "windows", batch).integers(self.count, size=self.batch_size)

    def batch(self, number: int) -> Windows:
        """Batch `number`, on the device."""
        return self.read([self.first_row(int(window)) for window in self.numbers(number)])

    def read(self, rows: Sequence[int]) -> Windows:
        """The windows that begin at `rows` of the store."""
        screens = np.empty((len(rows), self.steps + 1, *self.store.screen_shape), np.uint8)
        for into, row in zip(screens, rows, strict=True):
            into[:] = self.store.screens(row, row + self.steps + 1)
        frames = self._decode(screens.reshape(-1, *self.store.screen_shape))
        return Windows(
            frames=frames.unflatten(0, (len(rows), self.steps + 1)),
            actions=self._facts("actions", rows).long(),
            rewards=self._facts("rewards", rows),
            dones=self._facts("dones", rows),
        )

    def _facts(self, name: str, rows: Sequence[int]) -> Tensor:
        values = np.stack([self.store.facts(name, row, row + self.steps) for row in rows])
        return torch.from_numpy(values).to(self.device)

    def iterate(self, first: int = 0) -> Iterator[Windows]:
        """Yield batches for ever, from batch `first`; a thread makes the next ones meanwhile."""
        return prefetch((self.batch(number) for number in itertools.count(first)), depth=PREFETCHED)
