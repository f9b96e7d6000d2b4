"""Windows from games that go on while a model learns: an agent plays, and only its newest frames are remembered.

The same interface as data/atari_windows.py. Before each batch every game advances a few rows; windows are drawn from
the memory. A training that goes on after a kill begins with new episodes: it resumes, but not bit by bit.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from worldmodels.config.atari import AtariShardOptions, OnlineOptions
from worldmodels.data.atari import NO_ACTION
from worldmodels.data.atari_play import Play, Rows
from worldmodels.data.atari_windows import PREFETCHED, ScreenDecoder
from worldmodels.data.prefetch import prefetch
from worldmodels.data.windows import Windows
from worldmodels.envs.atari.screens import GameFacts, parse_resolution
from worldmodels.errors import UserError
from worldmodels.runtime.space import require_memory
from worldmodels.seeds import COLLECTION_SEEDS, generator

MOST_DRAWS = 10_000
"""Draws of a window without success, after which there is none."""


class OnlineWindows:
    """Batches of `batch_size` windows of `steps` steps of games that `agent` (None: random actions) plays meanwhile.

    Raises UserError when the memory of the machine is too small for `online.memory` frames, or holds no window.
    """

    def __init__(
        self,
        play: AtariShardOptions,
        agent: Path | None,
        online: OnlineOptions,
        batch_size: int,
        steps: int,
        seed_words: tuple[str | int, ...],
        resolution: str = "native",
        device: torch.device | str = "cpu",
    ) -> None:
        self.options, self.agent, self.online = play, agent, online
        self.batch_size, self.steps, self.seed_words = batch_size, steps, seed_words
        self.resolution, self.device = parse_resolution(resolution), torch.device(device)
        self._begin(0)
        if self.length <= steps:
            raise UserError(
                f"online.memory of {online.memory} frames is {self.length} for each of {play.parallel_games} games: "
                f"too few for windows of {steps} steps."
            )

    @property
    def facts(self) -> GameFacts:
        """The game, at the windows' resolution."""
        shape = self.resolution.shape(self._play.screen_shape)
        return GameFacts(self.options.task.game, len(self._play.action_codes), shape)

    def _begin(self, first: int) -> None:
        """Begin new games, whose episodes are those of batch `first`."""
        words = (*self.seed_words, "online", first)
        self._play = Play(
            self.options,
            self.agent,
            lambda number: COLLECTION_SEEDS[int(generator(*words, number).integers(len(COLLECTION_SEEDS)))],
        )
        games = self.options.parallel_games
        self.length = self.online.memory // games  # rows of each game that are remembered
        shape = (games, self.length)
        pixels = int(np.prod(self._play.screen_shape))
        require_memory(self.online.memory * pixels, f"remembering {self.online.memory:,} frames")
        self._screens = np.zeros((*shape, *self._play.screen_shape), np.uint8)
        self._rows = Rows(
            np.full(shape, NO_ACTION, np.int8),
            np.zeros(shape, np.float32),
            np.zeros(shape, bool),
            np.zeros(shape, bool),
        )
        self.played = 0  # rows of each game, in all

    def advance(self) -> None:
        """Play a row of each game; it takes the place of the oldest."""
        place = self.played % self.length
        screens = np.empty((self.options.parallel_games, *self._play.screen_shape), np.uint8)
        added = self._play.advance(screens, self.played)
        self._screens[:, place] = screens
        for all_rows, values in zip(self._rows, added, strict=True):
            all_rows[:, place] = values
        self.played += 1

    def batch(self, number: int) -> Windows:
        """Play on, then draw a batch. `number` only chooses the random numbers."""
        first_rows = -(-max(self.online.first_frames, self.steps + 1) // self.options.parallel_games)
        wanted = max(self.played + self.online.rows_per_batch, first_rows, self.steps + 1)
        while self.played < wanted:
            self.advance()
        rng = generator(*self.seed_words, "windows", number)
        return self._read([self._draw(rng) for _ in range(self.batch_size)])

    def _draw(self, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """A game and the places of a window's steps + 1 rows in its memory, all of one episode."""
        oldest = max(0, self.played - self.length)
        for _ in range(MOST_DRAWS):
            game = int(rng.integers(self.options.parallel_games))
            start = int(rng.integers(oldest, self.played - self.steps))
            places = np.arange(start, start + self.steps + 1) % self.length
            if (self._rows.actions[game, places[:-1]] != NO_ACTION).all():
                return game, places
        raise UserError(
            f"no remembered episode has {self.steps + 1} frames, so there is no window of {self.steps} steps. Ask for "
            "shorter windows, or set online.memory higher."
        )

    def _read(self, drawn: list[tuple[int, np.ndarray]]) -> Windows:
        screens = np.concatenate([self._screens[game, places] for game, places in drawn])
        decode = ScreenDecoder(self._play.colours.rgb, self.resolution, self.device)
        actions, rewards, dones, _ = (
            torch.from_numpy(np.stack([values[game, places[:-1]] for game, places in drawn])).to(self.device)
            for values in self._rows
        )
        frames = decode(screens).unflatten(0, (len(drawn), self.steps + 1))
        return Windows(frames, actions.long(), rewards, dones)

    def iterate(self, first: int = 0) -> Iterator[Windows]:
        """Yield batches for ever, from batch `first`; the games go on in a thread."""
        self._begin(first)
        return prefetch((self.batch(number) for number in itertools.count(first)), depth=PREFETCHED)
