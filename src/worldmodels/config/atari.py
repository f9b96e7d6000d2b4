"""Options of Atari data sets and of the agents that only collect them."""

from typing import Literal, Self

from pydantic import Field, model_validator

from worldmodels.config.datasets import MOST_DATASET_SEEDS, MOST_SHARDS
from worldmodels.config.options import Options
from worldmodels.config.tasks import AtariGame, AtariOptions, AtariRules

RANDOM = "random"
"""The `agent` that is none: uniform actions."""
AGENT_FILE_SUFFIX = ".safetensors"
CHUNK_FRAMES = 25
"""Frames that are compressed together, the unit of reading: more are smaller on disk, and slower to read windows from."""


class AgentTraining(Options):
    """An agent that only collects data, trained by stable-baselines3 on the frames that data sets store."""

    algorithm: Literal["dqn", "a2c"] = Field("dqn", description="stable-baselines3's DQN or A2C")
    rules: AtariRules = AtariRules(actions="minimal")
    steps: int = Field(10_000_000, ge=1, description="Agent's steps in all (4 emulator frames each)")
    environments: int = Field(8, ge=1, description="Games that are played side by side")
    learning_rate: float = Field(1e-4, gt=0, description="Step size: 1e-4 for DQN, 7e-4 for A2C in stable-baselines3")
    clip_rewards: bool = Field(True, description="Learn from the sign of the reward (scores are never clipped)")
    life_loss_ends: bool = Field(
        True, description="While learning, a lost life ends the return, as in Mnih et al. 2015"
    )
    n_steps: int = Field(
        1,
        ge=1,
        description="DQN: steps whose rewards make a return; with more than 1 the replay memory takes twice as much",
    )
    replay: int = Field(100_000, ge=100, description="DQN: steps in the replay memory (28 kB each)")
    learning_starts: int = Field(50_000, ge=0, description="DQN: steps before the first update")
    target_update: int = Field(1000, ge=1, description="DQN: steps between copies to the target network")
    exploration_fraction: float = Field(0.1, gt=0, le=1, description="DQN: share of the steps in which ε falls")
    final_epsilon: float = Field(0.01, ge=0, le=1, description="DQN: ε after that, while learning")
    entropy: float = Field(0.01, ge=0, description="A2C: weight of the policy's entropy")
    episodes: int = Field(30, ge=1, description="Episodes of the reported score")
    episode_epsilon: float = Field(0.05, ge=0, le=1, description="ε of those episodes (Mnih et al. 2015)")
    seed: int = Field(1, ge=1, description="Training seed")
    start_from: str | None = Field(None, description="A trained agent's file to go on from")


class AgentOptions(Options):
    """What a trained agent's file says of it."""

    algorithm: Literal["dqn", "a2c"] = "dqn"
    game: AtariGame
    action_codes: tuple[int, ...] = Field(description="ALE's number of each of its actions")
    stack: int = Field(4, ge=1, description="Grey frames of 84 x 84 that it sees, the newest last")
    frame_repeat: int = Field(4, ge=1, description="Emulator frames that its actions last")
    steps: int = Field(0, ge=0, description="Steps that it learned from")


class AtariDatasetOptions(Options):
    """Frames of one or more games, each a data set NAME-GAME of its own: 5 M + 1 M frames at the scale of RES."""

    games: list[AtariGame] = Field(min_length=1, description="Games, each a data set of its own")
    rules: AtariRules = AtariRules(actions="full")
    agent: str = Field(
        RANDOM, description="'random', an entry of `atari_agents`, or a trained agent's file (*.safetensors)"
    )
    epsilon: float = Field(0.0, ge=0, le=1, description="Share of an agent's actions that are uniform instead")
    frames_per_shard: int = Field(100_000, ge=CHUNK_FRAMES, description="Frames in a shard, the unit of collection")
    parallel_games: int = Field(4, ge=1, le=64, description="Games side by side in a shard; each fills an equal part")
    shards: int = Field(50, ge=1, le=MOST_SHARDS, description="Shards to train on; more keep the ones that exist")
    test_shards: int = Field(10, ge=1, le=MOST_SHARDS, description="Shards to test on, of other episodes")
    seed: int = Field(
        0, ge=0, lt=MOST_DATASET_SEEDS, description="Chooses the episodes; data sets of different seeds share none"
    )

    @model_validator(mode="after")
    def parts_are_equal(self) -> Self:
        """Each game fills the same number of frames, and no game comes twice."""
        if self.frames_per_shard % (self.parallel_games * CHUNK_FRAMES):
            raise ValueError(
                f"frames_per_shard is {self.frames_per_shard}, but it must be a multiple of {CHUNK_FRAMES} times "
                f"parallel_games, {self.parallel_games * CHUNK_FRAMES}"
            )
        if len(set(self.games)) != len(self.games):
            raise ValueError(f"games {self.games} names a game twice")
        return self


STORED_FRAME_BYTES = 300
"""More than any game measured needs on average (docs/atari.md)."""


class AtariShardOptions(Options):
    """What one shard depends on; the number of shards is not part of it."""

    task: AtariOptions
    epsilon: float
    uses_agent: bool
    frames_per_shard: int
    parallel_games: int
    seed: int

    @property
    def stored_bytes(self) -> int:
        """Disk that the finished shard takes, at most about."""
        return self.frames_per_shard * STORED_FRAME_BYTES


class OnlineOptions(Options):
    """Frames of games that go on while a model learns, instead of stored ones."""

    memory: int = Field(
        10_000, ge=16, description="Newest frames that are remembered, of all games together (34 kB each)"
    )
    first_frames: int = Field(2000, ge=1, description="Frames that are played before the first batch")
    rows_per_batch: int = Field(4, ge=0, description="Steps that each game advances before each batch")
