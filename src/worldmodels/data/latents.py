"""Latents of all frames, and the streams that M learns from.

Time alignment: row t of an episode is (z_t, a_t): the latent of the frame that was seen when a_t was chosen. The target
of row t is z_{t+1} and whether a_t was fatal. The last row of an episode has no z_{t+1}: it is masked, also after a
timeout, and its death target is 1 only if the episode ended in death.

A *stream* is a sequence of whole episodes, one after the other. Streams run in parallel, as rows of a batch; a *chunk*
is a number of consecutive steps of every stream, and the unit of one update.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import h5py
import hdf5plugin
import numpy as np

from worldmodels.data.prefetch import prefetch
from worldmodels.errors import UserError
from worldmodels.runtime.files import atomic_path, require_file
from worldmodels.runtime.space import require_memory
from worldmodels.seeds import generator

FORMAT = "worldmodels-latents-2"
WORKING_BYTES = 500_000_000
"""Memory that a stage needs besides the latents of a data set."""


@dataclass(frozen=True)
class Latents:
    """Gaussian posteriors of all frames of a data set, with what happened there."""

    means: np.ndarray  # (N, Z) float16
    log_variances: np.ndarray  # (N, Z) float16
    actions: np.ndarray  # (N, A) float32
    rewards: np.ndarray  # (N,) float32
    episode_offsets: np.ndarray  # (E + 1,) int64; episode e is rows offsets[e]:offsets[e + 1]
    deaths: np.ndarray  # (E,) bool
    vae_sha256: str

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.deaths)

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each episode, (E,)."""
        return np.diff(self.episode_offsets)

    def first_frames(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Means and log-variances of the first frames of the first `count` episodes, (count, Z) float32 each."""
        rows = self.episode_offsets[:-1][:count]
        return self.means[rows].astype(np.float32), self.log_variances[rows].astype(np.float32)


def latents_bytes(frames: int, latent_size: int) -> int:
    """Memory that means and log-variances of so many frames take, in half precision."""
    return 2 * 2 * frames * latent_size


def write_latents(path: Path, latents: Latents) -> None:
    """Write an HDF5 file atomically; the same latents give the same bytes."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w", track_order=False) as file:
        for name in ("means", "log_variances", "actions", "rewards", "episode_offsets", "deaths"):
            values = getattr(latents, name)
            file.create_dataset(name, data=values, track_times=False, chunks=True, **hdf5plugin.LZ4())
        file.attrs["vae_sha256"] = latents.vae_sha256
        file.attrs["format"] = FORMAT


def read_latents(path: Path) -> Latents:
    """Read all latents into memory (4 Z bytes a frame).

    Raises UserError when the file is damaged or foreign, or the memory too small.
    """
    require_file(path)
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise UserError(f"{path} is not a latents file of this version. Delete it: it is encoded again.")
            names = [name for name in Latents.__dataclass_fields__ if name != "vae_sha256"]
            require_memory(sum(file[name].nbytes for name in names) + WORKING_BYTES, f"reading {path}")
            arrays = {name: file[name][:] for name in names}
            return Latents(**arrays, vae_sha256=file.attrs["vae_sha256"])
    except (OSError, KeyError) as error:
        raise UserError(
            f"{path} is not a complete HDF5 file ({path.stat().st_size:,} bytes: {error}). "
            "Delete it and run the same command: only the encoding is done again."
        ) from None


Values = TypeVar("Values")
"""Arrays, or tensors of the same shapes."""


class WatchedMoments(NamedTuple):
    """N moments within recorded episodes, and the W steps before each of them; those of an earlier episode come before a restart."""

    means: np.ndarray  # (N, W + 1, Z) float32; the last is the moment itself
    log_variances: np.ndarray  # (N, W + 1, Z) float32
    actions: np.ndarray  # (N, W, A) float32
    restarts: np.ndarray  # (N, W) float32, 1 on the first frame of an episode


def draw_moments(latents: Latents, count: int, watched: int, rng: np.random.Generator) -> WatchedMoments:
    """Draw frames of all episodes alike, first ones excepted, with the `watched` steps before them.

    Raises UserError where no episode has two frames.
    """
    inner = np.setdiff1d(np.arange(len(latents.means)), latents.episode_offsets[:-1])
    if not len(inner):
        raise UserError(
            "no recorded episode has two frames: short dreams have no moment to begin at. Collect other rollouts."
        )
    moments = rng.choice(inner, count)  # (N,)
    rows = np.maximum(moments[:, None] + np.arange(-watched, 1), 0)  # (N, W + 1)
    first = np.isin(rows[:, :-1], latents.episode_offsets[:-1])
    return WatchedMoments(
        latents.means[rows].astype(np.float32),
        latents.log_variances[rows].astype(np.float32),
        latents.actions[rows[:, :-1]],
        first.astype(np.float32),
    )


