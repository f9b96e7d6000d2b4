"""How fast controllers of CarRacing are scored in the real environment, beside one gymnasium episode at a time.

The whole agent plays: the environment, V, M and C. The batch is what `evolve_controller` runs: a generation on EnvPool,
every member with weights of its own. Beside it, in the same run: one process that steps one gymnasium episode with
networks on a batch of one, as the released code does.
"""

import os
from typing import Any

import numpy as np
import torch

from worldmodels.benchmarks.timing import alternate
from worldmodels.config.models import ControllerOptions, MDNRNNOptions, VAEOptions
from worldmodels.config.tasks import CarRacingOptions
from worldmodels.envs.games import make_games
from worldmodels.evaluation import DreamerAgent, Games, play_episodes
from worldmodels.models.controller import controller_size
from worldmodels.models.files import Controller, LoadedWorldModel
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.vae import ConvVAE
from worldmodels.models.world_model import WorldModel
from worldmodels.runtime.device import matmul_dtype, set_threads
from worldmodels.runtime.memory import tree_megabytes
from worldmodels.runtime.processor import available_cores
from worldmodels.seeds import SELECTION_SEEDS, episode_seeds, generator

GAMES, STEPS, SECONDS = 64, 100, 40.0
PAPERS_CARS = 64 * 16
CONTROLLER = ControllerOptions(inputs="z-h", bias=True, actions="steer-gas-brake")


def measure_driving() -> dict[str, Any]:
    """Steps a second of 64 cars as one batch and of one car, their ratio, and memory in MB with the paper's 1,024 cars."""
    set_threads(available_cores())
    model = fresh_world_model()
    pool, single = (
        CarRacingOptions.model_validate({"backend": backend, "max_steps": STEPS})
        for backend in ("envpool", "gymnasium")
    )
    steps = {"batch": 0, "single": 0}
    calls = {"batch": 0, "single": 0}
    with make_games(pool, GAMES, available_cores()) as many, make_games(single, 1, 1) as one:

        def play(name: str, games: Games, cars: int) -> None:
            seeds = episode_seeds(SELECTION_SEEDS, "benchmark", "driving", name, calls[name], count=cars)
            agent = driver(model, cars)
            steps[name] += sum(outcome.steps for outcome in play_episodes(games, agent, seeds, title=None))
            calls[name] += 1

        rates = alternate(lambda: play("batch", many, GAMES), lambda: play("single", one, 1), SECONDS)
    batch, alone = (rate * steps[name] / calls[name] for rate, name in zip(rates, steps, strict=True))
    memory = memory_of_cars(PAPERS_CARS, model)
    return {"cars": GAMES, "batch": batch, "single": alone, "gain": batch / alone, "memory_1024_cars_mb": memory}


def fresh_world_model() -> LoadedWorldModel:
    """V and M of CarRacing's sizes, untrained: what they compute costs the same."""
    torch.manual_seed(0)
    vae = ConvVAE(VAEOptions(latent_size=32)).eval()
    sizes = MDNRNNOptions(latent_size=32, action_size=3, hidden_size=256, restart_input=False, predict_done=False)
    memory = MDNRNN(sizes).eval()
    return LoadedWorldModel(WorldModel(vae, memory), vae, memory, None, torch.device("cpu"))


def driver(model: LoadedWorldModel, cars: int) -> DreamerAgent:
    """An agent for so many cars, each with a random controller of its own."""
    sizes = model.mdn_rnn.options
    size = controller_size(CONTROLLER, sizes.latent_size, sizes.hidden_size, sizes.action_size)
    weights = 0.1 * generator("benchmark", "driving", "controllers").standard_normal((cars, size))
    dtype = matmul_dtype("auto", model.device)
    return DreamerAgent(model, Controller(weights, CONTROLLER), cars, STEPS, "sample", dtype, compact=True)


def memory_of_cars(cars: int, model: LoadedWorldModel) -> int:
    """Memory in MB of this process and its workers while so many cars drive: what each has alone, and its share of the rest."""
    options = CarRacingOptions.model_validate({"backend": "envpool", "max_steps": STEPS})
    with make_games(options, cars, available_cores()) as games:
        agent = driver(model, cars)
        seeds = episode_seeds(SELECTION_SEEDS, "benchmark", "driving", "memory", count=cars)
        games.reset(range(cars), seeds)
        for car, seed in enumerate(seeds):
            agent.reset(car, car, seed)
        active = np.ones(cars, dtype=bool)
        for _ in range(5):
            games.step(agent.act(games.frames, active), active)
        return tree_megabytes(os.getpid())
