"""What a step of a simulator of video costs, counted by running it: multiply-adds, of what each layer's weights take in."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from worldmodels.config.video import VideoOptions
from worldmodels.models.video.files import build_network


class Operations(NamedTuple):
    """Multiply-adds of one game."""

    observe: int  # taking in a real frame
    imagine: int  # an imagined step, with the drawing that it needs
    draw: int  # drawing what the memory predicts


@torch.no_grad()
def multiply_adds(options: VideoOptions) -> Operations:
    """Count a step of each kind. A network that sees stacked frames computes when it draws, and takes in for nothing."""
    network: Any = build_network(options).eval()
    counted = [0]
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(_counter(counted))
    frame = torch.zeros(1, 1, network.options.channels, network.options.height, network.options.width)
    action = torch.zeros(1, 1, dtype=torch.long)
    begin = network.initial_state(1)
    steps: list[Callable[[], Any]] = [
        lambda: network.observe(frame, action, begin),
        lambda: network.imagine(begin, action[:, 0]),
        lambda: network.draw(begin),
    ]
    return Operations(*(_count(counted, step) for step in steps))


def _count(counted: list[int], step: Callable[[], Any]) -> int:
    counted[0] = 0
    step()
    return counted[0]


def _counter(counted: list[int]) -> Callable[..., None]:
    def count(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            counted[0] += layer.in_features * layer.out_features
        else:
            planes = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
            counted[0] += layer.weight.numel() * planes.shape[2] * planes.shape[3]

    return count
