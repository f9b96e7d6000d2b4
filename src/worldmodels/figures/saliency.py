"""What an agent looks at: guided back-propagation from the action that it prefers to the frames that it sees.

Springenberg et al. 2015, Striving for Simplicity, section 3.4: the gradient of an output, of which every ReLU passes back only what is
positive, where its own input was.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from captum.attr import GuidedBackprop
from matplotlib.colors import to_rgb
from torch import Tensor, nn

from worldmodels.figures.style import ORANGE
from worldmodels.models.atari_agent import AtariAgent
from worldmodels.simulators.moments_file import Moment

DIMMED = 0.6
"""Brightness of a frame that saliency is drawn over."""


def guided_gradients(network: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
    """Guided gradients, shaped like the inputs (N, ...), of one output (N,) of each row. Every nn.ReLU is used once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks")  # it always says so
        return GuidedBackprop(network).attribute(inputs.detach().requires_grad_(), target=outputs)


def saliency(agent: AtariAgent, stacks: np.ndarray) -> np.ndarray:
    """Where an agent looks, (N, 84, 84) in [0, 1], in stacks (N, 4, 84, 84) uint8: the largest of a stack, relative to the picture's.

    From the action that scores highest: its value where the agent learned by DQN, its logit where by A2C.
    """
    frames = torch.from_numpy(stacks).float()
    with torch.no_grad():
        best = agent(frames).argmax(dim=1)
    strength = guided_gradients(agent, frames, best).abs().amax(dim=1)
    largest = strength.amax(dim=(1, 2), keepdim=True)
    return (strength / torch.where(largest > 0, largest, 1)).numpy()


def overlaid(frames: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Grey frames (N, H, W) uint8, dimmed, under orange as opaque as `shares` (N, H, W) in [0, 1]: (N, H, W, 3) uint8."""
    opaque, colour = shares[..., None], 255 * np.array(to_rgb(ORANGE))
    return np.round(DIMMED * frames[..., None] * (1 - opaque) + colour * opaque).astype(np.uint8)


def saliency_rows(agent: AtariAgent, moments: Sequence[Moment]) -> Mapping[str, np.ndarray]:
    """Newest frames of some moments and where the agent looks, rows of pictures (N, 84, 84, 1 or 3) uint8 by name."""
    rows: dict[str, np.ndarray] = {}
    for name, stacks in (("real", [one.real for one in moments]), ("seen", [one.seen for one in moments])):
        newest = np.stack(stacks)[:, -1]
        rows[name] = newest[..., None]
        rows[f"{name}, saliency"] = overlaid(newest, saliency(agent, np.stack(stacks)))
    return rows
