"""A film of one game: the real frames of a held-out sequence, and beside them what simulators imagine of it.

Every simulator of the experiment is shown, of a curriculum the last stage, of the first training seed.
"""

from pathlib import Path
from typing import ClassVar

import torch

from worldmodels.config.simulator_blocks import FilmSimulatorBlock, simulator_modules
from worldmodels.figures.simulator_films import prediction_film
from worldmodels.figures.videos import write_mp4
from worldmodels.simulators.load import load_simulator
from worldmodels.simulators.sequences import imagined_frames, shown_sequence
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage

FRAMES_A_SECOND = 15
"""True speed: every 4th of 60 frames."""


class FilmSimulator(Stage):
    """Options of film_simulator."""

    Block: ClassVar = FilmSimulatorBlock

    weights: list[Path] = input_file("Weights of the simulators of one game; the folder of each has its name")
    shards: list[Path] = input_file("The data set's test shards")
    output: Path = output_file("The film, MP4")

    def modules(self) -> list[str]:
        """The stage, and the networks of its simulators."""
        return [*super().modules(), *simulator_modules(self.block())]

    def run(self) -> None:
        """Imagine, film."""
        block = self.block()
        names = [path.parent.name for path in self.weights]
        real, predicted = [], []
        for path in self.weights:
            simulator = load_simulator(path, torch.device("cpu"))
            windows = shown_sequence(self.shards, simulator, block.warm_up, block.horizon)
            real.append(windows.frames[0].numpy())
            predicted.append(imagined_frames(simulator, windows, block.warm_up, block.horizon)[0].numpy())
        write_mp4(self.output, prediction_film(real, predicted, names, block.warm_up), FRAMES_A_SECOND)


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(FilmSimulator, arguments)
