"""Models from their files, checked: of the right kind, whole, and made for each other."""

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch

from worldmodels.config.models import ControllerOptions, MDNRNNOptions, VAEOptions
from worldmodels.errors import UserError
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.vae import ConvVAE
from worldmodels.models.world_model import WorldModel
from worldmodels.runtime.files import file_checksum, read_json
from worldmodels.runtime.weights import load_weights, read_metadata, require_same


class Controller(NamedTuple):
    """A controller and its sizes."""

    weights: np.ndarray  # (D,)
    options: ControllerOptions


def load_vae(path: Path) -> ConvVAE:
    """Read V. Raises UserError when the file is damaged or of another kind."""
    options, _ = read_metadata(path, "vae", VAEOptions)
    vae = ConvVAE(options)
    load_weights(path, vae)
    return vae


def load_mdn_rnn(path: Path) -> tuple[MDNRNN, dict[str, str]]:
    """Read M and the checksums of what it was trained on. Raises UserError when the file is damaged or foreign."""
    options, inputs = read_metadata(path, "mdn_rnn", MDNRNNOptions)
    mdn_rnn = MDNRNN(options)
    load_weights(path, mdn_rnn)
    return mdn_rnn, inputs


def load_world_model_files(vae_path: Path, mdn_rnn_path: Path, latents: Path, device: torch.device) -> WorldModel:
    """Read V and M, and make sure that M was trained on this V's latents."""
    vae, (mdn_rnn, inputs) = load_vae(vae_path), load_mdn_rnn(mdn_rnn_path)
    checksum = file_checksum(vae_path)
    require_same(mdn_rnn_path, inputs, "vae", checksum, vae_path)
    with h5py.File(latents, "r") as file:
        require_same(latents, {"vae": str(file.attrs.get("vae_sha256"))}, "vae", checksum, vae_path)
    return WorldModel(vae, mdn_rnn).to(device)


def load_controller(path: Path, mdn_rnn: Path) -> Controller:
    """Read a controller, and make sure that it was evolved in this M."""
    content = read_json(path)
    try:
        weights = np.asarray(content["weights"], dtype=np.float64)
        options = ControllerOptions.model_validate(content["options"])
        checksum = content["mdn_rnn_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not a controller of this version ({error}). Delete it to evolve it again."
        ) from None
    require_same(path, {"mdn_rnn": checksum}, "mdn_rnn", file_checksum(mdn_rnn), mdn_rnn)
    return Controller(weights, options)
