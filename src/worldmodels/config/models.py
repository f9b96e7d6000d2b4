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
    predict_done: bool = Field(True, description="A head predicts whether the action ended the episode")
    predict_reward: bool = Field(
        False, description="A head predicts the action's reward; without, every step is worth 1"
    )


class ControllerOptions(Options):
    """The controller (paper, sections 3.2 and 4.2): tanh(W x + b), or a layer of tanh units between."""

    inputs: Literal["z", "z-h", "z-c-h"] = Field("z-c-h", description="What it sees: latent, cell and hidden state")
    bias: bool = Field(False, description="Adds a bias to each action")
    hidden_units: int = Field(0, ge=0, description="Units of a tanh layer between, with biases; 0 for none")
    actions: Literal["unit", "steer-gas-brake"] = Field(
        "unit",
        description="What its outputs x in [-1, 1] mean: themselves, or steering x, gas (x + 1) / 2, brake x cut at 0",
    )
