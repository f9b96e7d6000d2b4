"""The table of the agents that play for an experiment: their scores beside those of the DQN agents of Chiappa et al. 2017."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

from worldmodels.figures.published import PublishedRow
from worldmodels.figures.statistics import Summary
from worldmodels.figures.tables import verdict

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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        numbers = (f"{value:.6g}" for value in (row.score.mean, row.score.sd, row.score.low, row.score.high))
        paper = "" if row.published is None else f"{row.published:g}"
        cells = (row.agent, row.game, *numbers, row.score.episodes, paper, row.verdict(scale))
        writer.writerow((*cells, row.training_steps, row.emulator_frames, scale))
    return text.getvalue()


def agents_markdown(rows: Sequence[AgentScore], title: str, scale: str) -> str:
    """The table for people."""
    lines = [f"# Agents of: {title}", ""]
    if scale == "smoke":
        lines += ["**Smoke test: these numbers mean nothing.** They only show that the workflow runs.", ""]
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
