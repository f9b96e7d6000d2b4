"""Make the table and the films of an experiment into HTML pages that need no other file, for the report."""

from pathlib import Path
from typing import ClassVar

from worldmodels.config.blocks import ShowBlock
from worldmodels.figures.pages import film_page, table_page
from worldmodels.runtime.files import write_text
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage

REAL_PIXELS, DREAM_PIXELS = 1040, 512
"""Widths of the films on the page: twice their own."""


class Show(Stage):
    """Options of show."""

    Block: ClassVar = ShowBlock
    uses_torch = False

    table: Path = input_file("The table, Markdown")
    real: Path = input_file("Film of the real game, MP4")
    dream: Path = input_file("Film of the dream, MP4")
    table_page: Path = output_file("The table, HTML")
    real_page: Path = output_file("A page that plays the film of the real game")
    dream_page: Path = output_file("A page that plays the film of the dream")

    def run(self) -> None:
        """Read, embed, write."""
        title = self.block().title or self.table.parent.name
        write_text(self.table_page, table_page(title, self.table.read_text()))
        write_text(self.real_page, film_page(f"{title}: real environment", self.real.read_bytes(), REAL_PIXELS))
        write_text(self.dream_page, film_page(f"{title}: dream", self.dream.read_bytes(), DREAM_PIXELS))


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(Show, arguments)
