"""Blind twins: they tell an agent that looks from one that runs like clockwork."""

import numpy as np

from worldmodels.benchmarks.yoked import Twins, YokedAgent, count_survivors
from worldmodels.envs.games import StepResult
from worldmodels.evaluation import play_episodes

LONGEST = 200


class Shots:
    """Each frame shows on which side the next shot falls; who stands there is hit, every third time."""

    def __init__(self, count: int) -> None:
        self.frames = np.zeros((count, 1, 1, 3), np.uint8)
        self.draws = [np.random.default_rng(0)] * count
        self.steps = np.zeros(count, int)

    def reset(self, slots, seeds) -> None:
        for slot, seed in zip(slots, seeds, strict=True):
            self.draws[slot], self.steps[slot] = np.random.default_rng(seed), 0
            self._show(slot)

    def step(self, actions, active) -> StepResult:
        hits = np.zeros(len(self.frames), bool)
        for slot in np.flatnonzero(active):
            stands_right = actions[slot, 0] > 0
            hits[slot] = stands_right == (self.frames[slot, 0, 0, 0] == 1) and self.draws[slot].random() < 1 / 3
            self._show(slot)
        self.steps += active
        return StepResult(np.ones(len(hits), np.float32), hits, ~hits & (self.steps >= LONGEST))

    def _show(self, slot) -> None:
        self.frames[slot] = self.draws[slot].integers(2)


class Dodger:
    """Goes where the shot does not fall."""

    def reset(self, slot, episode, episode_seed) -> None: ...

    def act(self, frames, active):
        return np.where(frames[:, 0, 0, :1] == 1, -1, 1).astype(np.float32)


class Clockwork:
    """Left and right in turns, whatever it is shown."""

    def __init__(self) -> None:
        self.step = 0

    def reset(self, slot, episode, episode_seed) -> None: ...

    def act(self, frames, active):
        self.step += 1
        return np.full((len(frames), 1), 1 if self.step % 2 else -1, np.float32)


def twins_of(agent, pairs: int = 200) -> Twins:
    outcomes = play_episodes(Shots(2 * pairs), YokedAgent(agent), list(range(2 * pairs)), title=None)
    return count_survivors([outcome.steps for outcome in outcomes])


def test_who_dodges_outlives_every_twin_and_clockwork_half_of_them():
    assert twins_of(Dodger()) == Twins(seeing=200, blind=0)
    clockwork = twins_of(Clockwork())
    assert abs(clockwork.seeing / sum(clockwork) - 0.5) < 3 * 0.5 / sum(clockwork) ** 0.5


def test_pairs_that_end_together_count_for_none():
    assert count_survivors([5, 3, 2, 2, 1, 4, 9, 8]) == Twins(seeing=2, blind=1)
