"""Networks of action-conditional video prediction that learn the moving dot in seconds."""

from moving_dot import ACTIONS, SIZE

from worldmodels.config.acvp_presets import MODELS
from worldmodels.config.video import convolution

LAYERS = {
    "convolutions": [convolution(8, 4, 1, 1), convolution(8, 4, 1, 1)],
    "drawing_channels": [8],
    "drawing_sizes": "mirrored",
}
SIZES = {
    **{"height": SIZE, "width": SIZE, "channels": 1, "actions": ACTIONS, "subtract": "channel-mean"},
    **{"encoder_units": 32, "hidden_size": 32, "factors": 32, "narrow_units": 24},
}


def small_acvp(name, **changes):
    """Options of a model of MODELS, in a few thousand weights."""
    layers = {} if name == "acvp-perceptron" else LAYERS
    return MODELS[name](**{**SIZES, **layers, **changes})
