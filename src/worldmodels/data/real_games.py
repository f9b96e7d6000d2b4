"""Whole Atari games of an agent, side by side on the emulator: for its score, and for comparison with what a simulator imagines."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worldmodels.config.tasks import AtariOptions
from worldmodels.data.atari_play import NoisyAgent, Player
from worldmodels.envs.atari.colours import Colours
from worldmodels.envs.atari.emulator import Console
from worldmodels.seeds import generator


class RealGames:
    """One game of each seed, and the agent that plays them, the share ε of its actions random.

    Raises UserError where the agent is of another game, or learned under other rules.
    """

    def __init__(self, agent: Path, task: AtariOptions, seeds: Sequence[int], epsilon: float) -> None:
        self.seeds, self.name = list(seeds), task.game
        self.players = [Player(number, Console(task), generator("unused")) for number in range(len(seeds))]
        for player, seed in zip(self.players, seeds, strict=True):
            player.begin(seed, 0)
        console = self.players[0].console
        self.colours, self.actions = Colours.of(console), len(console.action_codes)
        self.agent = NoisyAgent(agent, console, self.colours, len(seeds), epsilon)
        self.screens = np.empty((len(seeds), *console.screen_shape), np.uint8)
        self.totals, self.ended = np.zeros(len(seeds)), np.zeros(len(seeds), bool)

    @property
    def alive(self) -> np.ndarray:
        """Games that are not over, (S,) bool."""
        return np.array([not player.over for player in self.players])

    def look(self) -> None:
        """Read what all games show."""
        for player, screen in zip(self.players, self.screens, strict=True):
            player.console.read_screen(screen)
            self.colours.learn(player.console, screen)

    def act(self, actions: np.ndarray) -> None:
        """Take actions (S,) in all games that are not over."""
        for player, action in zip(self.players, actions.tolist(), strict=True):
            player.fresh = False
            if not player.over:
                step = player.console.step(action)
                self.totals[player.number] += step.reward
                self.ended[player.number], player.over = step.ended, step.ended or step.timed_out
