"""How a claim about simulators is tested on the rows of an experiment's table.csv: orders of errors, game by game.

Intervals decide within a game, as in judgement.py: those of differences on the same sequences, since a sequence that is hard for one
simulator is hard for the others. Over several games a statement holds where it holds in more than half of
them, does not hold where it does not in more than half, and is unclear otherwise; the count is given.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from worldmodels.figures.judgement import Answer, Holds, Score, above, together
from worldmodels.figures.simulator_scores import SimulatorScores, mean_with_interval

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
        """Does each error lie above the next?"""
        pairs = [*zip(self.order[:-1], self.order[1:], strict=True)]
        parts = {
            game: together(
                [is_lower(rows[better], rows[worse], game, h) for h in self.horizons for worse, better in pairs]
            )
            for game in _asked(self, rows)
        }
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
        """Does the difference leave no doubt?"""
        return ErrorFalls((self.worse, self.better), (self.horizon,), self.games).judge(rows)


class GainsShrink(NamedTuple):
    """The error falls from the first simulator to the second, and by more than from the second to the third."""

    order: tuple[str, str, str]
    horizon: int

    def variants(self) -> tuple[str, ...]:
        """All three."""
        return self.order

    def judge(self, rows: Rows) -> Answer:
        """Are the first gain, and the difference of the two gains, above zero?"""
        first, second, third = (rows[name] for name in self.order)
        parts = {}
        for game in first.errors:
            difference = _gain_lost(first, second, third, game, self.horizon)
            parts[game] = together([is_lower(second, first, game, self.horizon), above(difference, 0, 0)])
        return _answer(self.order, (self.horizon,), rows, parts)


class BeatsCopy(NamedTuple):
    """The error of a simulator lies below that of the last frame, copied, at every one of some horizons."""

    simulator: str
    horizons: tuple[int, ...]

    def variants(self) -> tuple[str, ...]:
        """The row."""
        return (self.simulator,)

    def judge(self, rows: Rows) -> Answer:
        """Is it below the copy's error on the same sequences?"""
        row = rows[self.simulator]
        parts = {game: together([_below_copy(row, game, horizon) for horizon in self.horizons]) for game in row.errors}
        return _answer((self.simulator,), self.horizons, rows, parts)


def is_lower(better: SimulatorScores, worse: SimulatorScores, game: str, horizon: int) -> Holds:
    """Whether an error lies below another: by the interval of their difference, sequence by sequence, where the raw errors are there.

    Else by whether the table's two intervals part, which takes more of a difference.
    """
    raw = _same_sequences([better, worse], game)
    if raw is not None:
        lower, higher = (one[:, :, horizon - 1] for one in raw)
        return above(mean_with_interval(higher - lower), 0, 0)
    one, other = (scores.errors[game][horizon] for scores in (worse, better))
    return above(one, other.low, other.high)


def _below_copy(row: SimulatorScores, game: str, horizon: int) -> Holds:
    raw = row.raw.get(game)
    if raw is not None:
        return above(mean_with_interval((raw.copy_last - raw.errors)[:, :, horizon - 1]), 0, 0)
    error, copied = row.errors[game][horizon], row.copy_last[game][horizon]
    return above(Score(copied, copied, copied), error.low, error.high)


def _gain_lost(
    first: SimulatorScores, second: SimulatorScores, third: SimulatorScores, game: str, horizon: int
) -> Score:
    """By how much less the error falls from the second to the third than from the first to the second."""
    raw = _same_sequences([first, second, third], game)
    if raw is not None:
        errors = [one[:, :, horizon - 1] for one in raw]
        return mean_with_interval(errors[0] - 2 * errors[1] + errors[2])
    one, two, three = (scores.errors[game][horizon] for scores in (first, second, third))
    difference = one.mean - 2 * two.mean + three.mean
    half = math.hypot(_half(one), 2 * _half(two), _half(three))  # as if the three were independent
    return Score(difference, difference - half, difference + half)


def _same_sequences(scores: Sequence[SimulatorScores], game: str) -> list[np.ndarray] | None:
    """Raw errors (S, N, K) of several simulators on the same sequences; None where some are missing.

    Sequences are the same where copying the last frame has the same errors: of another kind of frame they have not.
    """
    raw = [one.raw.get(game) for one in scores]
    known = [one for one in raw if one is not None]
    if len(known) < len(raw) or any(one.copy_last.shape != known[0].copy_last.shape for one in known):
        return None
    if any(not np.array_equal(one.copy_last, known[0].copy_last) for one in known):
        return None
    return [one.errors for one in known]


class AgentPlays(NamedTuple):
    """An agent that sees a real frame every `period` steps, and between them what a simulator imagines, scores more than without.

    Without: uniform actions, or where `control` is named, the same agent inside that simulator.
    """

    simulator: str
    period: int
    control: str = ""

    def variants(self) -> tuple[str, ...]:
        """The row, and the control's."""
        return (self.simulator, self.control) if self.control else (self.simulator,)

    def judge(self, rows: Rows) -> Answer:
        """Does its interval lie above the control's?"""
        parts, texts = {}, {}
        for game, one in rows[self.simulator].played.items():
            score = one.agent[self.period]
            other = rows[self.control].played[game].agent[self.period] if self.control else one.random
            parts[game] = above(score, other.low, other.high)
            control = f"inside `{self.control}`" if self.control else "uniform actions"
            real = f", real frames alone {one.agent[1]}" if 1 in one.agent else ""
            texts[game] = f"{game}: a real frame every {self.period} steps {score}, {control} {other}{real}"
        ours = _count(parts) if len(parts) > 1 else next(iter(texts.values()))
        return Answer(ours, over_games(parts), self.variants())


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
        played = [rows[name].played for name in test.variants()]
        games = set(played[0])
        return bool(games) and all(
            games == set(own) and all(test.period in one.agent for one in own.values()) for own in played
        )
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
