"""Time the simulators of an experiment: imagined steps a second, drawn and not, for one game and for many at once.

All are timed in turns in one process, so that a busy machine slows all alike: trust ratios more than rates. Timings are
not the same bytes twice, so they stand in a file of their own, and in a table only where the experiment asks for it.
"""

from pathlib import Path
from typing import Any, ClassVar

from worldmodels.config.simulator_blocks import TimeSimulatorsBlock, simulator_modules
from worldmodels.runtime.device import resolve_device
from worldmodels.runtime.files import csv_table, write_text
from worldmodels.simulators.costs import STEPS_A_CALL, imagination, seconds_in_turns
from worldmodels.simulators.load import load_simulator
from worldmodels.simulators.protocol import ScoredSimulator
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage

COLUMNS = ("simulator", "batch", "drawn", "steps_per_second", "device", "threads")


class TimeSimulators(Stage):
    """Options of time_simulators."""

    Block: ClassVar = TimeSimulatorsBlock
    uses_gpu = True

    weights: list[Path] = input_file("Weights of every simulator; the folder of each has its name")
    output: Path = output_file("Imagined steps a second, CSV")

    def modules(self) -> list[str]:
        """The stage, and the networks of its simulators."""
        return [*super().modules(), *simulator_modules(self.block())]

    def run(self) -> None:
        """Load all, time all."""
        block, device = self.block(), resolve_device(self.device)
        simulators = {path.parent.name: load_simulator(path, device) for path in self.weights}
        rows = []
        for batch in block.speed_batches:
            self.state.stop.check()
            rows += timed(simulators, batch, block.speed_seconds)
        timings = ({**row, "device": str(device), "threads": self.threads} for row in rows)
        write_text(self.output, csv_table(COLUMNS, timings))


def timed(simulators: dict[str, ScoredSimulator], batch: int, seconds: float) -> list[dict[str, Any]]:
    """A row for each simulator, drawn and not, at one batch size."""
    cases = [(name, drawn) for name in simulators for drawn in (True, False)]
    works = [imagination(simulators[name], batch, drawn) for name, drawn in cases]
    return [
        {"simulator": name, "batch": batch, "drawn": drawn, "steps_per_second": f"{batch * STEPS_A_CALL / spent:.1f}"}
        for (name, drawn), spent in zip(cases, seconds_in_turns(works, seconds), strict=True)
    ]


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(TimeSimulators, arguments)
