"""The committed table of an experiment with simulators, and the raw files beside it, as what claims are judged by."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from worldmodels.errors import UserError
from worldmodels.figures.agent_returns import read_returns
from worldmodels.figures.judgement import Score
from worldmodels.figures.simulator_tables import THOUSANDTHS
from worldmodels.figures.statistics import crossed_interval, summarise
from worldmodels.simulators.error_file import read_errors

Errors = Mapping[str, Mapping[int, Score]]
"""By game and horizon."""
ROUNDING = 1e-4
"""A table and the files that it is made from agree to this share: tables have six digits."""


class Played(NamedTuple):
    """How an agent plays a game while it sees what a simulator imagines."""

    random: Score  # of uniform actions
    agent: Mapping[int, Score]  # by chain period: steps from one real frame to the next


class Raw(NamedTuple):
    """Errors of every held-out sequence, in thousandths."""

    errors: np.ndarray  # (S, N, K), training seeds, sequences, steps ahead
    copy_last: np.ndarray  # the same of the last frame, copied


class SimulatorScores(NamedTuple):
    """All rows of a table that are of one simulator."""

    simulator: str
    errors: Errors  # in thousandths
    copy_last: Mapping[str, Mapping[int, float]]
    sequences: int
    seeds: int
    verdict: str
    scale: str
    raw: Mapping[str, Raw] = {}  # by game, where the files are there
    played: Mapping[str, Played] = {}  # by game, where an agent acted inside it

    @property
    def basis(self) -> str:
        """What its numbers rest on."""
        games = len(self.errors)
        return f"{self.sequences:,} held-out sequences a game, {games} game{'s' if games > 1 else ''}"

    def numbers(self) -> Iterator[tuple[str, str]]:
        """Name and value of each number that papers cite."""
        for game, errors in self.errors.items():
            yield from ((f"{game} error {horizon}", f"{error.mean:.4g}") for horizon, error in errors.items())


def read_simulator_scores(path: Path, owner: Callable[[str], str] | None = None) -> dict[str, SimulatorScores]:
    """The rows of a table.csv, by simulator, with their raw errors and what agents scored inside them.

    owner: the folder, beside the table's, that holds a simulator's errors; none is the table's own. Raises UserError for
    another file, and where table and errors are not of one run.
    """
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    groups: dict[str, list[dict[str, str]]] = {}
    try:
        for line in lines:
            groups.setdefault(line["simulator"], []).append(line)
        scores = {name: _scores(name, group) for name, group in groups.items()}
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} is not a table of simulators ({error}). Copy it from results/ again.") from None
    folders = {name: path.parent if owner is None else path.parents[1] / owner(name) for name in scores}
    return {
        name: one._replace(raw=_raw(path, folders[name], one), played=_played(path.parent, one))
        for name, one in scores.items()
    }


def _scores(name: str, lines: Sequence[Mapping[str, str]]) -> SimulatorScores:
    horizons = [int(column.removeprefix("error_")) for column in lines[0] if column.removeprefix("error_").isdigit()]
    errors: dict[str, dict[int, Score]] = {}
    copied: dict[str, dict[int, float]] = {}
    for line in lines:
        known = [horizon for horizon in horizons if line[f"error_{horizon}"]]
        columns = ("error", "error_low", "error_high")
        errors[line["game"]] = {
            h: Score(*(THOUSANDTHS * float(line[f"{column}_{h}"]) for column in columns)) for h in known
        }
        copied[line["game"]] = {h: THOUSANDTHS * float(line[f"copy_last_{h}"]) for h in known}
    first = lines[0]
    counts = int(first["sequences"]), int(first["training_seeds"])
    return SimulatorScores(name, errors, copied, *counts, first["verdict"], first["scale"])


def _raw(table: Path, folder: Path, scores: SimulatorScores) -> dict[str, Raw]:
    """Raw errors of one simulator, of the games that have a file for every training seed of the table."""
    found = {}
    for game, errors in scores.errors.items():
        paths = sorted(folder.glob(f"{game}/seed-*/simulators/{scores.simulator}/horizon.h5"))
        if len(paths) != scores.seeds:
            continue
        read = [read_errors(path)[0] for path in paths]
        raw = Raw(*(THOUSANDTHS * np.stack([getattr(one, name) for one in read]) for name in Raw._fields))
        for horizon, error in errors.items():
            if abs(raw.errors[:, :, horizon - 1].mean() - error.mean) > ROUNDING * error.mean:
                raise UserError(
                    f"{table} and {paths[0]} are not of one run: `{scores.simulator}` has other errors there. Copy both from "
                    "results/ again."
                )
        found[game] = raw
    return found


def _played(folder: Path, scores: SimulatorScores) -> dict[str, Played]:
    """What agents scored inside one simulator, over all training seeds, which play the same games."""
    found = {}
    for game in scores.errors:
        paths = sorted(folder.glob(f"{game}/seed-*/agent/{scores.simulator}.csv"))
        if paths:
            seeds = [read_returns(path) for path in paths]
            periods = sorted(seeds[0]["agent"])
            agent = {period: _score([seed["agent"][period] for seed in seeds]) for period in periods}
            found[game] = Played(_score([seed["random"][1] for seed in seeds]), agent)
    return found


def _score(groups: Sequence[Sequence[float]]) -> Score:
    summary = summarise(groups, same_episodes=True)
    return Score(summary.mean, summary.low, summary.high)


def mean_with_interval(values: np.ndarray) -> Score:
    """Of numbers (S, N) of the same N sequences for every training seed."""
    return Score(float(values.mean()), *crossed_interval(values))
