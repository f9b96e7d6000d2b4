"""Means, standard deviations and confidence intervals of episode scores.

The standard deviation is over episodes, as the papers report it (with n - 1). The interval says where the mean would lie
if training and playing were repeated. Where each training seed has episodes of its own, a two-level bootstrap draws training
seeds, then episodes within each. Where all are scored on the same ones, as simulators are on held-out sequences, their scores
rise and fall together: training seeds and episodes are then drawn apart, the same episodes for every seed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from worldmodels.seeds import generator

RESAMPLES = 10_000
LEVEL = 0.95
BLOCK_NUMBERS = 2_000_000
"""Numbers that a block of resamples may hold at once: 16 MB."""


class Summary(NamedTuple):
    """A score with its uncertainty."""

    mean: float
    sd: float  # over episodes
    low: float  # 95 % interval of the mean
    high: float
    episodes: int
    seeds: int  # with one training seed, the interval covers episodes only


def summarise(groups: Sequence[Sequence[float]], same_episodes: bool = False) -> Summary:
    """Summarise scores, one group of episodes per training seed; every seed has the same weight in the mean.

    same_episodes: entry n of every group is of the same episode. Raises ValueError for an empty group, or for groups of the same
    episodes that are not equally long.
    """
    scores = [np.asarray(group, dtype=np.float64) for group in groups]
    if not scores or any(len(group) == 0 for group in scores):
        raise ValueError("every training seed needs at least one episode")
    pooled = np.concatenate(scores)
    low, high = crossed_interval(np.stack(scores)) if same_episodes else bootstrap_interval(scores)
    mean = float(np.mean([group.mean() for group in scores]))
    sd = float(pooled.std(ddof=1)) if len(pooled) > 1 else 0.0
    return Summary(mean, sd, low, high, len(pooled), len(scores))


def bootstrap_interval(groups: Sequence[np.ndarray]) -> tuple[float, float]:
    """95 % percentile interval of the mean of group means, by resampling groups and then episodes within them.

    With one group only its episodes are resampled. The random stream is fixed: the same scores give the same interval.
    """
    rng = generator("bootstrap")
    # Drawn anew for every place: a group that is drawn twice contributes two independent resamples.
    means = np.stack([_drawn(rng, groups) for _ in groups])  # (S, RESAMPLES)
    return _middle(means.mean(axis=0))


def crossed_interval(scores: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval of the mean of scores (S, N) of S training seeds on the same N episodes.

    Each resample draws seeds, and once for all of them episodes. With one seed it is bootstrap_interval's.
    """
    rng = generator("bootstrap")
    means = _group_means(rng, scores)  # (S, RESAMPLES)
    if len(scores) > 1:
        chosen = rng.integers(len(scores), size=means.shape)
        means = np.take_along_axis(means, chosen, axis=0)
    return _middle(means.mean(axis=0))


def _middle(means: np.ndarray) -> tuple[float, float]:
    """What lies between the tails of resampled means (RESAMPLES,)."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def roc_area(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the ROC curve: how often a positive has a higher score than a negative; ties count half.

    scores: (N,) numbers. positive: (N,) bool. None where all are positive, or none is.
    """
    positives = int(positive.sum())
    negatives = positive.size - positives
    if not positives or not negatives:
        return None
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[group]  # from 1; equal scores share their mean rank
    above = ranks[positive].sum() - positives * (positives + 1) / 2  # Mann-Whitney's U
    return float(above / (positives * negatives))


def _drawn(rng: np.random.Generator, groups: Sequence[np.ndarray]) -> np.ndarray:
    """Means of resamples of one randomly drawn group each, (RESAMPLES,)."""
    candidates = np.stack([_group_means(rng, group) for group in groups])  # (S, RESAMPLES)
    chosen = rng.integers(len(groups), size=RESAMPLES)
    return candidates[chosen, np.arange(RESAMPLES)]


def _group_means(rng: np.random.Generator, scores: np.ndarray) -> np.ndarray:
    """Means of RESAMPLES resamples of `scores` (N,), or of each row of (S, N) with the same episodes, (..., RESAMPLES).

    In blocks of bounded memory.
    """
    episodes = scores.shape[-1]
    block = max(1, BLOCK_NUMBERS // scores.size)
    parts = []
    for start in range(0, RESAMPLES, block):
        count = min(block, RESAMPLES - start)
        parts.append(scores[..., rng.integers(episodes, size=(count, episodes))].mean(axis=-1))
    return np.concatenate(parts, axis=-1)
