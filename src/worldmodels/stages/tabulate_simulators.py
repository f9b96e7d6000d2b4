"""Write the table of an experiment with simulators: CSV, Markdown and LaTeX."""

from pathlib import Path
from typing import ClassVar

from worldmodels.config.simulator_blocks import TabulateSimulatorsBlock
from worldmodels.figures.simulator_tables import (
    Scored,
    build_simulator_rows,
    read_speeds,
    simulator_csv,
    simulator_latex,
    simulator_markdown,
)
from worldmodels.runtime.files import write_text
from worldmodels.simulators.error_file import read_errors
from worldmodels.simulators.load import updates_made
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage


class TabulateSimulators(Stage):
    """Options of tabulate_simulators."""

    Block: ClassVar = TabulateSimulatorsBlock

    errors: list[Path] = input_file("Errors of every simulator, GAME/seed-SEED/simulators/SIMULATOR/horizon.h5")
    weights: list[Path] = input_file(
        "Weights of all of them and of what they go on from, which say how long they were trained; without, as long as configured",
        default=[],
    )
    speed: Path | None = input_file(
        "Imagined steps a second of every simulator, CSV; without, none are shown", default=None
    )
    csv: Path = output_file("The table, CSV")
    markdown: Path = output_file("The table, Markdown")
    latex: Path = output_file("The table, LaTeX")

    def run(self) -> None:
        """Read, summarise, write."""
        options = self.block().experiment
        made = {place_of(path): updates_made(path) for path in self.weights}
        known = {place: updates for place, updates in made.items() if updates is not None}
        rows = build_simulator_rows(options, [read_scored(path) for path in self.errors], known)
        speeds = read_speeds(self.speed) if self.speed is not None else {}
        write_text(self.csv, simulator_csv(rows, options.scale, speeds))
        write_text(self.markdown, simulator_markdown(rows, options, speeds))
        write_text(self.latex, simulator_latex(rows, options))


def read_scored(path: Path) -> Scored:
    """The errors of one simulator; its folders say which it is."""
    game, seed, simulator = place_of(path)
    return Scored(simulator, game, seed, *read_errors(path))


def place_of(path: Path) -> tuple[str, int, str]:
    """Game, training seed and name of the simulator whose file this is."""
    folder = path.parent
    return folder.parents[2].name, int(folder.parents[1].name.removeprefix("seed-")), folder.name


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(TabulateSimulators, arguments)
