"""Several Atari games that advance in lockstep, a row at a time, so that an agent chooses for all of them at once.

A row is one moment of an episode: a screen, the action taken there and what followed. The last row of an episode has a
screen alone. See data/atari.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from worldmodels.config.atari import AtariShardOptions
from worldmodels.data.atari import NO_ACTION
from worldmodels.envs.atari.colours import Colours
from worldmodels.envs.atari.emulator import Console, noop_frames
from worldmodels.envs.atari.eyes import Eyes, grey_frames
from worldmodels.errors import UserError
from worldmodels.models.atari_agent import choose_actions, load_agent, map_actions
from worldmodels.seeds import generator


@dataclass
class Player:
    """One of the games of a shard: its console and the episode that it plays."""

    number: int
    console: Console
    rng: np.random.Generator
    attempts: int = 0
    fresh: bool = True  # the next row is the first of an episode
    over: bool = False  # the next row is the last of the episode
    rows: list[int] = field(default_factory=list)  # first row of each episode, in this game's part
    seeds: list[int] = field(default_factory=list)
    noops: list[int] = field(default_factory=list)

    def begin(self, seed: int, row: int) -> None:
        """Begin the episode of `seed` at a row."""
        self.rng = generator("collect_atari", "episode", seed)
        noops = noop_frames(self.console.options, self.rng)
        self.console.reset(noops)
        self.attempts += 1
        self.rows.append(row)
        self.seeds.append(seed)
        self.noops.append(noops)

    def replay(self, actions: list[int]) -> None:
        """Play the newest episode again up to where these actions led."""
        self.console.reset(self.noops[-1])
        for action in actions:
            self.console.step(action)


def draw_noise(players: list[Player]) -> np.ndarray:
    """Random numbers of an agent's choice, (S, 3), from each game's own stream."""
    return np.array([player.rng.random(3) for player in players])


class Rows(NamedTuple):
    """A row of each game, (S,), or all of them, (S, L)."""

    actions: np.ndarray  # int8, -1 in the last row of an episode
    rewards: np.ndarray  # float32
    dones: np.ndarray  # bool
    life_losses: np.ndarray  # bool


class AtariPolicy(Protocol):
    """Chooses for all games at once."""

    def choose(self, screens: np.ndarray, players: list[Player]) -> np.ndarray:
        """Actions (S,) for what all games show, (S, h, w) uint8; a player's randomness comes from its own stream."""
        ...

    def memory(self) -> np.ndarray:
        """What it remembers of earlier screens."""
        ...

    def remember(self, memory: np.ndarray) -> None:
        """Go on from such a memory."""
        ...


class RandomPolicy:
    """Uniform actions."""

    def __init__(self, actions: int) -> None:
        self.actions = actions

    def choose(self, screens: np.ndarray, players: list[Player]) -> np.ndarray:
        """Actions (S,)."""
        return np.array([player.rng.integers(self.actions) for player in players])

    def memory(self) -> np.ndarray:
        """Nothing."""
        return np.zeros(0, np.uint8)

    def remember(self, memory: np.ndarray) -> None:
        """Nothing."""


class NoisyAgent:
    """A trained agent, a share ε of whose actions is uniform instead."""

    def __init__(self, path: Path, console: Console, colours: Colours, games: int, epsilon: float) -> None:
        self.agent = load_agent(path)
        codes, task, repeat = console.action_codes, console.options, self.agent.options.frame_repeat
        if repeat != task.frame_repeat:
            raise UserError(
                f"{path} learned with frame_repeat {repeat}, but is to play with {task.frame_repeat}. Set the data "
                "set's rules to the agent's, or train another agent."
            )
        self.actions = np.array(map_actions(path, self.agent.options, task.game, codes))
        self.all_actions, self.epsilon, self.colours = len(codes), epsilon, colours
        self.eyes = Eyes(games)

    def choose(self, screens: np.ndarray, players: list[Player]) -> np.ndarray:
        """Actions (S,)."""
        noise = draw_noise(players)
        first = np.array([player.fresh for player in players])
        stacks = self.eyes.see(grey_frames(screens, self.colours.grey), first)
        return self.disturbed(self.preferred(stacks, noise), noise)

    def preferred(self, stacks: torch.Tensor, noise: np.ndarray) -> np.ndarray:
        """Its own actions (S,) for stacks of frames (S, 4, 84, 84), by random numbers (S, 3)."""
        return self.actions[choose_actions(self.agent, stacks, torch.from_numpy(noise[:, 0])).numpy()]

    def disturbed(self, actions: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Actions (S,), a share ε of them uniform instead, by the same random numbers (S, 3)."""
        return np.where(noise[:, 1] < self.epsilon, (noise[:, 2] * self.all_actions).astype(int), actions)

    def memory(self) -> np.ndarray:
        """The last frames."""
        return self.eyes.stacks

    def remember(self, memory: np.ndarray) -> None:
        """Go on from these frames."""
        self.eyes.stacks[:] = memory


class Play:
    """Games, and the policy that plays them. agent: a trained agent's file, None for uniform actions."""

    def __init__(self, options: AtariShardOptions, agent: Path | None, seed_of: Callable[[int], int]) -> None:
        consoles = [Console(options.task) for _ in range(options.parallel_games)]
        self.players = [Player(number, console, generator("unused")) for number, console in enumerate(consoles)]
        self.colours = Colours.of(consoles[0])
        self.action_codes, self.screen_shape = consoles[0].action_codes, consoles[0].screen_shape
        self.policy: AtariPolicy = (
            RandomPolicy(len(self.action_codes))
            if agent is None
            else NoisyAgent(agent, consoles[0], self.colours, options.parallel_games, options.epsilon)
        )
        self._seed_of = seed_of  # number of an episode -> its seed

    def advance(self, screens: np.ndarray, row: int, cut: bool = False) -> Rows:
        """Look at all games, into `screens` (S, h, w), and act; or, with `cut`, end all episodes with this row."""
        for player in self.players:
            if player.fresh:
                player.begin(self._seed_of(player.attempts * len(self.players) + player.number), row)
            player.console.read_screen(screens[player.number])
            self.colours.learn(player.console, screens[player.number])
        chosen = self.policy.choose(screens, self.players)
        count = len(self.players)
        rows = Rows(
            np.full(count, NO_ACTION, np.int8),
            np.zeros(count, np.float32),
            np.zeros(count, bool),
            np.zeros(count, bool),
        )
        for player, action in zip(self.players, chosen, strict=True):
            _act(player, int(action), rows, cut)
        return rows


def _act(player: Player, action: int, rows: Rows, cut: bool) -> None:
    """Take an action, unless this is an episode's last row, and note in `rows` what followed."""
    player.fresh = player.over or cut
    if player.fresh:
        player.over = False
        return
    step = player.console.step(action)
    number = player.number
    rows.actions[number], rows.rewards[number] = action, step.reward
    rows.dones[number], rows.life_losses[number] = step.ended, step.life_lost
    player.over = step.ended or step.timed_out
