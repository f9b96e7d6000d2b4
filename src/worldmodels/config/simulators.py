"""Simulators of video: recurrent ones (Chiappa et al. 2017), and how all kinds are trained."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from worldmodels.config.acvp import ACVPOptions, CopyLastOptions
from worldmodels.config.atari import AtariShardOptions, OnlineOptions
from worldmodels.config.options import Options
from worldmodels.config.training import COSINE, PRECISION, Precision
from worldmodels.config.vae_mdn_rnn import VAEMDNRNNOptions
from worldmodels.config.video import (
    FIRST_WEIGHTS,
    Convolution,
    FirstWeights,
    VideoOptions,
    convolution,
    convolved_sizes,
)

Structure = Literal[
    "baseline",
    "gate-for-z",
    "no-z-in-gates",
    "h-in-gates",
    "h-in-gates-gate-for-z",
    "three-factors",
    "two-products",
    "action-as-input",
    "action-planes",
    "hidden-times-action",
]
"""How action, memory and frame meet; `models.res.transition.WIRINGS` says what each is."""
MULTIPLIES_Z = ("three-factors", "two-products")

Scheme = Literal[
    "0%PDT",
    "33%PDT",
    "0%-20%-33%PDT",
    "46%PDT Alt.",
    "46%PDT",
    "67%PDT",
    "0%-100%PDT",
    "100%PDT",
    "Oh",
    "60%PDT",
    "first observed",
]
"""Which steps see real frames in training; `data.schemes.SCHEMES` says what each is."""


ATARI_CONVOLUTIONS = [
    convolution(64, 8, 0, 1),  # 102x78
    convolution(32, 6, 1, 1),  # 50x38
    convolution(32, 6, 1, 1),  # 24x18
    convolution(32, 4, 0, 0),  # 11x8
]
"""Appendix B.1 of the paper, for 210x160 frames."""


class RESOptions(VideoOptions):
    """Sizes and structure of a recurrent environment simulator (Chiappa et al. 2017, appendix B.1): 25,230,371 parameters."""

    kind: Literal["res"] = "res"
    convolutions: list[Convolution] = Field(
        ATARI_CONVOLUTIONS, min_length=1, description="Of the encoder, in order; the decoder mirrors them"
    )
    encoder_units: int = Field(0, ge=0, description="Units of a full layer after the convolutions; 0 for none")
    hidden_size: int = Field(
        1024, ge=1, description="Units of the LSTM; 2816 is the paper's Base2816, with fusion_size"
    )
    fusion_size: int = Field(2048, ge=1, description="Numbers in v, where memory and action meet")
    structure: Structure = Field("baseline", description="How action, memory and frame meet")
    feedback: Literal["frame", "hidden", "zero"] = Field(
        "frame",
        description="What an imagined step takes in the frame's place: the predicted frame, or, without rendering, the "
        "hidden state or nothing (prediction-independent simulators)",
    )
    separate_weights: bool = Field(
        False, description="Imagined steps have weights of their own, apart from the observed"
    )
    activation: Literal["rrelu", "relu"] = Field(
        "rrelu", description="rrelu: negative inputs keep 1/8 to 1/3 of their size, random in training"
    )
    first_weights: FirstWeights = Field("paper", description=FIRST_WEIGHTS)

    @property
    def feature_size(self) -> int:
        """Numbers in z, the encoder's output."""
        height, width = convolved_sizes(self.height, self.width, self.convolutions)[-1]
        return self.encoder_units or self.convolutions[-1].channels * height * width

    @model_validator(mode="after")
    def parts_fit(self) -> Self:
        """Every size must be what its neighbour expects."""
        size = self.feature_size
        if self.feedback == "hidden" and not self.separate_weights and size != self.hidden_size:
            raise ValueError(
                f"feedback: hidden puts {self.hidden_size} numbers in the place of {size}: set separate_weights: true, "
                f"or hidden_size: {size}"
            )
        if self.feedback != "frame" and self.structure == "action-planes":
            raise ValueError("structure: action-planes puts the action on the frame, so it needs feedback: frame")
        if self.feedback == "zero" and self.structure in MULTIPLIES_Z:
            raise ValueError(f"structure: {self.structure} multiplies by z, so it cannot have feedback: zero")
        if self.structure == "hidden-times-action" and self.fusion_size != self.hidden_size:
            raise ValueError("structure: hidden-times-action needs fusion_size equal to hidden_size")
        return self


def kind_of(model: Any) -> str:
    """Which kind of simulator `model` is of: res, where it does not say."""
    return str(model.get("kind", "res") if isinstance(model, dict) else getattr(model, "kind", "res"))


SimulatorModel = Annotated[
    Annotated[RESOptions, Tag("res")]
    | Annotated[ACVPOptions, Tag("acvp")]
    | Annotated[VAEMDNRNNOptions, Tag("vae_mdn_rnn")]
    | Annotated[CopyLastOptions, Tag("copy_last")],
    Discriminator(kind_of),
]
"""Any simulator of video, told apart by `kind`."""

Kind = Literal["res", "acvp", "vae_mdn_rnn", "copy_last"]

