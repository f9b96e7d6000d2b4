"""Are EnvPool's and gymnasium's CarRacing-v3 one game? The same seeds and the same actions in both.

What is collected and evolved on EnvPool is reported on gymnasium, so differences matter in three places: which track a
seed lays, what a frame looks like, and what an action earns.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodels.config.datasets import RandomControllerPolicy
from worldmodels.config.tasks import CarRacingOptions
from worldmodels.envs.car_racing import action_from_unit, make_game
from worldmodels.envs.games import Game, make_games
from worldmodels.envs.policies import make_policy
from worldmodels.evaluation import DreamerAgent, play_episodes
from worldmodels.models.files import load_controller, load_world_model_files
from worldmodels.runtime.device import available_cores, set_threads
from worldmodels.seeds import SELECTION_SEEDS, episode_seeds, generator

TRACKS, STEPS, EPISODES, GAMES = 40, 300, 32, 8
SAME_TRACK = 6.0
"""Mean difference of first frames, of 255, below which the track is the same; others differ by about 30."""
RESULTS = Path("results/carracing-laptop/seed-1")
VARIANT = "z-h"


def measure_parity() -> dict[str, Any]:
    """Compare the backends on 40 seeds, 300 steps of the random controller each; and the scores of a trained agent.

    Returns the share of seeds with the same track; on those, the mean absolute difference of pixels (of 255), the
    share of equal rewards (a tile visited in the same step, or none), and the mean difference of returns. Where
    `results/carracing-laptop` is built, also its agent's mean score on each backend, over 32 episodes.
    """
    set_threads(available_cores())
    same, pixels, rewards, returns = 0, [], [], []
    for seed in episode_seeds(SELECTION_SEEDS, "benchmark", "parity", count=TRACKS):
        (screens, paid), (others, others_paid) = (drive(backend, seed) for backend in ("envpool", "gymnasium"))
        if np.abs(screens[0] - others[0]).mean() > SAME_TRACK:
            continue
        same += 1
        steps = min(len(paid), len(others_paid))
        pixels.append(np.abs(screens[:steps] - others[:steps]).mean())
        rewards.append(np.mean((paid[:steps] > 0) == (others_paid[:steps] > 0)))
        returns.append(paid.sum() - others_paid.sum())
    result = {"seeds": TRACKS, "same_track": same / TRACKS, "pixel_difference": float(np.mean(pixels))}
    result |= {"equal_rewards": float(np.mean(rewards)), "return_difference": float(np.mean(returns))}
    if (RESULTS / "controllers" / VARIANT / "controller.json").is_file():
        result |= {f"score_{backend}": agent_score(backend) for backend in ("envpool", "gymnasium")}
    return result


def drive(backend: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Screens (T, 84, 96, 3) int and rewards (T,) of an episode of the random controller."""
    choose = make_policy(RandomControllerPolicy(), 3, generator("benchmark", "parity", seed))
    with make_game(CarRacingOptions.model_validate({"backend": backend})) as game:
        return _drive(game, seed, [action_from_unit(choose(step)) for step in range(STEPS)])


def _drive(game: Game, seed: int, actions: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    screens, rewards = [game.reset(seed)], []
    for action in actions:
        result = game.step(action)
        rewards.append(result.reward)
        if result.ended:
            break
        screens.append(game.screen())
    return np.stack(screens[: len(rewards)]).astype(int), np.array(rewards)


def agent_score(backend: str) -> float:
    """Mean score of the trained agent of carracing-laptop."""
    memory = RESULTS / "models/mdn_rnn/weights.safetensors"
    vision = RESULTS / "models/vae/weights.safetensors"
    world_model = load_world_model_files(vision, memory, None, torch.device("cpu"))
    controller = load_controller(RESULTS / "controllers" / VARIANT / "controller.json", memory)
    options = CarRacingOptions.model_validate({"backend": backend})
    seeds = episode_seeds(SELECTION_SEEDS, "benchmark", "parity", "agent", count=EPISODES)
    agent = DreamerAgent(world_model, controller, GAMES, options.max_steps, "sample")
    with make_games(options, GAMES, available_cores()) as games:
        return float(np.mean([outcome.total for outcome in play_episodes(games, agent, seeds)]))
