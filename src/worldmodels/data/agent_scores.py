"""The score of an agent that collects data: whole games, unclipped rewards, a little noise."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from worldmodels.config.tasks import AtariOptions
from worldmodels.data.real_games import RealGames
from worldmodels.seeds import REPORT_SEEDS, episode_seeds


class AgentEpisode(NamedTuple):
    """One game of the report."""

    seed: int
    steps: int
    total: float  # of the unclipped rewards
    ended: bool  # by the game's rules, not cut off


def play_games(path: Path, task: AtariOptions, episodes: int, epsilon: float) -> list[AgentEpisode]:
    """Play `episodes` games side by side with the agent in `path`, the share ε of its actions random."""
    games = RealGames(path, task, episode_seeds(REPORT_SEEDS, "train_agent", task.game, count=episodes), epsilon)
    while games.alive.any():
        games.look()
        games.act(games.agent.choose(games.screens, games.players))
    steps = [player.console.steps for player in games.players]
    rows = zip(games.seeds, steps, games.totals.tolist(), games.ended.tolist(), strict=True)
    return [AgentEpisode(*row) for row in rows]


def score_record(game: str, steps: int, frame_repeat: int, episodes: list[AgentEpisode]) -> dict[str, Any]:
    """What score.json says: the mean return, its spread, and what it cost."""
    totals = [episode.total for episode in episodes]
    return {
        "game": game,
        "mean": float(np.mean(totals)),
        "sd": float(np.std(totals, ddof=1)) if len(totals) > 1 else None,
        "episodes": len(totals),
        "training_steps": steps,
        "emulator_frames": steps * frame_repeat,
    }
