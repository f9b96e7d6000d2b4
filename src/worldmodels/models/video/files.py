"""Simulators of video from their files, whatever their kind."""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worldmodels.config.simulators import OPTIONS_OF_KIND, network_module
from worldmodels.config.video import VideoOptions
from worldmodels.errors import UserError
from worldmodels.models.video.network import VideoNetwork
from worldmodels.runtime.weights import read_kind, read_metadata, read_tensors

ADDED = ("predict_reward", "predict_done")
"""Heads, which a later stage of a curriculum may add."""
MAY_DIFFER = {*ADDED, "feedback", "reward_target", "gate_gradient_clip", "learns"}
"""Options that a later stage may change: no weight of an earlier one depends on them, or its sizes show it."""


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
    differences = _differences(options, network.options)
    if differences:
        raise UserError(
            f"{path} holds weights of another network ({', '.join(differences)}): start from one with the same model options."
        )
    _take(path, network, read_tensors(path), strict=False)


def _differences(theirs: Any, ours: Any) -> list[str]:
    """What of the options forbids to go on from weights of `theirs`."""
    pairs = {name: (getattr(theirs, name), getattr(ours, name)) for name in type(ours).model_fields}
    lost = {name for name in ADDED if pairs[name] == (True, False)}
    wrong = [name for name, (one, other) in pairs.items() if one != other and (name not in MAY_DIFFER or name in lost)]
    return [f"its {name} is {_shown(pairs[name][0])}, here {_shown(pairs[name][1])}" for name in wrong]


def _shown(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else str(value)


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
