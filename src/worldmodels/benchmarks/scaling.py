"""How rates grow with the cores of a node: the batched dream, and generations of CarRacing in the real environment.

What runs at the paper's scale on 64 cores is projected from this. Each rate is the best of two rounds over all numbers of
threads, so that a noisy machine does not slow one number alone.
"""

from typing import Any

import torch

from worldmodels.benchmarks.dream import (
    MEMBERS,
    ROLLOUTS,
    dream_options,
    immortal_mdn_rnn,
    random_controllers,
    seconds,
)
from worldmodels.benchmarks.driving import GAMES, driver, fresh_world_model
from worldmodels.config.tasks import CarRacingOptions
from worldmodels.envs.games import make_games
from worldmodels.evaluation import play_episodes
from worldmodels.runtime.device import matmul_dtype, set_threads
from worldmodels.runtime.processor import available_cores
from worldmodels.seeds import SELECTION_SEEDS, episode_seeds
from worldmodels.simulators.dreams import dream_returns

DREAM_STEPS, EPISODE_STEPS = 64, 50
ROUNDS = 2


def measure_scaling() -> dict[str, Any]:
    """Steps a second of dreams and of cars with 1, 2, 4, … threads up to all cores, and how many times one thread's that is."""
    counts = thread_counts(available_cores())
    rates: dict[str, dict[int, float]] = {"dream": {}, "driving": {}}
    for _ in range(ROUNDS):
        for threads in counts:
            for name, measure in (("dream", dream_rate), ("driving", driving_rate)):
                rates[name][threads] = max(measure(threads), rates[name].get(threads, 0.0))
    gains = {f"{name}_gain": by_threads[counts[-1]] / by_threads[1] for name, by_threads in rates.items()}
    return {f"{name}_{threads}": rate for name, found in rates.items() for threads, rate in found.items()} | gains


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4, … and `cores` itself."""
    powers = [2**exponent for exponent in range(cores.bit_length())]
    return sorted({*(power for power in powers if power <= cores), cores})


def dream_rate(threads: int) -> float:
    """Steps a second of the paper's 1,024 dreams as one batch."""
    set_threads(threads)
    mdn_rnn, starts = immortal_mdn_rnn()
    options = dream_options(ROLLOUTS, DREAM_STEPS, matmul_dtype("auto", torch.device("cpu")))
    weights = random_controllers(mdn_rnn, MEMBERS)
    dream_returns(mdn_rnn, weights, starts, options, ("benchmark", "scaling"))
    taken = seconds(lambda: dream_returns(mdn_rnn, weights, starts, options, ("benchmark", "scaling")))
    return MEMBERS * ROLLOUTS * DREAM_STEPS / taken


def driving_rate(threads: int) -> float:
    """Steps a second of 64 cars as one batch, with V, M and C, their resets included."""
    set_threads(threads)
    model = fresh_world_model()
    options = CarRacingOptions(max_steps=EPISODE_STEPS)
    seeds = episode_seeds(SELECTION_SEEDS, "benchmark", "scaling", count=GAMES)
    steps: list[int] = []
    with make_games(options, GAMES, threads) as games:
        taken = seconds(
            lambda: steps.extend(one.steps for one in play_episodes(games, driver(model, GAMES), seeds, title=None))
        )
    return sum(steps) / taken
