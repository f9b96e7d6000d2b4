"""Options of data sets: which task, which policy, how many rollouts."""

from pydantic import Field

from worldmodels.config.options import Options
from worldmodels.config.tasks import TaskOptions

MOST_SHARDS = 1000
MOST_DATASET_SEEDS = 100
"""Together they divide the range of collection seeds, so that no two shards share an episode."""


class HeldRandomPolicy(Options):
    """Uniform actions in [-1, 1], each held for a random number of tics (the released Doom collection)."""

    shortest_hold: int = Field(1, ge=1, description="Shortest hold, in tics")
    longest_hold: int = Field(10, ge=1, description="Longest hold, in tics")


class DatasetOptions(Options):
    """Rollouts of one policy in one task, in shards that are collected independently."""

    task: TaskOptions = TaskOptions()
    policy: HeldRandomPolicy = HeldRandomPolicy()
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


class ShardOptions(Options):
    """What one shard depends on; the number of shards is not part of it."""

    task: TaskOptions
    policy: HeldRandomPolicy
    episodes_per_shard: int
    shortest_episode: int
    seed: int
