"""Linear controller of World Models (Ha & Schmidhuber 2018, sections 2.3 and 4.2): a = tanh(W [z, c, h] + b).

Time alignment: at time t it sees z_t and the LSTM's state (c, h) BEFORE M consumes (z_t, a_t).

Its weights are one flat vector, so that an evolution strategy can search them: W row by row, each row in the order
z, c, h (those that it sees), then b, if it has one.
"""

import torch
from torch import Tensor

from worldmodels.config.models import ControllerOptions


def features_size(options: ControllerOptions, latent_size: int, hidden_size: int) -> int:
    """Numbers that the controller sees."""
    return latent_size + {"z": 0, "z-h": 1, "z-c-h": 2}[options.inputs] * hidden_size


def controller_size(options: ControllerOptions, latent_size: int, hidden_size: int, action_size: int) -> int:
    """Number of weights: 1088 for Doom (z-c-h, no bias), 867 for CarRacing (z-h, three actions, bias)."""
    return action_size * (features_size(options, latent_size, hidden_size) + options.bias)


def controller_features(options: ControllerOptions, latent: Tensor, cell: Tensor, hidden: Tensor) -> Tensor:
    """What the controller sees, (B, F), of latent (B, Z) and the LSTM's cell and hidden state (B, H)."""
    seen = {"z": (latent,), "z-h": (latent, hidden), "z-c-h": (latent, cell, hidden)}[options.inputs]
    return torch.cat(seen, dim=-1)


def split_weights(weights: Tensor, options: ControllerOptions, action_size: int) -> tuple[Tensor, Tensor | None]:
    """View flat weights (..., D) as matrices (..., A, F) and biases (..., A), None without.

    Raises ValueError when D does not fit.
    """
    if weights.shape[-1] % action_size or weights.shape[-1] <= action_size * options.bias:
        raise ValueError(f"{weights.shape[-1]} weights do not make a controller of {action_size} actions")
    biases = action_size if options.bias else 0
    rows = weights.shape[-1] - biases
    matrix = weights[..., :rows].unflatten(-1, (action_size, rows // action_size))
    return matrix, weights[..., rows:] if options.bias else None


def act(
    weights: Tensor, options: ControllerOptions, action_size: int, latent: Tensor, cell: Tensor, hidden: Tensor
) -> Tensor:
    """Actions (B, A) in (-1, 1): a = tanh(W x + b).

    weights: (D,) for one controller, or (B, D), a controller for each row. latent (B, Z), cell and hidden (B, H).
    """
    matrix, bias = split_weights(weights, options, action_size)
    features = controller_features(options, latent, cell, hidden)  # (B, F)
    actions = (features.unsqueeze(-2) * matrix).sum(-1)  # (B, A)
    return torch.tanh(actions if bias is None else actions + bias)
