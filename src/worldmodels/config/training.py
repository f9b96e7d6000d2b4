"""How each part of an experiment is trained, evolved and scored."""

from typing import Literal, Self

from pydantic import Field, model_validator

from worldmodels.config.models import ControllerOptions, MDNRNNOptions, VAEOptions
from worldmodels.config.options import Options
from worldmodels.config.tasks import ScreenResolution

Precision = Literal["auto", "fp32", "bf16"]
COSINE = "Cosine decay of the step size to this fraction over training; 1 turns it off, as in the paper"
PRECISION = "Matrix products in bf16 or fp32; auto takes bf16 where the hardware multiplies in it"


class VAETraining(Options):
    """Training of V (paper, appendix A.1)."""

    model: VAEOptions = VAEOptions()
    epochs: float = Field(1, gt=0, description="Passes over the frames: 1 in the paper, 10 in the released code")
    batch_size: int = Field(100, ge=1, description="Frames in a batch")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's first step size")
    final_learning_rate_fraction: float = Field(1.0, gt=0, le=1, description=COSINE)
    free_bits: float = Field(
        0.5, ge=0, description="Floor of the KL term, in nats per latent dimension (on the sum over dimensions)"
    )
    precision: Precision = Field("auto", description=PRECISION)


class MDNRNNTraining(Options):
    """Training of M (paper, appendix A.2; streams and weights as in the released code)."""

    model: MDNRNNOptions = MDNRNNOptions()
    epochs: float = Field(20, gt=0, description="Passes over the latents: 20 in the paper, 400 in the released code")
    streams: int = Field(100, ge=1, description="Parallel streams of concatenated episodes (the batch size)")
    chunk: int = Field(500, ge=2, description="Steps between two updates; the LSTM's state is carried over")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's first step size")
    learning_rate_decay: float = Field(0.99999, gt=0, le=1, description="Its factor per update, towards 1e-5")
    final_learning_rate_fraction: float = Field(1.0, gt=0, le=1, description=COSINE)
    gradient_clip: float = Field(1.0, gt=0, description="Gradients are cut to this absolute value, one by one")
    done_weight: float = Field(10.0, gt=0, description="Weight of fatal steps in the loss of the death head")
    reward_weight: float = Field(1.0, gt=0, description="Weight of the reward head's squared error, where M has one")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the latent's numbers that M does not see at a step (Wellmer & Kwok 2021); 0 off",
    )
    held_out: float = Field(0.05, gt=0, lt=1, description="Share of episodes kept to measure the death head")
    precision: Precision = Field("auto", description=PRECISION)


class ShortDreamOptions(Options):
    """Dreams that begin anywhere in recorded episodes, and end soon.

    A dream drifts: after a hundred steps or so Take Cover's is kinder than the game, and what comes late in an episode
    hardly comes at all. Begun at late moments, where M has watched what led there, and cut off before it has drifted, dreams
    show C all of an episode as it is.
    """

    steps: int = Field(150, ge=1, description="Steps after which such a dream is cut off")
    watched: int = Field(100, ge=1, description="Recorded steps before it, at most, that M watches first")


class ShortEpisodeOptions(Options):
    """First generations that are scored by the beginnings of episodes, for a part of the steps.

    Controllers that can do little yet fail early. Later ones must be scored by whole episodes: what they do well at the beginning
    need not last.
    """

    steps: int = Field(500, ge=1, description="Steps after which an episode that scores a population is cut off")
    generations: int = Field(50, ge=1, description="Generations that are scored so; the later ones' episodes are whole")


class EvolutionOptions(Options):
    """CMA-ES of C, in the dream or in the real environment (paper, appendix A.4)."""

    controller: ControllerOptions = ControllerOptions()
    population: int = Field(64, ge=4, description="Controllers in a generation")
    rollouts: int = Field(16, ge=1, description="Episodes (dreams, or real ones) that score one controller")
    generations: int = Field(200, ge=1, description="Generations of CMA-ES")
    sigma0: float = Field(0.1, gt=0, description="First standard deviation of the search")
    diagonal: bool = Field(False, description="Adapt a diagonal covariance only (sep-CMA), faster in few generations")
    max_steps: int = Field(2100, ge=1, description="Steps after which a dream is cut off")
    short_dreams: ShortDreamOptions | None = Field(
        None,
        description="Dreams that score a population begin anywhere in recorded episodes, and are short; null: they are whole, as in the paper",
    )
    same_episodes: bool = Field(
        False, description="In the real environment: all members of a generation play the same episodes"
    )
    hopeless_after: int = Field(
        0, ge=0, description="In the real environment: steps without a reward above 0 that end an episode; 0 never"
    )
    short_episodes: ShortEpisodeOptions | None = Field(
        None,
        description="In the real environment: first generations whose episodes are cut off; null: all are whole, as in the paper",
    )
    start_frames: int = Field(1000, ge=1, description="Recorded frames that dreams start from")
    evaluate_every: int = Field(25, ge=1, description="Generations between scores of the distribution's mean")
    evaluation_dreams: int = Field(
        1024, ge=1, description="Episodes behind such a score, and dreams behind the virtual score"
    )
    precision: Precision = Field("auto", description=PRECISION)
    validation_every: int = Field(5, ge=1, description="With selection 'validation': generations between candidates")
    validation_episodes: int = Field(32, ge=1, description="With selection 'validation': real episodes a candidate")


class PlayOptions(Options):
    """Playing the real environment, for scores and where evolution plays it."""

    games: int = Field(64, ge=1, description="Games that are played at once, as one batch")
    latent: Literal["sample", "mean"] = Field("sample", description="What the controller sees of the VAE's posterior")
    precision: Precision = Field("auto", description=PRECISION)


class EvaluationOptions(PlayOptions):
    """Scoring in the real environment."""

    episodes: int = Field(1000, ge=1, le=1_000_000, description="Report episodes per training seed")
    batches: int = Field(
        1,
        ge=1,
        le=1000,
        description="Jobs that share the episodes of an agent; on a cluster each may have its own node",
    )
    car_racing_backend: Literal["gymnasium", "envpool"] = Field(
        "gymnasium", description="Who plays CarRacing for reported scores; envpool only to compare the two"
    )
    take_cover_resolution: ScreenResolution | None = Field(
        None, description="What Doom renders for reported scores; as in the data set where it is not said"
    )

    @model_validator(mode="after")
    def every_batch_plays(self) -> Self:
        """A job without an episode would have nothing to do."""
        if self.batches > self.episodes:
            raise ValueError(f"batches is {self.batches}, but there are only {self.episodes} episodes to share")
        return self
