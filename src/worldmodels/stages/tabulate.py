"""Write the table of an experiment: CSV, Markdown and LaTeX, our scores beside the published ones."""

from pathlib import Path
from typing import ClassVar

from worldmodels.config.blocks import ReportBlock
from worldmodels.figures.episodes import read_episodes
from worldmodels.figures.tables import Budget, build_rows, csv_text, latex_text, markdown_text
from worldmodels.figures.wording import WORDING
from worldmodels.runtime.files import read_json, write_text
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage


class Tabulate(Stage):
    """Options of tabulate."""

    Block: ClassVar = ReportBlock
    uses_torch = False

    episodes: list[Path] = input_file("Episodes of every variant and seed, CSV")
    controllers: list[Path] = input_file("Controllers of every evolved variant and seed, JSON", default=[])
    csv: Path = output_file("The table, CSV")
    markdown: Path = output_file("The table, Markdown")
    latex: Path = output_file("The table, LaTeX")

    def run(self) -> None:
        """Read, summarise, write."""
        block = self.block()
        options, wording = block.experiment, WORDING[block.task.name]
        rows = build_rows(options, read_episodes(self.episodes), self._budgets())
        write_text(self.csv, csv_text(rows, options))
        write_text(self.markdown, markdown_text(rows, options, wording, block.policy))
        write_text(self.latex, latex_text(rows, options, wording))

    def _budgets(self) -> dict[str, Budget]:
        """What each variant cost, by the folder name of its controller; one training seed stands for all."""
        budgets: dict[str, Budget] = {}
        for path in self.controllers:
            controller = read_json(path)
            budgets.setdefault(path.parent.name, Budget(*(int(controller[name]) for name in Budget._fields)))
        return budgets


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(Tabulate, arguments)
