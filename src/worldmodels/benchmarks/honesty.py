"""Does the dream tell the truth? Survival of simple policies in the dream of a finished experiment, and in the real game.

A controller can only learn to cheat where the dream is kinder than the game: a policy that never looks should live as
long in the one as in the other.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
import torch

from worldmodels.benchmarks.laptop import TASK, TEMPERATURE, load_models
from worldmodels.config.datasets import HeldRandomPolicy
from worldmodels.envs import take_cover
from worldmodels.envs.games import Task, make_games
from worldmodels.envs.policies import Policy, make_policy
from worldmodels.evaluation import PolicyAgent, play_episodes
from worldmodels.models.world_model import WorldModel
from worldmodels.runtime.device import set_threads
from worldmodels.runtime.processor import available_cores
from worldmodels.seeds import SELECTION_SEEDS, episode_seeds
from worldmodels.simulators.noise import RowStreams

DREAMS, EPISODES = 128, 24


def swing(period: int) -> Policy:
    """Left and right in turns, each for `period` tics."""
    return lambda step: np.array([1.0 if (step // period) % 2 else -1.0], np.float32)


def constant(action: float) -> Policy:
    """Always the same."""
    return lambda _step: np.array([action], np.float32)


POLICIES: dict[str, Callable[[np.random.Generator], Policy]] = {
    "random": partial(make_policy, HeldRandomPolicy(), 1),
    "left": lambda _: constant(-1),
    "still": lambda _: constant(0),
    "right": lambda _: constant(1),
    "swing_20": lambda _: swing(20),
    "swing_60": lambda _: swing(60),
    "swing_90": lambda _: swing(90),
}


def measure_honesty() -> dict[str, Any]:
    """Mean survival in tics of policies without eyes, dreamt (128 dreams at 1.15) and real (24 episodes at 160x120).

    Raises UserError where `results/doom-laptop` is not built.
    """
    set_threads(available_cores())
    model = load_models().model
    result: dict[str, Any] = {"dreams": DREAMS, "real_episodes": EPISODES}
    for name, make in POLICIES.items():
        result |= {f"{name}_dream": dream_survival(model, make), f"{name}_real": real_survival(make)}
    return result


@torch.inference_mode()
def dream_survival(model: WorldModel, make: Callable[[np.random.Generator], Policy]) -> float:
    """Mean length of dreams in which such policies act."""
    policies = [make(np.random.default_rng(number)) for number in range(DREAMS)]
    noise = RowStreams([("benchmark", "honesty", number) for number in range(DREAMS)], model.latent_size)
    state = model.start(noise)
    total, rows = 0, np.arange(DREAMS)
    for step in range(TASK.max_steps):
        actions = np.stack([policies[row](step) for row in rows])
        state = model.step(state, torch.from_numpy(actions), TEMPERATURE, noise)
        total += len(rows)
        alive = torch.nonzero(~model.done(state))[:, 0]
        if len(alive) < len(rows):
            state, rows = state.select(alive), rows[alive.numpy()]
            noise.select(alive)
        if not len(rows):
            break
    return total / DREAMS


def real_survival(make: Callable[[np.random.Generator], Policy]) -> float:
    """Mean length of real episodes in which such policies act."""
    seeds = episode_seeds(SELECTION_SEEDS, "benchmark", "honesty", count=EPISODES)
    with make_games(TASK, 12, 2) as games:
        outcomes = play_episodes(games, PolicyAgent(make, cast(Task, take_cover), 12), seeds)
    return float(np.mean([outcome.steps for outcome in outcomes]))
