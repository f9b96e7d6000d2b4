"""Simulators of video from their files, whatever their kind."""

from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from worldmodels.config.simulators import OPTIONS_OF_KIND, network_module
from worldmodels.config.video import VideoOptions, weights_differ
from worldmodels.errors import UserError
from worldmodels.models.video.network import VideoNetwork
from worldmodels.runtime.weights import read_kind, read_metadata, read_tensors


def build_network(options: VideoOptions) -> VideoNetwork:
    """A new network, with first weights from torch's generator."""
    module = import_module(f"worldmodels.{network_module(options.kind)}")  # type: ignore[attr-defined]
    network: VideoNetwork = module.build(options)
    return network


def load_network(path: Path) -> VideoNetwork:
    """Read a network. Raises UserError when the file is damaged or holds no simulator of video."""
    kind = read_kind(path)
    if kind not in OPTIONS_OF_KIND:
        raise UserError(f"{path} holds weights of '{kind}', which is no simulator of video.")
    options, _ = read_metadata(path, kind, OPTIONS_OF_KIND[kind])
    with torch.device("meta"):
        network = build_network(options)
    network.to_empty(device="cpu")
    _take(path, network, read_tensors(path), strict=True)
    return network


def continue_from(path: Path, network: VideoNetwork) -> None:
    """Give `network` the weights of another training, with the mean of its frames; heads that are new keep their own.

    Raises UserError, in one sentence, when they are of another network.
    """
    kind = network.options.kind
    options, _ = read_metadata(path, kind, OPTIONS_OF_KIND[kind])
    differences = weights_differ(options, network.options)
    if differences:
        raise UserError(
            f"{path} holds weights of another network ({', '.join(differences)}): start from one with the same model options."
        )
    _take(path, network, read_tensors(path), strict=False)


def _take(path: Path, network: VideoNetwork, tensors: dict[str, Tensor], strict: bool) -> None:
    """Copy weights; unless `strict`, heads may be missing. Raises UserError when anything else does not fit."""
    try:
        missing, unknown = network.load_state_dict(tensors, strict=strict)
    except RuntimeError as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path} does not fit this network: {problem} Is it of another experiment?") from None
    names = [*unknown, *(name for name in missing if not name.startswith(("reward_head.", "done_head.")))]
    if names:
        raise UserError(
            f"{path} does not fit this network ({names[0]} is of only one of them): is it of another experiment?"
        )
