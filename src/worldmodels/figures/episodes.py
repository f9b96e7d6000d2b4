"""episodes.csv, one row an episode: the raw truth behind every number."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from worldmodels.errors import UserError
from worldmodels.runtime.files import csv_table, require_file, write_text

COLUMNS = ("experiment", "training_seed", "variant", "environment", "episode_seed", "steps", "return", "ended")


class Episode(NamedTuple):
    """One row. environment: real or dream; ended: death or timeout."""

    experiment: str
    training_seed: int
    variant: str
    environment: str
    episode_seed: int
    steps: int
    total: float  # the column `return`
    ended: str


def write_episodes(path: Path, rows: Iterable[Episode]) -> None:
    """Write rows atomically."""
    cells = ((*row[:6], _number(row.total), row.ended) for row in rows)
    write_text(path, csv_table(COLUMNS, (dict(zip(COLUMNS, row, strict=True)) for row in cells)))


def _number(total: float) -> str:
    """Six digits, or a whole number in full: Atari has scores above a million."""
    return f"{total:.0f}" if float(total).is_integer() else f"{total:g}"


def read_episodes(paths: Iterable[Path]) -> list[Episode]:
    """Read the rows of all files. Raises UserError naming the file and line of the first damage."""
    rows: list[Episode] = []
    for path in paths:
        require_file(path)
        with path.open(newline="") as file:
            lines = csv.reader(file)
            if tuple(next(lines, ())) != COLUMNS:
                raise UserError(f"{path} is not an episodes file: its first line is not {','.join(COLUMNS)}.")
            rows += [_parse(path, number, line) for number, line in enumerate(lines, start=2)]
    return rows


def _parse(path: Path, number: int, line: list[str]) -> Episode:
    try:
        experiment, seed, variant, environment, episode_seed, steps, total, ended = line
        return Episode(experiment, int(seed), variant, environment, int(episode_seed), int(steps), float(total), ended)
    except ValueError:
        raise UserError(
            f"{path}, line {number} is damaged: {line}. Delete the file: the episodes are played again."
        ) from None
