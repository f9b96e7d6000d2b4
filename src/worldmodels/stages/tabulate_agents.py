"""Write the table of the agents that play for an experiment, their scores beside the paper's: CSV and Markdown."""

import csv
from pathlib import Path
from typing import ClassVar

from worldmodels.config.simulator_blocks import TabulateAgentsBlock
from worldmodels.figures.agent_tables import AgentScore, agents_csv, agents_markdown
from worldmodels.figures.published import PUBLISHED_DQN
from worldmodels.figures.statistics import summarise
from worldmodels.runtime.files import read_json, write_text
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage


class TabulateAgents(Stage):
    """Options of tabulate_agents."""

    Block: ClassVar = TabulateAgentsBlock
    uses_torch = False

    scores: list[Path] = input_file("Score of every agent, AGENT/GAME/score.json")
    episodes: list[Path] = input_file("The games behind each, AGENT/GAME/episodes.csv, in the same order")
    csv: Path = output_file("The table, CSV")
    markdown: Path = output_file("The table, Markdown")

    def run(self) -> None:
        """Read, summarise, write."""
        block = self.block()
        rows = [read_agent(*paths) for paths in zip(self.scores, self.episodes, strict=True)]
        write_text(self.csv, agents_csv(rows, block.scale))
        write_text(self.markdown, agents_markdown(rows, block.title, block.scale))


def read_agent(score: Path, episodes: Path) -> AgentScore:
    """An agent's score; its folders say whose it is."""
    with episodes.open(newline="") as file:
        returns = [float(row["return"]) for row in csv.DictReader(file)]
    record = read_json(score)
    return AgentScore(
        agent=score.parents[1].name,
        game=score.parent.name,
        score=summarise([returns]),
        training_steps=int(record["training_steps"]),
        emulator_frames=int(record["emulator_frames"]),
        published=PUBLISHED_DQN.get(record["game"]),
    )


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(TabulateAgents, arguments)
