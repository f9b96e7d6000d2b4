"""Action-conditional video prediction (Oh et al. 2015), its baselines, and the open re-implementation's two models."""

from typing import Literal, Self

from pydantic import Field, model_validator

from worldmodels.config.video import (
    FIRST_WEIGHTS,
    Convolution,
    FirstWeights,
    VideoOptions,
    convolution,
    convolved_sizes,
)

OH_CONVOLUTIONS = [
    convolution(64, 8, 0, 1),  # 102x78
    convolution(128, 6, 1, 1),  # 50x38
    convolution(128, 6, 1, 1),  # 24x18
    convolution(128, 4, 0, 0),  # 11x8
]
"""The released networks', for 210x160 frames."""


class ACVPOptions(VideoOptions):
    """Sizes and structure of an action-conditional video predictor; the defaults are Oh's recurrent network, 90,771,267 parameters."""

    kind: Literal["acvp"] = "acvp"
    memory: Literal["lstm", "frames"] = Field(
        "lstm", description="What a prediction rests on: an LSTM over all frames, or the last stacked_frames"
    )
    stacked_frames: int = Field(4, ge=1, description="With memory frames: how many the encoder sees at once")
    action: Literal["after", "before", "none", "appended"] = Field(
        "after",
        description="Where the action comes in: after the memory, multiplied in factors (Oh); before it (the open "
        "re-implementation); nowhere (the baseline naFf, with one full layer in its place); or as inputs of a full layer",
    )
    feedback: Literal["frame", "hidden"] = Field(
        "frame",
        description="What an imagined step takes in the frame's place: the predicted frame, or, without rendering, the LSTM's "
        "output in the place of the encoder's (the open re-implementation's compression model)",
    )
    convolutions: list[Convolution] = Field(
        OH_CONVOLUTIONS, description="Of the encoder, in order; none for the multi-layer perceptron"
    )
    drawing_channels: list[int] = Field(
        [128, 128, 128], description="Output channels of the decoder's transposed convolutions but the last, in order"
    )
    drawing_sizes: Literal["mirrored", "halved"] = Field(
        "mirrored", description="The decoder's planes: of the encoder's sizes, or of the frame's halved, rounded down"
    )
    narrow_units: int = Field(
        400, ge=1, description="Without convolutions: units of the layers that see and draw the frame"
    )
    encoder_units: int = Field(2048, ge=1, description="Units of the full layer after the convolutions")
    hidden_size: int = Field(2048, ge=1, description="Units of the LSTM")
    factors: int = Field(2048, ge=1, description="Numbers in which memory and action are multiplied")
    activation: Literal["relu", "leaky-relu"] = Field(
        "relu", description="leaky-relu: negative inputs keep a tenth of their size"
    )
    first_weights: FirstWeights = Field("paper", description=FIRST_WEIGHTS)
    forget_bias: float = Field(0.0, description="First bias of the LSTM's forget gates")
    gate_gradient_clip: float | None = Field(
        0.1, gt=0, description="Cut the gradients of the LSTM's gates, before their sigmoids, to this; null: never"
    )
    reward_target: Literal["value", "positive"] = Field(
        "positive", description="What the reward head predicts: the reward, or whether it is above 0 (logistic)"
    )
    head_units: int = Field(0, ge=0, description="Units of a layer before a head's number; 0 for none")

    @property
    def depth(self) -> int:
        """Frames that the encoder sees at once."""
        return self.stacked_frames if self.memory == "frames" else 1

    @property
    def memory_size(self) -> int:
        """Numbers that the action's layer, or the decoder, reads from the memory."""
        return self.hidden_size if self.memory == "lstm" else self.encoder_units

    @property
    def decoder_sizes(self) -> list[tuple[int, int]]:
        """Heights and widths of the decoder's planes, from the frame's down to the first."""
        if self.drawing_sizes == "mirrored":
            return convolved_sizes(self.height, self.width, self.convolutions)
        return [(self.height >> level, self.width >> level) for level in range(len(self.convolutions) + 1)]

    @property
    def drawing_convolutions(self) -> list[Convolution]:
        """The convolutions whose mirror images draw: those of the encoder, with padding that doubles where sizes are halved."""
        if self.drawing_sizes == "mirrored":
            return self.convolutions
        border = [(layer.kernel - layer.stride) // 2 for layer in self.convolutions]
        pairs = zip(self.convolutions, border, strict=True)
        return [layer.model_copy(update={"padding": (pad, pad)}) for layer, pad in pairs]

    @model_validator(mode="after")
    def parts_fit(self) -> Self:
        """Every part must be what its neighbour expects."""
        convolved_sizes(self.height, self.width, self.convolutions)
        if self.feedback == "hidden" and (self.memory != "lstm" or self.action != "before"):
            raise ValueError(
                "feedback: hidden needs memory: lstm and action: before, or imagined steps would know no action"
            )
        if self.feedback == "hidden" and self.hidden_size != self.encoder_units:
            raise ValueError(
                f"feedback: hidden puts {self.hidden_size} numbers in the place of {self.encoder_units}: set hidden_size "
                "and encoder_units to the same"
            )
        if self.memory == "frames" and self.action == "before":
            raise ValueError("action: before stands before an LSTM: set memory: lstm, or action: after")
        if self.drawing_sizes == "halved" and any(layer.stride != 2 or layer.kernel % 2 for layer in self.convolutions):
            raise ValueError("drawing_sizes: halved needs convolutions of stride 2 and even kernels")
        if self.convolutions and len(self.drawing_channels) != len(self.convolutions) - 1:
            raise ValueError(
                f"drawing_channels has {len(self.drawing_channels)} numbers: {len(self.convolutions)} convolutions need one "
                "fewer than there are of them"
            )
        return self


class CopyLastOptions(VideoOptions):
    """The baselines without parameters: nothing will change, the last real frame for ever; or the mean of the first frames."""

    kind: Literal["copy_last"] = "copy_last"
    subtract: Literal["channel-mean", "pixel-mean", "nothing"] = Field(
        "nothing", description="It makes no difference here"
    )
    feedback: Literal["frame"] = Field("frame", description="What an imagined step takes in: the frame that it shows")
    shows: Literal["last-frame", "mean-frame"] = Field(
        "last-frame", description="mean-frame needs subtract: pixel-mean: what it shows is what that takes off"
    )

    @model_validator(mode="after")
    def knows_its_mean(self) -> Self:
        """The mean frame is what pixel-mean takes off; for the last frame it makes no difference."""
        if self.shows == "mean-frame" and self.subtract != "pixel-mean":
            raise ValueError("shows: mean-frame needs subtract: pixel-mean")
        return self

    @model_validator(mode="after")
    def has_no_heads(self) -> Self:
        """There is nothing to teach a head with."""
        if self.predict_reward or self.predict_done or self.pixels != "linear":
            raise ValueError("copy_last has no heads, and pixels: linear")
        return self
