"""Join the episodes that several jobs played into the one file that tables read."""

from pathlib import Path
from typing import ClassVar

from worldmodels.config.options import Options
from worldmodels.figures.episodes import read_episodes, write_episodes
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage


class GatherEpisodes(Stage):
    """Options of gather_episodes."""

    Block: ClassVar = Options
    uses_torch = False

    batches: list[Path] = input_file("The episodes of each job, in order")
    output: Path = output_file("All of them, CSV")

    def run(self) -> None:
        """Read, write."""
        write_episodes(self.output, read_episodes(self.batches))


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(GatherEpisodes, arguments)
