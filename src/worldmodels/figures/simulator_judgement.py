"""How a claim about simulators is tested on the rows of an experiment's table.csv: orders of errors, game by game.

Intervals decide within a game, as in judgement.py. Over several games a statement holds where it holds in more than half of
them, does not hold where it does not in more than half, and is unclear otherwise; the count is given.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from worldmodels.errors import UserError
from worldmodels.figures.agent_returns import read_returns
from worldmodels.figures.judgement import Answer, Holds, Score, above, together
from worldmodels.figures.simulator_tables import THOUSANDTHS
from worldmodels.figures.statistics import summarise

Errors = Mapping[str, Mapping[int, Score]]
"""By game and horizon."""


class Played(NamedTuple):
    """How an agent plays a game while it sees what a simulator imagines."""

    random: Score  # of uniform actions
    agent: Mapping[int, Score]  # by chain period: steps from one real frame to the next


class SimulatorScores(NamedTuple):
    """All rows of a table that are of one simulator."""

    simulator: str
    errors: Errors  # in thousandths
    copy_last: Mapping[str, Mapping[int, float]]
    sequences: int
    seeds: int
    verdict: str
    scale: str
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


def read_simulator_scores(path: Path) -> dict[str, SimulatorScores]:
    """The rows of a table.csv, by simulator, with what agents scored inside them, which lies in folders beside it.

    Raises UserError for another file.
    """
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    groups: dict[str, list[dict[str, str]]] = {}
    try:
        for line in lines:
            groups.setdefault(line["simulator"], []).append(line)
        return {
            name: _scores(name, group)._replace(played=_played(path.parent, name, group))
            for name, group in groups.items()
        }
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} is not a table of simulators ({error}). Copy it from results/ again.") from None


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


def _played(folder: Path, name: str, lines: Sequence[Mapping[str, str]]) -> dict[str, Played]:
    """What agents scored inside one simulator, over all training seeds."""
    found = {}
    for game in (line["game"] for line in lines):
        seeds = [read_returns(path) for path in sorted(folder.glob(f"{game}/seed-*/agent/{name}.csv"))]
        if seeds:
            random = _score([seed["random"][1] for seed in seeds])
            periods = sorted(seeds[0]["agent"])
            found[game] = Played(
                random, {period: _score([seed["agent"][period] for seed in seeds]) for period in periods}
            )
    return found


def _score(groups: Sequence[Sequence[float]]) -> Score:
    summary = summarise(groups)
    return Score(summary.mean, summary.low, summary.high)


Rows = Mapping[str, SimulatorScores]


class ErrorFalls(NamedTuple):
    """The error falls from each simulator to the next, at every one of some horizons; in some games only, if any are named."""

    order: tuple[str, ...]
    horizons: tuple[int, ...]
    games: tuple[str, ...] = ()

    def variants(self) -> tuple[str, ...]:
        """All of them."""
        return self.order

    def judge(self, rows: Rows) -> Answer:
        """Does each interval lie above the next?"""
        parts = {}
        for game in _asked(self, rows):
            errors = [[rows[name].errors[game][horizon] for name in self.order] for horizon in self.horizons]
            pairs = [pair for line in errors for pair in zip(line[:-1], line[1:], strict=True)]
            parts[game] = together([above(one, other.low, other.high) for one, other in pairs])
        return _answer(self.order, self.horizons, rows, parts)


class LowerError(NamedTuple):
    """The error of a simulator lies below another's at a horizon; in some games only, if any are named."""

    better: str
    worse: str
    horizon: int
    games: tuple[str, ...] = ()

    def variants(self) -> tuple[str, ...]:
        """Both."""
        return self.better, self.worse

    def judge(self, rows: Rows) -> Answer:
        """Do the intervals part?"""
        return ErrorFalls((self.worse, self.better), (self.horizon,), self.games).judge(rows)


class GainsShrink(NamedTuple):
    """From the first to the second simulator the error falls by more than from the second to the third."""

    order: tuple[str, str, str]
    horizon: int

    def variants(self) -> tuple[str, ...]:
        """All three."""
        return self.order

    def judge(self, rows: Rows) -> Answer:
        """Is the difference of the two gains above zero? Its interval takes the three errors as independent."""
        parts = {}
        for game in rows[self.order[0]].errors:
            first, second, third = (rows[name].errors[game][self.horizon] for name in self.order)
            difference = first.mean - 2 * second.mean + third.mean
            half = math.hypot(_half(first), 2 * _half(second), _half(third))
            parts[game] = above(Score(difference, difference - half, difference + half), 0, 0)
        return _answer(self.order, (self.horizon,), rows, parts)


