"""Every random stream of the project, in one place.

A stream is a `numpy.random.SeedSequence` over integers that say whose randomness it is: the crc32 of the stage's name,
the training seed, the purpose, and further indices. Two streams with different words never share numbers (zeros at
the end of up to four words do not make them different), and no
stream depends on the order in which work is done.

Episodes of real environments take plain integer seeds. Their ranges are disjoint by purpose, so that an episode that
trained or selected an agent never reports it:

    collection      0 ...   999,999,999     rollouts of data sets
    selection   1,000,000,000 ... 1,499,999,999    episodes that choose between controllers
    report      1,500,000,000 ... 1,999,999,999    episodes behind every published score
"""

import zlib

import numpy as np

COLLECTION_SEEDS = range(0, 1_000_000_000)
SELECTION_SEEDS = range(1_000_000_000, 1_500_000_000)
REPORT_SEEDS = range(1_500_000_000, 2_000_000_000)


def seed_sequence(*words: str | int) -> np.random.SeedSequence:
    """Return the stream named by `words`: strings enter by their crc32, integers as they are (>= 0)."""
    entropy = [zlib.crc32(word.encode()) if isinstance(word, str) else int(word) for word in words]
    return np.random.SeedSequence(entropy)


def generator(*words: str | int) -> np.random.Generator:
    """Return a fresh generator at the start of the stream named by `words`."""
    return np.random.Generator(np.random.PCG64(seed_sequence(*words)))


def integer_seed(*words: str | int) -> int:
    """Return a 63-bit seed for libraries that take one integer (torch). Never 0, which means the clock to some."""
    return int(seed_sequence(*words).generate_state(1, np.uint64)[0] >> np.uint64(1)) | 1


def episode_seeds(purpose: range, *words: str | int, count: int) -> list[int]:
    """Return `count` distinct episode seeds of the range `purpose`, the same for the same words.

    A larger `count` keeps the seeds of a smaller one as its beginning (up to a million).
    """
    start = int(generator("episodes", *words).integers(0, len(purpose) - max(count, 1_000_000)))
    return [purpose[start + index] for index in range(count)]
