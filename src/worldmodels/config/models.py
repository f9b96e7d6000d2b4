"""Sizes of the networks."""

from typing import Literal

from pydantic import Field

from worldmodels.config.options import Options


class VAEOptions(Options):
    """Sizes of the convolutional VAE (paper, appendix A.1): 4,446,915 parameters at 64 latents, 4,348,547 at 32."""

    latent_size: int = Field(64, ge=1, description="Z, numbers in a latent vector")


class MDNRNNOptions(Options):
    """Sizes of the mixture-density LSTM (paper, appendix A.2): 1,678,785 parameters for Doom."""

    latent_size: int = Field(64, ge=1, description="Z, one density per latent dimension")
    action_size: int = Field(1, ge=1, description="A, numbers in an action")
    hidden_size: int = Field(512, ge=1, description="H, units of the LSTM")
    mixtures: int = Field(5, ge=1, description="K, Gaussians per latent dimension")
    restart_input: bool = Field(True, description="The input carries a flag that marks the first frame of an episode")
    predict_done: bool = Field(True, description="A head predicts whether the action was fatal")


class ControllerOptions(Options):
    """The linear controller (paper, section 4.2): tanh(W [z, c, h]), 1088 weights for Doom, no bias."""

    inputs: Literal["z", "z-h", "z-c-h"] = Field("z-c-h", description="What it sees: latent, cell and hidden state")
    bias: bool = Field(False, description="Adds a bias to each action")
