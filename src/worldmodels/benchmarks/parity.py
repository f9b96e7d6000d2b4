"""Are EnvPool's and gymnasium's CarRacing-v3 one game? The same seeds and the same actions in both.

What is collected and evolved on EnvPool is reported on gymnasium, so differences matter in four places: which track a
seed lays, what a frame looks like, what an action earns, and what a trained agent scores. A seed is another track on
each (EnvPool draws its bends from another generator), but most begin alike, with the same straight: there frames and
rewards can be compared step by step.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.config.datasets import RandomControllerPolicy
from worldmodels.config.tasks import CarRacingOptions
from worldmodels.envs.car_racing import action_from_unit, make_game
from worldmodels.envs.games import Game
from worldmodels.envs.policies import make_policy
from worldmodels.figures.episodes import read_episodes
from worldmodels.figures.judgement import NORMAL_95, Score
from worldmodels.figures.statistics import summarise
from worldmodels.runtime.device import available_cores, set_threads
from worldmodels.seeds import SELECTION_SEEDS, episode_seeds, generator

TRACKS, STEPS = 40, 60
SAME_START = 20.0
"""Mean difference of first frames, of 255, below which the start lies alike: 2 to 10, and others 29 to 36."""
BACKENDS = ("envpool", "gymnasium")
EPISODES = {"envpool": "carracing-laptop-envpool", "gymnasium": "carracing-laptop"}
"""The experiments that scored one agent on each backend; their episodes lie in reports/."""
PLACE = "seed-1/controllers/z-h/episodes.csv"


def measure_parity() -> dict[str, Any]:
    """Compare the backends on 40 seeds, 60 steps of the random controller each; and the scores of a trained agent.

    Returns the share of EnvPool's road that gymnasium has too (see `road_in_common`), for the same seeds and, to compare,
    for others; the share of seeds that start alike; on those, the mean absolute difference of pixels (of 255), the share
    of equal rewards (a tile visited in the same step, or none), and the mean difference of returns. Of the agent: see
    `agent_scores`.
    """
    set_threads(available_cores())
    seeds = episode_seeds(SELECTION_SEEDS, "benchmark", "parity", count=TRACKS)
    runs = [[drive(backend, seed) for backend in BACKENDS] for seed in seeds]
    firsts = [(one[0][0], other[0][0]) for one, other in runs]
    alike = [run for run, (one, other) in zip(runs, firsts, strict=True) if np.abs(one - other).mean() < SAME_START]
    pixels, rewards, returns = [], [], []
    for (screens, paid), (others, others_paid) in alike:
        steps = min(len(paid), len(others_paid))
        pixels.append(np.abs(screens[:steps] - others[:steps]).mean())
        rewards.append(np.mean((paid[:steps] > 0) == (others_paid[:steps] > 0)))
        returns.append(paid.sum() - others_paid.sum())
    unrelated = zip(firsts, firsts[1:] + firsts[:1], strict=True)
    return {
        "seeds": TRACKS,
        "road_in_common": float(np.mean([road_in_common(one, other) for one, other in firsts])),
        "road_in_common_of_other_seeds": float(
            np.mean([road_in_common(one, other) for (one, _), (_, other) in unrelated])
        ),
        "start_alike": len(alike) / TRACKS,
        "pixel_difference": float(np.mean(pixels)),
        "equal_rewards": float(np.mean(rewards)),
        "return_difference": float(np.mean(returns)),
        **agent_scores(Path("reports")),
    }


def road_in_common(screen: np.ndarray, other: np.ndarray) -> float:
    """Share of the road in a first screen (84, 96, 3), which shows the whole field, within a pixel of the road in another."""
    road, wide = is_road(screen), np.pad(is_road(other), 1)
    near = np.any([wide[y : y + road.shape[0], x : x + road.shape[1]] for y in range(3) for x in range(3)], axis=0)
    return float((road & near).sum() / road.sum())


def is_road(screen: np.ndarray) -> np.ndarray:
    """The grey pixels (H, W) of a screen (H, W, 3)."""
    grey = np.ptp(screen.astype(int), axis=2) < 12
    return grey & (screen[..., 0] > 60) & (screen[..., 0] < 160)


def agent_scores(reports: Path) -> dict[str, Any]:
    """Mean scores of one trained agent on each backend, and their difference, with 95 % intervals.

    A seed is not the same track on both, so the episodes are two independent samples. Raises UserError where the episodes
    of an experiment are not there.
    """
    totals = {name: [one.total for one in read_episodes([reports / EPISODES[name] / PLACE])] for name in BACKENDS}
    found = {name: summarise([scores]) for name, scores in totals.items()}
    difference = found["envpool"].mean - found["gymnasium"].mean
    half = NORMAL_95 * math.sqrt(sum(one.sd**2 / one.episodes for one in found.values()))
    shown = {f"agent_{name}": str(Score(one.mean, one.low, one.high)) for name, one in found.items()}
    return {**shown, "agent_difference": str(Score(difference, difference - half, difference + half))}


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
