"""Options of data sets: which task, which policy, how many rollouts."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from worldmodels.config.options import Options
from worldmodels.config.tasks import RolloutTask, TakeCoverOptions

MOST_SHARDS = 1000
MOST_DATASET_SEEDS = 100
"""Together they divide the range of collection seeds, so that no two shards share an episode."""


def _in_order(options: Options, shortest: str, longest: str) -> None:
    """Raise ValueError where the shortest is longer than the longest."""
    low, high = getattr(options, shortest), getattr(options, longest)
    if low > high:
        raise ValueError(f"{shortest} is {low}, but it must be at most {longest}, which is {high}")


class HeldRandomPolicy(Options):
    """Uniform actions in [-1, 1], each held for a random number of tics (the released Doom collection)."""

    name: Literal["held"] = "held"
    shortest_hold: int = Field(1, ge=1, description="Shortest hold, in tics")
    longest_hold: int = Field(10, ge=1, description="Longest hold, in tics")

    @model_validator(mode="after")
    def holds_are_in_order(self) -> Self:
        """Holds are drawn between the two."""
        _in_order(self, "shortest_hold", "longest_hold")
        return self


class SweepingPolicy(Options):
    """Moves from one side to the other, each way for a random number of tics, with moments of rest.

    It sees nothing either. In Take Cover it outlives the released collection's policy, so that its rollouts show
    walls, and the later part of an episode, when more monsters shoot.
    """

    name: Literal["sweeping"] = "sweeping"
    shortest_hold: int = Field(1, ge=1, description="Shortest move one way, in tics")
    longest_hold: int = Field(120, ge=1, description="Longest move one way, in tics")
    rest: float = Field(0.2, ge=0, le=1, description="Share of the moves before which it rests")
    longest_rest: int = Field(20, ge=1, description="Longest rest, in tics")

    @model_validator(mode="after")
    def holds_are_in_order(self) -> Self:
        """Moves are drawn between the two."""
        _in_order(self, "shortest_hold", "longest_hold")
        return self


class WanderingPolicy(Options):
    """Moves from one side to the other, with rests, in strides whose longest is drawn anew for each episode.

    It sees nothing either. In Take Cover its episodes range from hovering on the spot to runs from wall to wall: a model that
    has seen one of the two only is wrong about the other, and a controller that learns in its dreams finds that out.
    """

    name: Literal["wandering"] = "wandering"
    shortest_stride: int = Field(4, ge=1, description="Shortest of the longest moves of an episode, in tics")
    longest_stride: int = Field(120, ge=1, description="Longest of them, in tics; drawn log-uniformly in between")
    rest: float = Field(
        0.3, ge=0, le=1, description="Share of the moves before which it rests, as long as a move may last"
    )

    @model_validator(mode="after")
    def strides_are_in_order(self) -> Self:
        """Strides are drawn between the two."""
        _in_order(self, "shortest_stride", "longest_stride")
        return self


class RandomControllerPolicy(Options):
    """A random linear controller on noise, its weights Cauchy (the released CarRacing collection)."""

    name: Literal["random-controller"] = "random-controller"
    largest_scale: float = Field(0.01, gt=0, description="Scale of the weights is U(0, this), drawn for each episode")
    latent_size: int = Field(32, ge=1, description="Numbers of noise that the controller sees")


class BrownianPolicy(Options):
    """A random walk of actions in [-1, 1] (several ports of the paper)."""

    name: Literal["brownian"] = "brownian"
    step: float = Field(0.1414, gt=0, description="Standard deviation of a step; the ports take 1/sqrt(50)")


class UniformPolicy(Options):
    """Independent uniform actions in [-1, 1]."""

    name: Literal["uniform"] = "uniform"


BlindPolicy = (
    HeldRandomPolicy | SweepingPolicy | WanderingPolicy | RandomControllerPolicy | BrownianPolicy | UniformPolicy
)
PolicyOptions = Annotated[BlindPolicy, Field(discriminator="name")]
"""Policies that see nothing."""


class AgentPolicy(Options):
    """A trained agent of an experiment, which sees the game, disturbed by chance; some episodes are a random policy's.

    So a world model learns from what an agent meets that drives (paper, section 5: the iterative procedure; Wellmer & Kwok 2021
    train on an expert's rollouts). An undisturbed agent alone would show M neither other actions nor mistakes.
    """

    name: Literal["agent"] = "agent"
    experiment: str = Field(description="Experiment whose agent plays")
    variant: str = Field(description="Which of its variants")
    training_seed: int = Field(1, ge=1, description="Which of its training seeds")
    random_episodes: float = Field(0.0, ge=0, le=1, description="Share of episodes that `random_policy` plays instead")
    random_policy: PolicyOptions = Field(description="Policy of those episodes, and of the random row of tables")
    latent: Literal["sample", "mean"] = Field(
        "sample", description="What the agent sees of V's posterior; as it is scored"
    )
    epsilon: float = Field(
        0.0, ge=0, le=1, description="Share of the agent's decisions that a uniform action replaces, held for a while"
    )
    longest_hold: int = Field(10, ge=1, description="Longest hold of such an action, in steps; the shortest is 1")


CollectionPolicy = Annotated[BlindPolicy | AgentPolicy, Field(discriminator="name")]


class DatasetOptions(Options):
    """Rollouts of one policy in one task, in shards that are collected independently."""

    task: RolloutTask = TakeCoverOptions()
    policy: CollectionPolicy = HeldRandomPolicy()
    episodes_per_shard: int = Field(125, ge=1, le=2000, description="Kept episodes in a shard, the unit of collection")
    shards: int = Field(
        80, ge=1, le=MOST_SHARDS, description="Shards in the data set; more shards keep the ones that exist"
    )
    shortest_episode: int = Field(
        101, ge=2, description="Episodes with fewer frames are dropped, as in the released collection"
    )
    seed: int = Field(
        0, ge=0, lt=MOST_DATASET_SEEDS, description="Chooses the episodes; data sets of different seeds share none"
    )

    @model_validator(mode="after")
    def some_episodes_are_kept(self) -> Self:
        """An episode ends after the task's `max_steps`: were the shortest longer, thousands would be played and none kept."""
        if self.shortest_episode > self.task.max_steps:
            raise ValueError(
                f"shortest_episode is {self.shortest_episode}, but episodes end after {self.task.max_steps} steps (task.max_steps)"
            )
        return self

    @property
    def random_policy(self) -> PolicyOptions:
        """The policy that sees nothing: its own, or the one that plays some of an agent's data set."""
        return self.policy.random_policy if isinstance(self.policy, AgentPolicy) else self.policy


class ShardOptions(Options):
    """What one shard depends on; the number of shards is not part of it."""

    task: RolloutTask
    policy: CollectionPolicy
    episodes_per_shard: int
    shortest_episode: int
    seed: int

    @property
    def stored_bytes(self) -> int:
        """Disk that the finished shard takes, about. An agent's episodes may all last as long as they can."""
        if isinstance(self.policy, AgentPolicy):
            return self.episodes_per_shard * self.task.max_steps * self.task.stored_frame_bytes
        return self.episodes_per_shard * self.task.stored_episode_bytes
