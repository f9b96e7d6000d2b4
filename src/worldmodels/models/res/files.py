"""A recurrent simulator from its file."""

from pathlib import Path

from worldmodels.config.simulators import RESOptions
from worldmodels.models.res.network import RES
from worldmodels.runtime.weights import load_weights, read_metadata

KIND = "res"


def load_res(path: Path) -> RES:
    """Read a simulator. Raises UserError when the file is damaged or of another kind."""
    options, _ = read_metadata(path, KIND, RESOptions)
    network = RES(options)
    load_weights(path, network)
    return network
