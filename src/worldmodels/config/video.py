"""What all simulators of video have in common: their frames, how pixels are read, convolutions, and heads."""

from typing import Literal

from pydantic import Field

from worldmodels.config.options import Options


class Convolution(Options):
    """One convolution of the encoder; the decoder has its mirror image."""

    channels: int = Field(ge=1, description="Output channels")
    kernel: int = Field(ge=1, description="Height and width of the kernel, pixels")
    stride: int = Field(2, ge=1, description="Pixels between two places of the kernel")
    padding: tuple[int, int] = Field((0, 0), description="Rows of zeros above and below, columns left and right")


def convolution(channels: int, kernel: int, rows: int = 0, columns: int = 0, stride: int = 2) -> Convolution:
    """A convolution in one short line."""
    return Convolution(channels=channels, kernel=kernel, stride=stride, padding=(rows, columns))


def convolved_sizes(height: int, width: int, convolutions: list[Convolution]) -> list[tuple[int, int]]:
    """Heights and widths of a frame and of what each convolution makes of it. Raises ValueError when none is left."""
    sizes = [(height, width)]
    for layer in convolutions:
        pairs = zip(sizes[-1], layer.padding, strict=True)
        size = tuple((length + 2 * pad - layer.kernel) // layer.stride + 1 for length, pad in pairs)
        if min(size) < 1:
            raise ValueError(f"convolutions: {height}x{width} frames are too small for so many of these")
        sizes.append((size[0], size[1]))
    return sizes


FirstWeights = Literal["paper", "he"]
FIRST_WEIGHTS = (
    "paper: as its authors drew them (RES: Torch's own; ACVP: Xavier's and bounds of their own); he: such that signals keep "
    "their size through the layers (He et al. 2015), without which a short training hardly learns what moves"
)


class VideoOptions(Options):
    """Options of every simulator of video."""

    height: int = Field(210, ge=4, description="Rows of a frame")
    width: int = Field(160, ge=4, description="Columns of a frame")
    channels: Literal[1, 3] = Field(3, description="3 for colour, 1 for grey")
    actions: int = Field(18, ge=1, description="Actions of the game")
    pixels: Literal["linear", "tanh", "two-class"] = Field(
        "linear",
        description="What a pixel is: a brightness, one that a tanh bounds, or one of two classes, above the threshold or not",
    )
    subtract: Literal["channel-mean", "pixel-mean", "nothing"] = Field(
        "channel-mean",
        description="What is taken from all frames, a mean of the first: each channel's (the papers), or each pixel's, so "
        "that short training need not learn the background; or nothing. Of two-class pixels only each pixel's is taken off",
    )
    threshold: int = Field(
        89, ge=0, le=254, description="With pixels two-class: the last brightness of the lower class"
    )
    predict_reward: bool = Field(False, description="A head predicts the action's reward")
    reward_target: Literal["value", "positive"] = Field(
        "value", description="What it predicts: the reward (squared error), or whether it is above 0 (cross-entropy)"
    )
    predict_done: bool = Field(False, description="A head predicts whether the action ended the episode")
    head_units: int = Field(128, ge=0, description="Units of a layer before such a head's number; 0 for none")


ADDED = ("predict_reward", "predict_done")
"""Heads, which a later stage of a curriculum may add."""
MAY_DIFFER = {*ADDED, "feedback", "reward_target", "gate_gradient_clip", "learns", "first_weights"}
"""Options that a later stage may change: no weight of an earlier one depends on them, or its sizes show it."""


def weights_differ(theirs: VideoOptions, ours: VideoOptions) -> list[str]:
    """What forbids a network to go on from the weights of `theirs`, in words; nothing where it may."""
    if type(theirs) is not type(ours):
        return [f"it is a {type(theirs).__name__}, here {type(ours).__name__}"]
    pairs = {name: (getattr(theirs, name), getattr(ours, name)) for name in type(ours).model_fields}
    lost = {name for name in ADDED if pairs[name] == (True, False)}
    wrong = [name for name, (one, other) in pairs.items() if one != other and (name not in MAY_DIFFER or name in lost)]
    return [f"its {name} is {_shown(pairs[name][0])}, here {_shown(pairs[name][1])}" for name in wrong]


def _shown(value: object) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else str(value)
