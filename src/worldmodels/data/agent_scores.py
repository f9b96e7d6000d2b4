"""The score of an agent that collects data: whole games, unclipped rewards, a little noise, beside the papers'."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from worldmodels.config.atari import AtariShardOptions
from worldmodels.config.tasks import AtariOptions
from worldmodels.data.atari_play import NoisyAgent, Player
from worldmodels.envs.atari.colours import Colours
from worldmodels.envs.atari.emulator import Console
from worldmodels.seeds import REPORT_SEEDS, episode_seeds, generator

PUBLISHED_DQN = {
    "bowling": 51.84,
    "breakout": 396.25,
    "fishing_derby": 19.30,
    "freeway": 33.38,
    "ms_pacman": 2963.31,
    "pong": 20.88,
    "qbert": 14865.43,
    "riverraid": 13593.49,
    "seaquest": 17250.31,
    "space_invaders": 2952.09,
}
"""Scores of the DQN agents that collected RES's data (Chiappa et al. 2017, table in appendix A)."""


class AgentEpisode(NamedTuple):
    """One game of the report."""

    seed: int
    steps: int
    total: float  # of the unclipped rewards
    ended: bool  # by the game's rules, not cut off


def play_games(path: Path, task: AtariOptions, episodes: int, epsilon: float) -> list[AgentEpisode]:
    """Play `episodes` games side by side with the agent in `path`, the share ε of its actions random."""
    seeds = episode_seeds(REPORT_SEEDS, "train_agent", task.game, count=episodes)
    players = [Player(number, Console(task), generator("unused")) for number in range(episodes)]
    for player, seed in zip(players, seeds, strict=True):
        player.begin(seed, 0)
    console = players[0].console
    options = AtariShardOptions(
        task=task, epsilon=epsilon, uses_agent=True, frames_per_shard=0, parallel_games=episodes, seed=0
    )
    colours = Colours.of(console)
    agent = NoisyAgent(path, options, console, colours)
    screens = np.empty((episodes, *console.screen_shape), np.uint8)
    totals, ended = np.zeros(episodes), np.zeros(episodes, bool)
    while not all(player.over for player in players):
        for player in players:
            player.console.read_screen(screens[player.number])
            colours.learn(player.console, screens[player.number])
        for player, action in zip(players, agent.choose(screens, players), strict=True):
            if not player.over:
                step = player.console.step(int(action))
                totals[player.number] += step.reward
                ended[player.number], player.over = step.ended, step.ended or step.timed_out
            player.fresh = False
    rows = zip(seeds, players, totals, ended, strict=True)
    return [AgentEpisode(seed, player.console.steps, float(total), bool(end)) for seed, player, total, end in rows]


def score_record(game: str, steps: int, frame_repeat: int, episodes: list[AgentEpisode]) -> dict[str, Any]:
    """What score.json says: the mean return, its spread, what it cost, and the published DQN score of the game."""
    totals = [episode.total for episode in episodes]
    return {
        "game": game,
        "mean": float(np.mean(totals)),
        "sd": float(np.std(totals, ddof=1)) if len(totals) > 1 else None,
        "episodes": len(totals),
        "training_steps": steps,
        "emulator_frames": steps * frame_repeat,
        "published_dqn": PUBLISHED_DQN.get(game),
    }