OPTIONS_OF_KIND: dict[str, type[VideoOptions]] = {
    "res": RESOptions,
    "acvp": ACVPOptions,
    "vae_mdn_rnn": VAEMDNRNNOptions,
    "copy_last": CopyLastOptions,
}


def network_module(kind: str) -> str:
    """Module, below the package, of the networks of a kind. They are found by name, so that none depends on another's code."""
    return f"models.{kind}.network"


class SimulatorTraining(Options):
    """Training of a simulator of video (Chiappa et al. 2017, appendix A; Oh et al. 2015)."""

    model: SimulatorModel = RESOptions()
    continues: bool = Field(
        False,
        description="Starts from the weights of an earlier training, which --start-from names: a curriculum's stage",
    )
    updates: int = Field(500_000, ge=1, description="Steps of the optimiser; 1 million in some figures")
    batch_size: int = Field(16, ge=1, description="Windows in a batch")
    warm_up: int = Field(10, ge=1, description="Real frames that the memory takes in before the first loss, steps")
    warm_up_gradient: int = Field(
        0, ge=0, description="Last steps of the warm-up that gradients reach: 6 for prediction-independent simulators"
    )
    subsequence: int = Field(15, ge=1, description="Steps between two updates, and the reach of the gradient (T)")
    subsequences: int = Field(
        1, ge=1, description="In a window, one update each: n of BPTT(15, n). State is carried over"
    )
    scheme: Scheme = Field("0%-100%PDT", description="Which steps see the real frame and which the predicted one (PDT)")
    scheme_scale: float = Field(
        1.0, gt=0, description="Factor on the updates of the scheme's phases, for short training"
    )
    optimiser: Literal["centred-rmsprop", "adam"] = Field(
        "centred-rmsprop", description="centred-rmsprop: Graves (2013), with its constant inside the root"
    )
    learning_rate: float = Field(1e-5, gt=0, description="Step size; with 2e-5 the paper had unstable training")
    final_learning_rate_fraction: float = Field(1.0, gt=0, le=1, description=COSINE)
    learning_rate_factor: float = Field(
        1.0, gt=0, le=1, description="Of the step size, once every learning_rate_factor_every updates"
    )
    learning_rate_factor_every: int = Field(100_000, ge=1, description="Updates between two such cuts")
    momentum: float = Field(0.9, ge=0, lt=1, description="Of centred-rmsprop: share of the last step in the next")
    decay: float = Field(0.95, ge=0, lt=1, description="Of centred-rmsprop: memory of the gradient's mean and square")
    adam_square_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Of adam (its beta_2): memory of the gradient's square. Where a scheme changes what is learned at once, "
        "0.999 remembers small gradients for a thousand updates and takes steps that undo what was learned",
    )
    epsilon: float = Field(0.01, gt=0, description="Of centred-rmsprop: constant under the root")
    gradient_clip: float | None = Field(None, gt=0, description="Cut each gradient to this absolute value; null: never")
    halve_error: bool = Field(
        False,
        description="The error of frames is half their squared error, as Oh et al. have it; it matters beside epsilon",
    )
    reward_weight: float = Field(1.0, gt=0, description="Weight of the reward head's error")
    done_weight: float = Field(1.0, gt=0, description="Weight of the cross-entropy of the head for ends")
    plateau_updates: int | None = Field(
        None,
        ge=1,
        description="Stop early when the loss of so many updates is no lower than that of as many before; null: never",
    )
    plateau_improvement: float = Field(
        0.01, ge=0, lt=1, description="With plateau_updates: the share by which it must be lower to go on"
    )
    precision: Precision = Field("auto", description=PRECISION)

    @model_validator(mode="after")
    def warm_up_is_long_enough(self) -> Self:
        """Gradients cannot reach further back than the warm-up does."""
        if self.warm_up_gradient > self.warm_up:
            raise ValueError(
                f"warm_up_gradient is {self.warm_up_gradient}, but the warm-up has only {self.warm_up} steps"
            )
        return self

    @model_validator(mode="after")
    def phases_fill_the_window(self) -> Self:
        """Oh's phases have lengths of their own, after which the next subsequence would not begin."""
        if self.scheme == "Oh" and (self.subsequences > 1 or self.subsequence < 10):
            raise ValueError(
                "scheme: Oh needs subsequence: 10 or more, of which it uses 10, 3 or 5, and subsequences: 1"
            )
        return self

    @property
    def window_steps(self) -> int:
        """Actions in a window: the warm-up and all subsequences. It has one frame more."""
        return self.warm_up + self.subsequence * self.subsequences


class TrainSimulatorBlock(Options):
    """Block of train_simulator. `play` and `online` are set where an agent plays on while the simulator learns."""

    training: SimulatorTraining
    play: AtariShardOptions | None = None
    online: OnlineOptions | None = None

    @model_validator(mode="after")
    def online_needs_a_game(self) -> Self:
        """Both or none."""
        if (self.play is None) != (self.online is None):
            raise ValueError("play and online belong together: the game, and how much of it is remembered")
        return self
