"""Collect one shard of Atari frames: episodes of the data set's policy, every 4th frame, lossless."""

from pathlib import Path
from typing import ClassVar

from worldmodels.config.atari import AtariShardOptions
from worldmodels.config.atari_blocks import CollectAtariBlock
from worldmodels.data.atari_collection import collect_atari_shard
from worldmodels.errors import UserError
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage


class CollectAtari(Stage):
    """Options of collect_atari."""

    Block: ClassVar = CollectAtariBlock

    output: Path = output_file("The shard to write, HDF5; its name is train-NNN or test-NNN")
    agent: Path | None = input_file("A trained agent's file; none plays uniformly at random", default=None)

    def run(self) -> None:
        """Play until the shard is full."""
        options = AtariShardOptions(**self.block().model_dump())
        if options.uses_agent != (self.agent is not None):
            raise UserError("--agent names the agent's file if and only if the block says uses_agent: true.")
        collect_atari_shard(self.output, self.output.stem, options, self.agent, self.state)


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(CollectAtari, arguments)
