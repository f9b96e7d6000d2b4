"""First weights of action-conditional video prediction: as the released networks draw them, or such that signals keep their size."""

from torch import nn

from worldmodels.config.acvp import ACVPOptions
from worldmodels.models.acvp.action import FactoredTransform, GatedFeatures, NoAction
from worldmodels.models.acvp.lstm import ClippedLSTM
from worldmodels.models.first_weights import ONE_HOT, draw_he
from worldmodels.models.video.first_weights import draw_he_weights
from worldmodels.models.video.network import VideoNetwork

ENCODING, ACTING, RECURRENT = 1.0, 0.1, 0.08
"""Bounds of W^enc, W^a and the LSTM's weights: products with an action are far smaller than those with the memory."""


def initialise(network: VideoNetwork, options: ACVPOptions) -> None:
    """Draw all weights as `first_weights` says."""
    draw = {"paper": draw_released_weights, "he": draw_weights_alike}[options.first_weights]
    draw(network)
    for module in network.modules():
        if isinstance(module, ClippedLSTM):
            size = module.recurrent.in_features
            nn.init.constant_(module.inputs.bias[size : 2 * size], options.forget_bias)


def draw_released_weights(network: VideoNetwork) -> None:
    """Draw "Xavier", which is U(-b, b) with b = sqrt(3 / inputs), as in the library of the released code; biases are 0."""
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
            for layer in (module.inputs, module.recurrent):
                nn.init.uniform_(layer.weight, -RECURRENT, RECURRENT)


def draw_weights_alike(network: VideoNetwork) -> None:
    """Draw weights that keep signals alike, through rectifiers, gates and products with an action."""
    draw_he_weights(network)
    for module in network.modules():
        if isinstance(module, FactoredTransform):
            draw_he(module.encoding, None)
            draw_he(module.acting, None, summed=ONE_HOT)
            draw_he(module.decoding, None)
        elif isinstance(module, GatedFeatures):
            draw_he(module.acting, None, summed=ONE_HOT)
        elif isinstance(module, NoAction):
            draw_he(module.layer, None)
        elif isinstance(module, ClippedLSTM):
            draw_he(module.inputs, None)
            draw_he(module.recurrent, None)
