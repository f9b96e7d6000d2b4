"""The raw errors of a simulator on disk: every held-out sequence at every horizon, and what the simulator is.

HDF5: `errors` and `copy_last` (N, K), and where they are predicted `reward_hits`, `done_hits`, what saying
"none" always would hit, `no_reward`, `no_end`, and `reward_scores` with `rewarded`, whether there was one;
attributes: `frame_shape`, `parameters` and the operations of an imagined step.
"""

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from worldmodels.errors import UserError
from worldmodels.runtime.files import atomic_path, require_file
from worldmodels.simulators.prediction_error import COLUMNS, HorizonErrors


class Costs(NamedTuple):
    """What a simulator is and takes."""

    parameters: int
    operations_drawn: int  # floating-point operations of one imagined step of one game, with its frame
    operations: int  # without it, where the model allows that


def write_errors(path: Path, errors: HorizonErrors, costs: Costs) -> None:
    """Write errors, in the normalisation `per-number`. Equal errors are equal bytes."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for name in COLUMNS:
            values = getattr(errors, name)
            if values is not None:
                file.create_dataset(name, data=values, compression="gzip", shuffle=True, track_times=False)
        file.attrs["frame_shape"] = errors.frame_shape
        file.attrs["normalisation"] = "per-number"
        for name, value in costs._asdict().items():
            file.attrs[name] = value


def read_errors(path: Path) -> tuple[HorizonErrors, Costs]:
    """Read them back. Raises UserError when the file is damaged or of another kind."""
    require_file(path)
    try:
        with h5py.File(path) as file:
            columns = {name: np.asarray(file[name]) if name in file else None for name in COLUMNS}
            height, width, channels = (int(size) for size in file.attrs["frame_shape"])
            costs = Costs(*(int(file.attrs[name]) for name in Costs._fields))
    except (OSError, KeyError) as error:
        raise UserError(
            f"{path} is not a file of prediction errors ({error}). Delete it and run the same command."
        ) from None
    return HorizonErrors(**columns, frame_shape=(height, width, channels)), costs  # type: ignore[arg-type]
