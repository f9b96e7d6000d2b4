"""Score a simulator on held-out sequences: its error at every horizon, sequence by sequence, and what a step costs."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from worldmodels.config.simulator_blocks import EvaluateSimulatorBlock, simulator_modules
from worldmodels.data.windows import Windows
from worldmodels.runtime.device import resolve_device
from worldmodels.runtime.progress import Progress
from worldmodels.simulators.costs import costs_of
from worldmodels.simulators.error_file import write_errors
from worldmodels.simulators.load import load_simulator
from worldmodels.simulators.prediction_error import horizon_errors
from worldmodels.simulators.sequences import HeldOut
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage


class EvaluateSimulator(Stage):
    """Options of evaluate_simulator."""

    Block: ClassVar = EvaluateSimulatorBlock
    uses_gpu = True

    weights: Path = input_file("The simulator's weights")
    shards: list[Path] = input_file("The data set's test shards")
    output: Path = output_file("Errors of every sequence at every horizon, HDF5")

    def modules(self) -> list[str]:
        """The stage, and the networks of its simulators."""
        return [*super().modules(), *simulator_modules(self.block())]

    def run(self) -> None:
        """Predict and compare, batch by batch."""
        block = self.block()
        simulator = load_simulator(self.weights, resolve_device(self.device))
        held_out = HeldOut(self.shards, simulator, block.warm_up + block.horizon, block.batch_size)
        with Progress("evaluate_simulator", block.sequences, "sequences", self.state) as progress:
            batches = self._watched(held_out.batches(block.sequences), progress)
            errors = horizon_errors(simulator, batches, block.warm_up, block.horizon)
        write_errors(self.output, errors, costs_of(simulator))

    def _watched(self, batches: Iterator[Windows], progress: Progress) -> Iterator[Windows]:
        """The batches; each counts when the next is asked for, and a request to stop is heard between them."""
        for batch in batches:
            yield batch
            progress.advance(len(batch.actions))
            self.state.stop.check()


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(EvaluateSimulator, arguments)
