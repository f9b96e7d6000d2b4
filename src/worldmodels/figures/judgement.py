"""How a claim is tested on the rows of a table.csv: what ours is, and whether the claim holds for it.

Intervals decide, not means: a statement holds where the 95 % intervals leave no doubt, does not hold where they leave
none the other way, and is unclear between. A real score's interval is the table's bootstrap; a dream's, for which the
table gives none, is mean ± 1.96 sd / sqrt(n) over its episodes.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from worldmodels.errors import UserError
from worldmodels.runtime.files import require_file

Holds = Literal["holds", "does not hold", "unclear"]
NORMAL_95 = 1.96


class Score(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} [{self.low:.1f}, {self.high:.1f}]"


class Row(NamedTuple):
    """A row of a table that we scored ourselves."""

    variant: str
    real: Score
    dream: Score | None
    episodes: int
    seeds: int
    verdict: str
    scale: str
    cells: Mapping[str, str]  # as they stand in the file

    @property
    def basis(self) -> str:
        """What its numbers rest on."""
        return f"{self.episodes:,} real episodes a row"


class Answer(NamedTuple):
    """What a test says. holds: None where the claim is a number, whose verdict the table itself gives."""

    ours: str
    holds: Holds | None
    variants: tuple[str, ...]


class Test(Protocol):
    """A claim about one or more variants."""

    def variants(self) -> tuple[str, ...]:
        """Rows that it needs, the claimed one first."""

    def judge(self, rows: Mapping[str, Row]) -> Answer:
        """The answer, from rows that hold all of `variants`."""


def read_rows(path: Path) -> dict[str, Row]:
    """Our rows of a table.csv, by variant; rows that are only quoted are left out. Raises UserError for another file."""
    require_file(path)
    with path.open(newline="") as file:
        lines = csv.DictReader(file)
        if not {"variant", "actual_mean", "verdict", "scale"} <= set(lines.fieldnames or ()):
            raise UserError(f"{path} is not a table of scores: it has no columns variant, actual_mean, verdict, scale.")
        return {line["variant"]: _row(line) for line in lines if line["actual_mean"]}


def _row(cells: Mapping[str, str]) -> Row:
    real = Score(*(float(cells[name]) for name in ("actual_mean", "actual_ci_low", "actual_ci_high")))
    counts = int(cells["actual_n"]), int(cells["training_seeds"])
    return Row(cells["variant"], real, _dream(cells), *counts, cells["verdict"], cells["scale"], cells)


def _dream(cells: Mapping[str, str]) -> Score | None:
    if not cells["virtual_mean"]:
        return None
    mean, sd, count = (float(cells[name]) for name in ("virtual_mean", "virtual_sd", "virtual_n"))
    half = NORMAL_95 * sd / math.sqrt(count)
    return Score(mean, mean - half, mean + half)


def above(score: Score, low: float, high: float) -> Holds:
    """Whether `score` lies above what lies between `low` and `high`."""
    if score.low > high:
        return "holds"
    return "does not hold" if score.high < low else "unclear"


def together(parts: Sequence[Holds]) -> Holds:
    """A statement of several parts holds when all hold, and does not when one does not."""
    if "does not hold" in parts:
        return "does not hold"
    return "holds" if all(part == "holds" for part in parts) else "unclear"


class SameScore(NamedTuple):
    """The scores of a row of a published table."""

    variant: str

    def variants(self) -> tuple[str, ...]:
        """The row."""
        return (self.variant,)

    def judge(self, rows: Mapping[str, Row]) -> Answer:
        """Ours; the table's own verdict stands."""
        row = rows[self.variant]
        dream = f"dream {row.dream}, " if row.dream else ""
        return Answer(f"{dream}real {row.real}", None, self.variants())


class Above(NamedTuple):
    """The real score of a variant lies above a bound."""

    variant: str
    bound: float

    def variants(self) -> tuple[str, ...]:
        """The row."""
        return (self.variant,)

    def judge(self, rows: Mapping[str, Row]) -> Answer:
        """Is the whole interval above the bound?"""
        real = rows[self.variant].real
        return Answer(f"real {real}", above(real, self.bound, self.bound), self.variants())


class Beats(NamedTuple):
    """The real score of a variant lies above those of others."""

    variant: str
    others: tuple[str, ...]

    def variants(self) -> tuple[str, ...]:
        """The winner and the others."""
        return (self.variant, *self.others)

    def judge(self, rows: Mapping[str, Row]) -> Answer:
        """Do the intervals part, for each of the others?"""
        parts = [above(rows[self.variant].real, rows[other].real.low, rows[other].real.high) for other in self.others]
        ours = "; ".join(f"`{name}` {rows[name].real}" for name in self.variants())
        return Answer(f"real: {ours}", together(parts), self.variants())


class Cheats(NamedTuple):
    """The score in the dream lies above the real one, which is no better than the random policy's."""

    variant: str
    random: str = "random"

    def variants(self) -> tuple[str, ...]:
        """The row and the random policy's."""
        return (self.variant, self.random)

    def judge(self, rows: Mapping[str, Row]) -> Answer:
        """Does the dream promise more than the game gives, and the game give nothing?"""
        row, random = rows[self.variant], rows[self.random].real
        dream = row.dream or Score(math.nan, -math.inf, math.inf)
        useless: Holds = "does not hold" if row.real.low > random.high else "holds"
        holds = together([above(dream, row.real.low, row.real.high), useless])
        return Answer(f"dream {dream}, real {row.real}, random {random}", holds, self.variants())


class Falls(NamedTuple):
    """Scores in the dream fall from each variant to the next."""

    order: tuple[str, ...]

    def variants(self) -> tuple[str, ...]:
        """All of them."""
        return self.order

    def judge(self, rows: Mapping[str, Row]) -> Answer:
        """Does each interval lie above the next?"""
        dreams = [rows[name].dream or Score(math.nan, -math.inf, math.inf) for name in self.order]
        parts = [above(one, other.low, other.high) for one, other in zip(dreams[:-1], dreams[1:], strict=True)]
        ours = ", ".join(str(dream) for dream in dreams)
        return Answer(f"dream: {ours}", together(parts), self.variants())
