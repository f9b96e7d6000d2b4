"""Controllers of World Models (Ha & Schmidhuber 2018, sections 2.3, 3.2 and 4.2): a = tanh(W x + b), x of z, c, h.

Time alignment: at time t a controller sees z_t and the LSTM's state (c, h) BEFORE M consumes (z_t, a_t).

Its weights are one flat vector, so that an evolution strategy can search them: W row by row, each row in the order
z, c, h (those that it sees), then b, if it has one. With a hidden layer, that layer's W and b come first.
"""

import torch
from torch import Tensor

from worldmodels.config.models import ControllerOptions


def features_size(options: ControllerOptions, latent_size: int, hidden_size: int) -> int:
    """Numbers that the controller sees."""
    return latent_size + {"z": 0, "z-h": 1, "z-c-h": 2}[options.inputs] * hidden_size


def controller_size(options: ControllerOptions, latent_size: int, hidden_size: int, action_size: int) -> int:
    """Number of weights: 1088 for Doom (z-c-h, no bias); for CarRacing 867 (z-h), 99 (z), 1443 (z, 40 hidden units)."""
    features, units = features_size(options, latent_size, hidden_size), options.hidden_units
    last = units or features
    return units * (features + 1) + action_size * (last + options.bias)


def controller_features(options: ControllerOptions, latent: Tensor, cell: Tensor, hidden: Tensor) -> Tensor:
    """What the controller sees, (B, F), of latent (B, Z) and the LSTM's cell and hidden state (B, H)."""
    seen = {"z": (latent,), "z-h": (latent, hidden), "z-c-h": (latent, cell, hidden)}[options.inputs]
    return torch.cat(seen, dim=-1)


def split_weights(weights: Tensor, options: ControllerOptions, action_size: int) -> tuple[Tensor, Tensor | None]:
    """View flat weights (..., D) as matrices (..., A, F) and biases (..., A), None without; of the last layer.

    Raises ValueError when D does not fit.
    """
    biases = action_size if options.bias else 0
    rows = weights.shape[-1] - biases
    if rows <= 0 or rows % action_size:
        raise ValueError(f"{weights.shape[-1]} weights do not make a controller of {action_size} actions")
    matrix = weights[..., :rows].unflatten(-1, (action_size, rows // action_size))
    return matrix, weights[..., rows:] if options.bias else None


def squash(outputs: Tensor, options: ControllerOptions) -> Tensor:
    """Actions (..., A) of a controller's linear outputs (..., A)."""
    unit = torch.tanh(outputs)
    if options.actions == "unit":
        return unit
    steering, gas, brake = unit.unbind(-1)
    return torch.stack([steering, (gas + 1) / 2, brake.clamp(min=0)], dim=-1)


def act(
    weights: Tensor, options: ControllerOptions, action_size: int, latent: Tensor, cell: Tensor, hidden: Tensor
) -> Tensor:
    """Actions (B, A).

    weights: (D,) for one controller, or (B, D), a controller for each row. latent (B, Z), cell and hidden (B, H).
    """
    features = controller_features(options, latent, cell, hidden)  # (B, F)
    if options.hidden_units:
        units, seen = options.hidden_units, features.shape[-1]
        first = weights[..., : units * (seen + 1)]
        matrix, bias = first[..., : units * seen].unflatten(-1, (units, seen)), first[..., units * seen :]
        features = torch.tanh((features.unsqueeze(-2) * matrix).sum(-1) + bias)  # (B, units)
        weights = weights[..., units * (seen + 1) :]
    matrix, last_bias = split_weights(weights, options, action_size)
    outputs = (features.unsqueeze(-2) * matrix).sum(-1)  # (B, A)
    return squash(outputs if last_bias is None else outputs + last_bias, options)
