"""Collect one shard of rollouts: whole episodes of the data set's policy in the real environment."""

from pathlib import Path
from typing import ClassVar

from worldmodels.config.blocks import CollectRolloutsBlock
from worldmodels.stages.stage import Stage, main as run_stage, output_file


class CollectRollouts(Stage):
    """Options of collect_rollouts."""

    Block: ClassVar = CollectRolloutsBlock

    output: Path = output_file("The shard to write, HDF5")
    shard: int

    def modules(self) -> list[str]:
        """The stage and the task that it plays."""
        return [*super().modules(), f"envs.{self.block().task.name}"]

    def run(self) -> None:
        """Play until enough episodes are kept."""
