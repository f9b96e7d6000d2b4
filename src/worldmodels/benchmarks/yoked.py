"""Does the agent look? It plays one game, and every action of it is also taken in a second game, which it does not see.

Both games begin with an episode seed of their own. To an agent that runs like clockwork they are alike: it dies first in
either as often. An agent that dodges what it sees outlives its blind twin, whose fireballs it does not know of. (In
psychology the twin is called a yoked control.)
"""

from typing import Any, NamedTuple

import numpy as np

from worldmodels.benchmarks.laptop import TASK, load_agent, load_models, trained_seeds
from worldmodels.envs.games import make_games
from worldmodels.evaluation import Agent, DreamerAgent, play_episodes
from worldmodels.runtime.device import matmul_dtype, set_threads
from worldmodels.runtime.processor import available_cores
from worldmodels.seeds import SELECTION_SEEDS, episode_seeds

PAIRS, AT_ONCE = 96, 16
"""Pairs of games for each training seed; as many pairs are played at once."""


class YokedAgent:
    """Plays the even slots, and does the same in the odd slots beside them."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def reset(self, slot: int, episode: int, episode_seed: int) -> None:
        """A new episode: of the agent, in an even slot."""
        if slot % 2 == 0:
            self.agent.reset(slot // 2, episode // 2, episode_seed)

    def act(self, frames: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Actions (2B, A) for frames (2B, H, W, 3), of which it sees every other one."""
        return np.repeat(self.agent.act(frames[::2], active[::2]), 2, axis=0)


class Twins(NamedTuple):
    """How often who outlived the other; games of a pair that end in the same tic are in neither."""

    seeing: int
    blind: int


def measure_yoked() -> dict[str, Any]:
    """Share of pairs, and its standard error, in which the agent outlives its blind twin: 0.5 for one that does not look.

    Agents of all training seeds of `results/doom-laptop` that are built; 96 pairs each, on selection seeds. Raises
    UserError where there is none.
    """
    set_threads(available_cores())
    result: dict[str, Any] = {"pairs": PAIRS}
    total = Twins(0, 0)
    for seed in trained_seeds():
        twins = play_twins(seed)
        total = Twins(total.seeing + twins.seeing, total.blind + twins.blind)
        result |= {f"seed_{seed}": twins.seeing / sum(twins)}
    return result | {"all": total.seeing / sum(total), "standard_error": 0.5 / sum(total) ** 0.5}


def play_twins(seed: int) -> Twins:
    """Pairs of real games of the agent of one training seed."""
    models, controller = load_models(seed), load_agent(seed)
    seeds = episode_seeds(SELECTION_SEEDS, "benchmark", "yoked", seed, count=2 * PAIRS)
    steps: list[int] = []
    with make_games(TASK, 2 * AT_ONCE, available_cores()) as games:
        for first in range(0, 2 * PAIRS, 2 * AT_ONCE):
            dtype = matmul_dtype("auto", models.device)
            agent = DreamerAgent(models, controller, AT_ONCE, TASK.max_steps, "mean", dtype)
            outcomes = play_episodes(games, YokedAgent(agent), seeds[first : first + 2 * AT_ONCE])
            steps += [outcome.steps for outcome in outcomes]
    return count_survivors(steps)


def count_survivors(steps: list[int]) -> Twins:
    """Who outlived whom, of games in the order of their slots."""
    pairs = list(zip(steps[::2], steps[1::2], strict=True))
    seeing = sum(one > other for one, other in pairs)
    blind = sum(one < other for one, other in pairs)
    return Twins(seeing, blind)
