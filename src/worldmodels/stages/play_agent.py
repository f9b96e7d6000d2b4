"""Let an agent of the real game act on what a simulator imagines, with real frames every so many steps: scores, a film, and what it saw.

The real game takes the same actions beside it and keeps the score. Beside the agent stands one that acts at random.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch

from worldmodels.config.simulator_blocks import PlayAgentBlock, simulator_modules
from worldmodels.data.real_games import RealGames
from worldmodels.figures.simulator_films import agent_film
from worldmodels.figures.videos import write_mp4
from worldmodels.runtime.device import resolve_device
from worldmodels.runtime.files import csv_table, write_text
from worldmodels.runtime.progress import Progress
from worldmodels.seeds import REPORT_SEEDS, episode_seeds
from worldmodels.simulators.agent_play import ChainEpisode, ChainPlay, play_chain
from worldmodels.simulators.load import load_simulator
from worldmodels.simulators.moments_file import write_moments
from worldmodels.simulators.protocol import ScoredSimulator
from worldmodels.stages.stage import Seed, Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage

COLUMNS = (
    *("simulator", "game", "training_seed", "policy", "chain_period", "episode_seed", "steps", "return", "ended"),
    *("agreement", "error"),
)
FILM_FRAMES = 600
FRAMES_A_SECOND = 15
"""True speed: every 4th of 60 frames."""


class PlayAgent(Stage):
    """Options of play_agent."""

    Block: ClassVar = PlayAgentBlock
    uses_gpu = True

    weights: Path = input_file("The simulator's weights; their folder has its name")
    agent: Path = input_file("The agent's file")
    csv: Path = output_file("Every game's score, CSV")
    film: Path = output_file("The first game with the longest chain period, MP4")
    moments: Path = output_file("What the agent saw at some moments of that game's first chain, HDF5")
    seed: Seed

    def modules(self) -> list[str]:
        """The stage, and the network of the simulator's kind."""
        return [*super().modules(), *simulator_modules(self.block())]

    def run(self) -> None:
        """Play with each chain period, the longest last, which is filmed."""
        block = self.block()
        simulator = load_simulator(self.weights, resolve_device(self.device))
        runs = [("random", 1), *(("agent", period) for period in sorted(set(block.chain_periods)))]
        found = self.state.load()
        rows: list[dict[str, Any]] = [] if found is None else found[1]["rows"]
        done = 0 if found is None else int(found[1]["runs"])
        with Progress("play_agent", len(runs), "chain periods", self.state, done) as progress:
            for number, (policy, period) in enumerate(runs[done:], done + 1):
                played = self._play(simulator, policy, period)
                rows += [self._row(policy, period, episode) for episode in played.episodes]
                progress.advance()
                if number < len(runs):
                    self.state.save({"runs": torch.tensor(number)}, {"rows": rows, "runs": number})
        write_text(self.csv, as_csv(rows))
        write_moments(self.moments, played.moments)
        pictures = agent_film(played.frames[:FILM_FRAMES], self.weights.parent.name, period)
        write_mp4(self.film, pictures, FRAMES_A_SECOND)

    def _play(self, simulator: ScoredSimulator, policy: str, period: int) -> ChainPlay:
        """The same games, begun anew, for every policy and chain period."""
        block = self.block()
        seeds = episode_seeds(REPORT_SEEDS, "play_agent", block.task.game, count=block.games)
        games = RealGames(self.agent, block.task, seeds, 1.0 if policy == "random" else block.epsilon)
        return play_chain(simulator, games, period, block.warm_up, block.steps, self.state.stop.check)

    def _row(self, policy: str, period: int, episode: ChainEpisode) -> dict[str, Any]:
        known = {name: value for name, value in episode._asdict().items() if not _unknown(value)}
        moved = {"episode_seed": known.pop("seed"), "return": known.pop("total"), "ended": known.pop("ended")}
        place = {"simulator": self.weights.parent.name, "game": self.block().task.game, "training_seed": self.seed}
        return {**place, "policy": policy, "chain_period": period, **known, **moved}


def _unknown(value: float) -> bool:
    return isinstance(value, float) and math.isnan(value)


def as_csv(rows: list[dict[str, Any]]) -> str:
    """One row a game: see COLUMNS. Empty cells are of games without predicted frames."""
    return csv_table(COLUMNS, (dict(_cells(row)) for row in rows))


def _cells(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        yield name, f"{value:.6g}" if isinstance(value, float) else value


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(PlayAgent, arguments)
