"""Score a simulator on held-out sequences: its error at every horizon, sequence by sequence, and what a step costs."""

from pathlib import Path
from typing import ClassVar

import torch

from worldmodels.config.simulator_blocks import EvaluateSimulatorBlock, simulator_modules
from worldmodels.runtime.device import resolve_device
from worldmodels.runtime.progress import Progress
from worldmodels.simulators.costs import costs_of
from worldmodels.simulators.error_file import write_errors
from worldmodels.simulators.load import load_simulator
from worldmodels.simulators.prediction_error import COLUMNS, HorizonErrors, batch_errors, joined
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
        parts, first = self._restored()
        done = sum(len(part.errors) for part in parts)
        with Progress("evaluate_simulator", block.sequences, "sequences", self.state, done) as progress:
            batches = held_out.batches(block.sequences, first)
            for part in batch_errors(simulator, batches, block.warm_up, block.horizon, first=first):
                parts.append(part)
                first += 1
                progress.advance(len(part.errors))
                if self.state.due:
                    self._save(joined(parts), first)
                    self.state.leave_if_stopped()
        write_errors(self.output, joined(parts), costs_of(simulator))

    def _save(self, errors: HorizonErrors, batches: int) -> None:
        columns = {name: getattr(errors, name) for name in COLUMNS}
        tensors = {name: torch.from_numpy(values) for name, values in columns.items() if values is not None}
        self.state.save(tensors, {"batches": batches, "frame_shape": errors.frame_shape})

    def _restored(self) -> tuple[list[HorizonErrors], int]:
        """What an earlier run found, as one part, and the number of its batches."""
        found = self.state.load()
        if found is None:
            return [], 0
        tensors, meta = found
        columns = {name: tensors[name].numpy() if name in tensors else None for name in COLUMNS}
        return [HorizonErrors(**columns, frame_shape=tuple(meta["frame_shape"]))], int(meta["batches"])  # type: ignore[arg-type]


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(EvaluateSimulator, arguments)
