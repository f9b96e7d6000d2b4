"""Are EnvPool's and gymnasium's CarRacing-v3 one game? The same seeds and the same actions in both.

What is collected and evolved on EnvPool is reported on gymnasium, so differences matter in four places: which track a
seed lays, what a frame looks like, what an action earns, and what a trained agent scores. A seed is another track on
each, because EnvPool draws its bends from C++'s Mersenne twister. Given those numbers, gymnasium lays EnvPool's track:
there frames and rewards are compared step by step.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.config.datasets import RandomControllerPolicy
from worldmodels.config.tasks import CarRacingOptions
from worldmodels.envs.car_racing import action_from_unit
from worldmodels.envs.car_racing.game import CarRacingGame, EnvPoolGame, GymnasiumGame
from worldmodels.envs.policies import make_policy
from worldmodels.figures.episodes import read_episodes
from worldmodels.figures.judgement import NORMAL_95, Score
from worldmodels.figures.statistics import summarise
from worldmodels.runtime.device import set_threads
from worldmodels.runtime.processor import available_cores
from worldmodels.seeds import SELECTION_SEEDS, episode_seeds, generator

TRACKS, STEPS = 20, 300
BACKENDS = ("envpool", "gymnasium")
EPISODES = {
    "envpool": "carracing-laptop-envpool/seed-1/controllers/z-h/episodes.csv",
    "gymnasium": "carracing-laptop/seed-1/controllers/z-h/episodes.csv",
}
"""Episodes of one driver on each backend, in reports/."""


class EnvPoolNumbers:
    """What EnvPool draws for a seed: std::mt19937 and libstdc++'s uniform_real_distribution<double>."""

    def __init__(self, seed: int) -> None:
        self._twister = np.random.RandomState(seed)

    def uniform(self, low: float, high: float) -> float:
        """The next number between low and high, of two words of 32 bits, the lower first."""
        return low + (high - low) * (int.from_bytes(self._twister.bytes(8), "little") / 2**64)


class GymnasiumOnEnvPoolsTrack(GymnasiumGame):
    """gymnasium's game on the track that EnvPool lays for a seed."""

    def _begin(self, seed: int) -> np.ndarray:
        self._environment.unwrapped.np_random = EnvPoolNumbers(seed)
        return self._environment.reset()[0]


def measure_parity() -> dict[str, Any]:
    """Compare the backends on 20 seeds, 300 steps of the random controller each; and the scores of a trained agent.

    Returns the share of gymnasium's road that EnvPool has too (see `road_in_common`): on one track, for the same seeds,
    and for other seeds. On one track, the mean absolute difference of pixels (of 255), the share of steps with the same
    reward, and the mean and largest absolute difference of returns. Of the agent: see `agent_scores`.
    """
    set_threads(available_cores())
    seeds = episode_seeds(SELECTION_SEEDS, "benchmark", "parity", count=TRACKS)
    options = {name: CarRacingOptions.model_validate({"backend": name}) for name in BACKENDS}
    with EnvPoolGame(options["envpool"]) as one, GymnasiumOnEnvPoolsTrack(options["gymnasium"]) as other:
        runs = [(drive(one, seed), drive(other, seed)) for seed in seeds]
    with GymnasiumGame(options["gymnasium"]) as other:
        own = [other.reset(seed) for seed in seeds]
    firsts = [screens[0] for (screens, _), _ in runs]
    on_them = [screens[0] for _, (screens, _) in runs]
    return {
        "seeds": TRACKS,
        "road_in_common_on_one_track": mean_road_in_common(on_them, firsts),
        "road_in_common": mean_road_in_common(own, firsts),
        "road_in_common_of_other_seeds": mean_road_in_common(own[1:] + own[:1], firsts),
        **step_by_step(runs),
        **agent_scores(Path("reports")),
    }


Run = tuple[np.ndarray, np.ndarray]
"""Screens (T, 84, 96, 3) int and rewards (T,) of an episode."""


def step_by_step(runs: list[tuple[Run, Run]]) -> dict[str, float]:
    """How far pixels, rewards and returns of pairs of runs lie apart, over the steps that both have."""
    pixels, same, apart = [], [], []
    for (screens, rewards), (others, others_rewards) in runs:
        steps = min(len(rewards), len(others_rewards))
        pixels.append(np.abs(screens[:steps] - others[:steps]).mean())
        same.append(np.isclose(rewards[:steps], others_rewards[:steps], atol=1e-3))
        apart.append(abs(rewards.sum() - others_rewards.sum()))
    return {
        "pixel_difference": float(np.mean(pixels)),
        "equal_rewards": float(np.concatenate(same).mean()),
        "return_difference": float(np.mean(apart)),
        "largest_return_difference": float(np.max(apart)),
    }


def mean_road_in_common(screens: list[np.ndarray], others: list[np.ndarray]) -> float:
    """Mean of `road_in_common` over pairs of first screens (84, 96, 3)."""
    return float(np.mean([road_in_common(one, other) for one, other in zip(screens, others, strict=True)]))


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

    A seed is not the same track on both, so the episodes are two independent samples. Raises UserError where they are not
    there.
    """
    totals = {name: [one.total for one in read_episodes([reports / EPISODES[name]])] for name in BACKENDS}
    found = {name: summarise([scores]) for name, scores in totals.items()}
    difference = found["envpool"].mean - found["gymnasium"].mean
    half = NORMAL_95 * math.sqrt(sum(one.sd**2 / one.episodes for one in found.values()))
    shown = {f"agent_{name}": str(Score(one.mean, one.low, one.high)) for name, one in found.items()}
    return {**shown, "agent_difference": str(Score(difference, difference - half, difference + half))}


def drive(game: CarRacingGame, seed: int, steps: int = STEPS) -> Run:
    """An episode of the random controller, of so many steps at most."""
    choose = make_policy(RandomControllerPolicy(), 3, generator("benchmark", "parity", seed))
    screens, rewards = [game.reset(seed)], []
    for step in range(steps):
        result = game.step(action_from_unit(choose(step)))
        rewards.append(result.reward)
        if result.ended:
            break
        screens.append(game.screen())
    return np.stack(screens[: len(rewards)]).astype(int), np.array(rewards)
