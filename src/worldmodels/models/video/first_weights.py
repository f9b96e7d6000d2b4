"""First weights of simulators that keep signals alike: an option beside the papers', for short trainings."""

from torch import nn

from worldmodels.models.first_weights import draw_he
from worldmodels.models.video.activations import NEGATIVE_SLOPES
from worldmodels.models.video.network import VideoNetwork


def draw_he_weights(network: VideoNetwork) -> None:
    """Draw all full layers and convolutions as of layers that a rectifier follows, and the decoder's last as of one without.

    What a memory or an action meets is not of that kind, and its owner draws it again.
    """
    slope = NEGATIVE_SLOPES[network.options.activation]
    layers = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    for layer in layers:
        draw_he(layer, slope)
    drawing = [layer for layer in network.decoder.modules() if layer in layers]
    draw_he(drawing[-1], None)
