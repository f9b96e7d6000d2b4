"""The table of the agents that play for an experiment: their scores beside those of the DQN agents of Chiappa et al. 2017."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from worldmodels.figures.markup import markdown_heading
from worldmodels.figures.published import PublishedRow
from worldmodels.figures.statistics import Summary
from worldmodels.figures.tables import verdict
from worldmodels.runtime.files import csv_table

COLUMNS = (
    *("agent", "game", "mean", "sd", "ci_low", "ci_high", "episodes", "paper_dqn", "verdict"),
    *("training_steps", "emulator_frames", "scale"),
)


class AgentScore(NamedTuple):
    """How an agent plays a game."""

    agent: str
    game: str
    score: Summary  # of whole games, unclipped rewards
    training_steps: int
    emulator_frames: int
    published: float | None  # mean score of the paper's DQN

    def verdict(self, scale: str) -> str:
        """Is the paper's score reproduced? Empty where there is none."""
        paper = None if self.published is None else PublishedRow(None, (self.published, 0.0))
        return verdict(scale, self.score, paper)


def agents_csv(rows: Sequence[AgentScore], scale: str) -> str:
    """agents.csv: see COLUMNS. Empty cells mean that there is no such number."""
    return csv_table(COLUMNS, (_cells(row, scale) for row in rows))


def _cells(row: AgentScore, scale: str) -> dict[str, Any]:
    score = row.score
    numbers = {"mean": score.mean, "sd": score.sd, "ci_low": score.low, "ci_high": score.high}
    cells: dict[str, Any] = {name: f"{value:.6g}" for name, value in numbers.items()}
    cells |= {"agent": row.agent, "game": row.game, "episodes": score.episodes, "verdict": row.verdict(scale)}
    if row.published is not None:
        cells["paper_dqn"] = f"{row.published:g}"
    return cells | {"training_steps": row.training_steps, "emulator_frames": row.emulator_frames, "scale": scale}


def agents_markdown(rows: Sequence[AgentScore], title: str, scale: str) -> str:
    """The table for people."""
    lines = markdown_heading(f"Agents of: {title}", scale)
    lines += [
        "| agent | game | score | 95 % interval | games | paper, DQN | verdict | emulator frames |",
        f"|{'---|' * 8}",
    ]
    for row in rows:
        score, paper = row.score, "" if row.published is None else f"{row.published:g}"
        cells = [row.agent, row.game, f"{score.mean:.1f} ± {score.sd:.1f}", f"{score.low:.1f} to {score.high:.1f}"]
        cells += [str(score.episodes), paper, row.verdict(scale), f"{row.emulator_frames:,}"]
        lines.append(f"| {' | '.join(cells)} |")
    notes = [
        "Score: mean ± standard deviation of whole games with unclipped rewards; the interval is a bootstrap over games.",
        "The paper (Chiappa et al. 2017, appendix A) gives the scores of the DQN agents that played its frames, without spread.",
    ]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"
