"""First weights of action-conditional video prediction, as the released networks draw them."""

from torch import nn

from worldmodels.models.acvp.action import FactoredTransform
from worldmodels.models.acvp.lstm import ClippedLSTM

ENCODING, ACTING, RECURRENT = 1.0, 0.1, 0.08
"""Bounds of W^enc, W^a and the LSTM's weights: products with an action are far smaller than those with the memory."""


def initialise(network: nn.Module, forget_bias: float) -> None:
    """Draw all weights. "Xavier" is U(-b, b) with b = sqrt(3 / inputs), as in the library of the released code; biases are 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, FactoredTransform):
            nn.init.uniform_(module.encoding.weight, -ENCODING, ENCODING)
            nn.init.uniform_(module.acting.weight, -ACTING, ACTING)
        elif isinstance(module, ClippedLSTM):
            _initialise_lstm(module, forget_bias)


def _initialise_lstm(lstm: ClippedLSTM, forget_bias: float) -> None:
    for layer in (lstm.inputs, lstm.recurrent):
        nn.init.uniform_(layer.weight, -RECURRENT, RECURRENT)
    size = lstm.recurrent.in_features
    nn.init.constant_(lstm.inputs.bias[size : 2 * size], forget_bias)
