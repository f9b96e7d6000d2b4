"""V and M of World Models (Ha & Schmidhuber 2018) as a simulator of video."""

from typing import Literal, Self

from pydantic import Field, model_validator

from worldmodels.config.video import VideoOptions


class VAEMDNRNNOptions(VideoOptions):
    """Sizes of V and M on 64x64 colour frames; the defaults are those of Doom, with one-hot actions."""

    kind: Literal["vae_mdn_rnn"] = "vae_mdn_rnn"
    height: int = Field(64, ge=64, le=64, description="Rows of a frame: V's convolutions take no other")
    width: int = Field(64, ge=64, le=64, description="Columns of a frame")
    subtract: Literal["channel-mean", "pixel-mean", "nothing"] = Field("nothing", description="V sees 0 to 1")
    feedback: Literal["hidden"] = Field(
        "hidden", description="What an imagined step takes in: the latent that M predicted, without drawing it"
    )
    latent_size: int = Field(64, ge=1, description="Z, numbers in a latent vector")
    hidden_size: int = Field(512, ge=1, description="Units of M's LSTM")
    mixtures: int = Field(5, ge=1, description="Gaussians per latent dimension")
    free_bits: float = Field(0.5, ge=0, description="Floor of V's KL divergence, nats per latent dimension")
    learns: Literal["vision", "memory"] = Field(
        "vision", description="What a training changes: V, or then M on the latents of a V that stays as it is"
    )

    @model_validator(mode="after")
    def is_what_v_can_see(self) -> Self:
        """V has colour frames, and predicts them alone."""
        if self.channels != 3 or self.pixels != "linear" or self.subtract != "nothing":
            raise ValueError("vae_mdn_rnn needs channels: 3, pixels: linear and subtract: nothing")
        if self.predict_reward or self.predict_done:
            raise ValueError("vae_mdn_rnn predicts no rewards and no ends here")
        return self
