"""Does the dream tell the truth? Survival of simple policies in the dream of a finished experiment, and in the real game.

A controller can only learn to cheat where the dream is kinder than the game: a policy that never looks should live as
long in the one as in the other. And a dream drifts: begun anywhere in recorded episodes, it is compared with the game by its
deaths in 1,000 tics, soon after its beginning and later.
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

DREAMS, EPISODES = 128, 48
DRIFTING = 512
"""Dreams that begin anywhere."""
WATCHED = 100
"""Recorded tics that M watches before those."""
SOON, LATER, LATE = (0, 100), (100, 400), (300, 2100)
"""Tics after the beginning of a dream that begins anywhere; and of a real episode, where many monsters shoot."""


def swing(period: int, rng: np.random.Generator) -> Policy:
    """Left and right in turns, each for `period` tics but for the first."""
    phase = int(rng.integers(2 * period))
    return lambda step: np.array([1.0 if ((step + phase) // period) % 2 else -1.0], np.float32)


def constant(action: float) -> Policy:
    """Always the same."""
    return lambda _step: np.array([action], np.float32)


POLICIES: dict[str, Callable[[np.random.Generator], Policy]] = {
    "random": partial(make_policy, HeldRandomPolicy(), 1),
    "left": lambda _: constant(-1),
    "still": lambda _: constant(0),
    "right": lambda _: constant(1),
    "swing_20": partial(swing, 20),
    "swing_60": partial(swing, 60),
    "swing_90": partial(swing, 90),
}


def measure_honesty() -> dict[str, Any]:
    """Mean survival in tics of policies without eyes, dreamt (128 dreams at 1.15) and real (48 episodes at 160x120).

    And deaths in 1,000 tics: in 512 dreams from anywhere, soon and later, and in the real game's later part.
    Raises UserError where `results/doom-laptop` is not built.
    """
    set_threads(available_cores())
    loaded = load_models()
    moments = loaded.with_starts(loaded.moments(1000, WATCHED, ("benchmark", "honesty")))
    result: dict[str, Any] = {"dreams": DREAMS, "real_episodes": EPISODES, "dreams_from_anywhere": DRIFTING}
    for name, make in POLICIES.items():
        dreamt, real = dream_lengths(loaded.model, make, DREAMS, TASK.max_steps), real_lengths(make)
        drifting = dream_lengths(moments, make, DRIFTING, LATER[1])
        result |= {f"{name}_dream": survival(dreamt), f"{name}_real": survival(real)}
        result |= {f"{name}_deaths_soon": deaths_per_thousand(drifting, *SOON)}
        result |= {f"{name}_deaths_later": deaths_per_thousand(drifting, *LATER)}
        result |= {f"{name}_deaths_real": deaths_per_thousand(real, *LATE)}
    return result


@torch.inference_mode()
def dream_lengths(
    model: WorldModel, make: Callable[[np.random.Generator], Policy], dreams: int, steps: int
) -> np.ndarray:
    """Tics (dreams,) until death in dreams in which such policies act; `steps` + 1 where none came."""
    policies = [make(np.random.default_rng(number)) for number in range(dreams)]
    noise = RowStreams([("benchmark", "honesty", number) for number in range(dreams)], model.latent_size)
    state = model.start(noise)
    lengths, rows = np.full(dreams, steps + 1), np.arange(dreams)
    for step in range(steps):
        actions = np.stack([policies[row](step) for row in rows])
        state = model.step(state, torch.from_numpy(actions), TEMPERATURE, noise)
        died = model.done(state)
        if died.any():
            lengths[rows[died.numpy()]] = step + 1
            alive = torch.nonzero(~died)[:, 0]
            state, rows = state.select(alive), rows[alive.numpy()]
            noise.select(alive)
        if not len(rows):
            break
    return lengths


def real_lengths(make: Callable[[np.random.Generator], Policy]) -> np.ndarray:
    """Tics (EPISODES,) of real episodes in which such policies act, as `dream_lengths` counts them."""
    seeds = episode_seeds(SELECTION_SEEDS, "benchmark", "honesty", count=EPISODES)
    with make_games(TASK, 12, 2) as games:
        outcomes = play_episodes(games, PolicyAgent(make, cast(Task, take_cover), 12), seeds)
    return np.array([outcome.steps + (not outcome.ended) for outcome in outcomes])


def survival(lengths: np.ndarray) -> float:
    """Mean tics of whole episodes."""
    return float(np.minimum(lengths, TASK.max_steps).mean())


def deaths_per_thousand(lengths: np.ndarray, first: int, last: int) -> float | None:
    """Deaths in 1,000 tics between tics `first` and `last` of episodes; None where no episode came so far."""
    tics = np.clip(lengths, first, last).sum() - first * len(lengths)
    return float(1000 * ((lengths > first) & (lengths <= last)).sum() / tics) if tics else None