class StreamBatch(NamedTuple, Generic[Values]):
    """One chunk of all streams: B streams, L steps."""

    means: Values  # (B, L, Z) float32
    log_variances: Values  # (B, L, Z) float32
    next_means: Values  # (B, L, Z) posterior of z_{t+1}; anything where `has_next` is 0
    next_log_variances: Values  # (B, L, Z)
    actions: Values  # (B, L, A) float32
    restarts: Values  # (B, L) 1 on the first frame of an episode
    has_next: Values  # (B, L) 0 on the last step of an episode
    fatal: Values  # (B, L) 1 where the action was fatal
    rewards: Values  # (B, L) of the actions


def split_episodes(episodes: int, held_out: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training and held-out episodes, at least one of each: every k-th episode is held out."""
    if episodes < 2:
        raise UserError(f"the data set has {episodes} episode; M needs at least 2, one of them to measure its deaths.")
    every = max(2, round(1 / held_out))
    chosen = np.arange(episodes) % every == every - 1
    if not chosen.any():
        chosen[-1] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


class Streams:
    """Chunks of shuffled episodes in parallel streams, by update number: nothing to store for a resume.

    In each pass the episodes are shuffled, concatenated, and cut into `streams` equal streams; the rest that does not
    fill a chunk is dropped (each pass drops another).
    """

    def __init__(
        self, latents: Latents, episodes: np.ndarray, streams: int, chunk: int, seed_words: tuple[str | int, ...]
    ) -> None:
        self.latents, self.episodes, self.chunk, self.seed_words = latents, episodes, chunk, seed_words
        steps = int(latents.lengths[episodes].sum())
        self.streams = min(streams, max(1, steps // chunk))
        self.updates_per_pass = steps // (self.streams * chunk)
        if self.updates_per_pass == 0:
            raise UserError(
                f"the data set has {steps:,} training steps, fewer than one chunk of {chunk}. "
                "Collect more shards, or set mdn_rnn.chunk lower."
            )
        self._per_row = self._row_facts()
        self._pass: tuple[int, np.ndarray] | None = None

    def _row_facts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For every row of the data set: is it a first row, has it a successor, was its action fatal (float32)."""
        offsets = self.latents.episode_offsets
        first, has_next, fatal = np.zeros(offsets[-1]), np.ones(offsets[-1]), np.zeros(offsets[-1])
        first[offsets[:-1]] = 1
        has_next[offsets[1:] - 1] = 0
        fatal[offsets[1:] - 1] = self.latents.deaths
        return first.astype(np.float32), has_next.astype(np.float32), fatal.astype(np.float32)

    def rows(self, number: int) -> np.ndarray:
        """Data set rows of pass `number` in stream order, (B, updates_per_pass * chunk)."""
        if self._pass is None or self._pass[0] != number:
            order = generator(*self.seed_words, "pass", number).permutation(self.episodes)
            offsets = self.latents.episode_offsets
            rows = np.concatenate([np.arange(offsets[episode], offsets[episode + 1]) for episode in order])
            width = self.updates_per_pass * self.chunk
            self._pass = number, rows[: self.streams * width].reshape(self.streams, width)
        return self._pass[1]

    def batch(self, update: int) -> StreamBatch[np.ndarray]:
        """The chunk of update `update` (counted over all passes)."""
        number, position = divmod(update, self.updates_per_pass)
        rows = self.rows(number)[:, position * self.chunk : (position + 1) * self.chunk]  # (B, L)
        return self.gather(rows, starts_pass=position == 0)

    def gather(self, rows: np.ndarray, starts_pass: bool) -> StreamBatch[np.ndarray]:
        """Build a batch of data set rows (B, L); at the start of a pass every stream restarts."""
        latents = self.latents
        first, has_next, fatal = (facts[rows] for facts in self._per_row)
        if starts_pass:
            first[:, 0] = 1  # a stream may begin inside an episode: its memory begins there too
        following = np.minimum(rows + 1, len(latents.means) - 1)
        return StreamBatch(
            means=latents.means[rows].astype(np.float32),
            log_variances=latents.log_variances[rows].astype(np.float32),
            next_means=latents.means[following].astype(np.float32),
            next_log_variances=latents.log_variances[following].astype(np.float32),
            actions=latents.actions[rows],
            restarts=first,
            has_next=has_next,
            fatal=fatal,
            rewards=latents.rewards[rows],
        )

    def iterate(self, first_update: int) -> Iterator[StreamBatch[np.ndarray]]:
        """Yield batches for ever, from update `first_update`; the next one is gathered while one is used."""
        return prefetch(self.batch(update) for update in itertools.count(first_update))
