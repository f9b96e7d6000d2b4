"""Collect one shard of rollouts: whole episodes of the data set's policy in the real environment."""

from pathlib import Path
from typing import ClassVar

from worldmodels.config.blocks import CollectRolloutsBlock
from worldmodels.config.datasets import ShardOptions
from worldmodels.data.collection import collect_shard
from worldmodels.stages.stage import Shard, Stage, output_file
from worldmodels.stages.stage import main as run_stage


class CollectRollouts(Stage):
    """Options of collect_rollouts."""

    Block: ClassVar = CollectRolloutsBlock

    output: Path = output_file("The shard to write, HDF5")
    shard: Shard

    def modules(self) -> list[str]:
        """The stage and the task that it plays."""
        return [*super().modules(), f"envs.{self.block().task.name}"]

    def run(self) -> None:
        """Play until enough episodes are kept."""
        options = ShardOptions(**self.block().model_dump())
        collect_shard(self.output, self.shard, options, self.state)


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(CollectRollouts, arguments)
