"""Where the action meets what is remembered (Oh et al. 2015, section 3.2; the open re-implementation), in four ways."""

import torch
from torch import Tensor, nn

from worldmodels.models.video.activations import ACTIVATIONS


class FactoredTransform(nn.Module):
    """Oh's multiplicative interaction: W^dec((W^enc h) * (W^a a)) + b, with no non-linearity in between.

    The three factors are a low-rank form of one matrix for each action. Biases are where the released networks have them.
    """

    def __init__(self, size: int, actions: int, factors: int) -> None:
        super().__init__()
        self.encoding = nn.Linear(size, factors)
        self.acting = nn.Linear(actions, factors)
        self.decoding = nn.Linear(factors, size)

    def forward(self, memory: Tensor, actions: Tensor) -> Tensor:
        """Map (B, H) and one-hot (B, A) to (B, H)."""
        return self.decoding(self.encoding(memory) * self.factors(actions))

    def factors(self, actions: Tensor) -> Tensor:
        """What one-hot actions (B, A) multiply the memory's factors with, (B, factors)."""
        return self.acting(actions)


class GatedFeatures(nn.Module):
    """The open re-implementation's: leaky(W y) * leaky(W a), before the LSTM."""

    def __init__(self, size: int, actions: int, factors: int, activation: str) -> None:
        super().__init__()
        self.encoding = nn.Linear(size, factors)
        self.acting = nn.Linear(actions, factors)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, features: Tensor, actions: Tensor) -> Tensor:
        """Map (B, Y) and one-hot (B, A) to (B, factors)."""
        return self.activation(self.encoding(features)) * self.factors(actions)

    def factors(self, actions: Tensor) -> Tensor:
        """What one-hot actions (B, A) multiply the features with, (B, factors)."""
        return self.activation(self.acting(actions))


def factor_similarity(network: nn.Module) -> Tensor:
    """Cosine (A, A) between the factors of each two actions (Oh et al. 2015): near 1 where they do the same.

    network: it, or a part of it, is a FactoredTransform or GatedFeatures.
    """
    layer = next(part for part in network.modules() if isinstance(part, FactoredTransform | GatedFeatures))
    factors = layer.factors(torch.eye(layer.acting.in_features, device=layer.acting.weight.device)).detach()
    directions = torch.nn.functional.normalize(factors, dim=1)  # (A, factors)
    return directions @ directions.T


class NoAction(nn.Module):
    """The baseline naFf: one full layer in the transform's place, which sees no action."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(size, size)

    def forward(self, memory: Tensor, actions: Tensor) -> Tensor:
        """Map (B, H) to (B, H)."""
        return self.layer(memory)


class AppendedAction(nn.Module):
    """The multi-layer perceptron's: a full layer on [h, a]."""

    def __init__(self, size: int, actions: int, activation: str) -> None:
        super().__init__()
        self.layer = nn.Linear(size + actions, size)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, memory: Tensor, actions: Tensor) -> Tensor:
        """Map (B, H) and one-hot (B, A) to (B, H)."""
        return self.activation(self.layer(torch.cat([memory, actions.to(memory)], dim=-1)))
