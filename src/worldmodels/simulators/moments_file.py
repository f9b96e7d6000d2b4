"""What an agent saw at some moments inside a simulator, on disk.

HDF5: `ahead` (N,), steps since the last real frame; `real` and `seen` (N, 4, 84, 84) uint8, the agent's stacks of frames, newest last.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from worldmodels.errors import UserError
from worldmodels.runtime.files import atomic_path, require_file


class Moment(NamedTuple):
    """A moment of a game that a simulator imagines."""

    ahead: int  # steps since the last real frame; 0 where it is one
    real: np.ndarray  # (4, 84, 84) uint8: the stack of real frames, the newest last
    seen: np.ndarray  # (4, 84, 84) uint8: the stack that the agent sees


def write_moments(path: Path, moments: Sequence[Moment]) -> None:
    """Write moments. Equal ones are equal bytes."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for name in Moment._fields:
            values = np.array([getattr(moment, name) for moment in moments])
            file.create_dataset(name, data=values, compression="gzip", shuffle=True, track_times=False)


def read_moments(path: Path) -> list[Moment]:
    """Read them back. Raises UserError when the file is damaged, of another kind, or of a game that ended too soon."""
    require_file(path)
    try:
        with h5py.File(path) as file:
            ahead, real, seen = (np.asarray(file[name]) for name in Moment._fields)
    except (OSError, KeyError) as error:
        raise UserError(
            f"{path} is not a file of what an agent saw ({error}). Delete it and run the same command."
        ) from None
    if len(ahead) == 0:
        raise UserError(
            f"{path} is empty: the game was over before a simulator imagined it. Set agent_play.steps above "
            "evaluation.warm_up."
        )
    return [Moment(int(steps), *stacks) for steps, *stacks in zip(ahead, real, seen, strict=True)]
