"""V from its file. Apart from `files`, so that encoding depends on no other network's code."""

from pathlib import Path

from worldmodels.config.models import VAEOptions
from worldmodels.models.vae import ConvVAE
from worldmodels.runtime.weights import load_weights, read_metadata


def load_vae(path: Path) -> ConvVAE:
    """Read V. Raises UserError when the file is damaged or of another kind."""
    options, _ = read_metadata(path, "vae", VAEOptions)
    vae = ConvVAE(options)
    load_weights(path, vae)
    return vae