class BeatsCopy(NamedTuple):
    """The error of a simulator lies below that of the last frame, copied, at every one of some horizons."""

    simulator: str
    horizons: tuple[int, ...]

    def variants(self) -> tuple[str, ...]:
        """The row."""
        return (self.simulator,)

    def judge(self, rows: Rows) -> Answer:
        """Is the whole interval below the copy's error?"""
        row = rows[self.simulator]
        parts = {}
        for game, errors in row.errors.items():
            copies = [Score(*[row.copy_last[game][horizon]] * 3) for horizon in self.horizons]
            ours = [errors[horizon] for horizon in self.horizons]
            pairs = zip(copies, ours, strict=True)
            parts[game] = together([above(copy, one.low, one.high) for copy, one in pairs])
        return _answer((self.simulator,), self.horizons, rows, parts)


class AgentPlays(NamedTuple):
    """An agent that sees a real frame every `period` steps, and between them what a simulator imagines, beats uniform actions."""

    simulator: str
    period: int

    def variants(self) -> tuple[str, ...]:
        """The row."""
        return (self.simulator,)

    def judge(self, rows: Rows) -> Answer:
        """Does its interval lie above that of uniform actions?"""
        played = rows[self.simulator].played
        parts = {game: above(one.agent[self.period], one.random.low, one.random.high) for game, one in played.items()}
        if len(parts) > 1:
            return Answer(_count(parts), over_games(parts), self.variants())
        ((game, one),) = played.items()
        ours = f"{game}: a real frame every {self.period} steps {one.agent[self.period]}, uniform actions {one.random}"
        real = f", real frames alone {one.agent[1]}" if 1 in one.agent else ""
        return Answer(ours + real, parts[game], self.variants())


SimulatorTest = ErrorFalls | LowerError | GainsShrink | BeatsCopy | AgentPlays


def _asked(test: ErrorFalls, rows: Rows) -> list[str]:
    """The table's games that a test speaks of."""
    return [game for game in rows[test.order[0]].errors if not test.games or game in test.games]


def answers(test: SimulatorTest, rows: Rows) -> bool:
    """Whether rows have errors in a game that a test speaks of, at every horizon that it needs."""
    if (
        isinstance(test, ErrorFalls | LowerError)
        and test.games
        and not set(test.games) & {*rows[test.variants()[0]].errors}
    ):
        return False
    if isinstance(test, AgentPlays):
        played = rows[test.simulator].played.values()
        return bool(played) and all(test.period in one.agent for one in played)
    needed = {test.horizon} if isinstance(test, LowerError | GainsShrink) else {*test.horizons}
    return all(needed <= set(errors) for name in test.variants() for errors in rows[name].errors.values())


def _half(score: Score) -> float:
    return (score.high - score.low) / 2


def over_games(parts: Mapping[str, Holds]) -> Holds:
    """What most games say."""
    for answer in ("holds", "does not hold"):
        if 2 * list(parts.values()).count(answer) > len(parts):
            return answer
    return "unclear"


def _count(parts: Mapping[str, Holds]) -> str:
    """How many games say what."""
    counted = [list(parts.values()).count(word) for word in ("holds", "unclear", "does not hold")]
    return "games: {} hold, {} unclear, {} do not".format(*counted)


def _answer(names: Sequence[str], horizons: Sequence[int], rows: Rows, parts: Mapping[str, Holds]) -> Answer:
    """Errors where there is one game, and the count of games where there are several."""
    if len(parts) > 1:
        return Answer(_count(parts), over_games(parts), tuple(names))
    (game,) = parts
    texts = [
        f"{horizon} ahead: " + "; ".join(f"`{name}` {as_error(rows[name].errors[game][horizon])}" for name in names)
        for horizon in horizons
    ]
    return Answer(f"{game}, thousandths, {', '.join(texts)}", over_games(parts), tuple(names))


def as_error(score: Score) -> str:
    """An error with its interval; errors are too small for one digit."""
    return f"{score.mean:.3g} [{score.low:.3g}, {score.high:.3g}]"
