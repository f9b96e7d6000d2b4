"""Episodes of many games at once: who plays what, when they end, and that the batch does not matter."""

import numpy as np
import pytest
import torch

from worldmodels.config.blocks import EvolveControllerBlock
from worldmodels.config.models import ControllerOptions, MDNRNNOptions, VAEOptions
from worldmodels.envs.games import StepResult
from worldmodels.evaluation import DreamerAgent, RealEpisodes, play_episodes
from worldmodels.models.controller import controller_size
from worldmodels.models.files import Controller, LoadedWorldModel
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.vae import ConvVAE
from worldmodels.models.world_model import WorldModel
from worldmodels.runtime.stop import Interrupted


class Counters:
    """Games whose frames belong to (seed, step): they end after 5 + seed % 7 steps, and pay the action."""

    def __init__(self, count):
        self.frames = np.zeros((count, 64, 64, 3), np.uint8)
        self.seeds, self.steps = np.zeros(count, int), np.zeros(count, int)

    def reset(self, slots, seeds):
        self.seeds[list(slots)], self.steps[list(slots)] = seeds, 0
        self._show(slots)

    def step(self, actions, active):
        self.steps[active] += 1
        ended = active & (self.steps >= 5 + self.seeds % 7)
        self._show(np.flatnonzero(active & ~ended))
        return StepResult(np.where(active, actions[:, 0], 0).astype(np.float32), ended, np.zeros_like(ended))

    def _show(self, slots):
        for slot in slots:
            source = np.random.default_rng((self.seeds[slot], self.steps[slot]))
            self.frames[slot] = source.integers(0, 255, (64, 64, 3))


@pytest.fixture(scope="module")
def world_model():
    torch.manual_seed(1)
    vae = ConvVAE(VAEOptions(latent_size=4)).eval()
    memory = MDNRNN(MDNRNNOptions(latent_size=4, hidden_size=8)).eval()
    return LoadedWorldModel(WorldModel(vae, memory), vae, memory, None, torch.device("cpu"))


OPTIONS = ControllerOptions(inputs="z-h")
SEEDS = [3, 11, 4, 3, 9, 20, 6]
WEIGHTS = np.random.default_rng(2).normal(size=(len(SEEDS), controller_size(OPTIONS, 4, 8, 1)))


def play(world_model, weights, slots, compact=False, **options):
    agent = DreamerAgent(world_model, Controller(weights, OPTIONS), slots, 20, "sample", compact=compact)
    return play_episodes(Counters(slots), agent, SEEDS, **options)


def totals(outcomes):
    return np.array([outcome.total for outcome in outcomes])


def test_outcomes_come_in_the_order_of_their_seeds(world_model):
    outcomes = play(world_model, WEIGHTS[0], 3)
    assert [outcome.episode_seed for outcome in outcomes] == SEEDS
    assert [outcome.steps for outcome in outcomes] == [5 + seed % 7 for seed in SEEDS]
    assert all(outcome.ended for outcome in outcomes)


@pytest.mark.parametrize("compact", [False, True])
def test_scores_do_not_depend_on_how_many_play_at_once(world_model, compact):
    """Finished games leave the batch, and waiting episodes take their slots: nobody else may notice."""
    alone = totals(play(world_model, WEIGHTS[0], 1))
    np.testing.assert_allclose(totals(play(world_model, WEIGHTS[0], 3, compact)), alone, rtol=1e-4)
    np.testing.assert_allclose(totals(play(world_model, WEIGHTS[0], 7, compact)), alone, rtol=1e-4)


@pytest.mark.parametrize("compact", [False, True])
def test_each_episode_plays_with_its_own_weights(world_model, compact):
    """A generation is one batch: a member scored with another member's weights would make evolution a lottery."""
    together = totals(play(world_model, WEIGHTS, 3, compact))
    alone = [totals(play(world_model, weights, 2))[index] for index, weights in enumerate(WEIGHTS)]
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_hopeless_episodes_end_early(world_model):
    """Without weights the action, and so every reward, is 0; the limit is an end of patience, not of the game."""
    outcomes = play(world_model, np.zeros_like(WEIGHTS[0]), 3, hopeless_after=4)
    assert [outcome.steps for outcome in outcomes] == [4] * len(SEEDS)
    assert not any(outcome.ended for outcome in outcomes)


def test_episodes_may_be_cut_off(world_model):
    """A limit on length is no end by the rules, and shortens nobody who ends before it."""
    outcomes = play(world_model, WEIGHTS[0], 3, cut_off_after=7)
    whole = [5 + seed % 7 for seed in SEEDS]
    assert [outcome.steps for outcome in outcomes] == [min(steps, 7) for steps in whole]
    assert [outcome.ended for outcome in outcomes] == [steps <= 7 for steps in whole]
    assert max(whole) > 7


def test_only_the_first_populations_episodes_are_short(world_model):
    """Later ones, the mean and validation are scored by whole episodes."""
    short = {"steps": 3, "generations": 1}
    evolution = {"population": 4, "rollouts": 2, "short_episodes": short, "evaluation_dreams": 2}
    block = EvolveControllerBlock.model_validate(
        {
            "variant": {"environment": "real"},
            "evolution": {"controller": {"inputs": "z-h"}, **evolution},
            "task": {"name": "take_cover"},
            "evaluation": {},
        }
    )
    real = RealEpisodes(world_model, block, 1, Counters(4))
    weights = np.zeros((4, WEIGHTS.shape[1]))
    assert real.population(weights, 0).steps == 4 * 2 * 3
    assert real.population(weights, 1).steps >= 4 * 2 * 5, "the second generation's episodes are whole"
    assert real.evaluation_score(weights[0], 0).steps >= 2 * 5


def test_stopped_and_resumed_equals_undisturbed(world_model, state):
    expected = play(world_model, WEIGHTS[0], 2)
    calls = []

    def stop(slot, frame, action):
        calls.append(slot)
        if len(calls) == 30:
            state.stop.reason = "test"

    with pytest.raises(Interrupted):
        play(world_model, WEIGHTS[0], 2, state=state, watch=stop)
    state.stop.reason = None
    assert play(world_model, WEIGHTS[0], 2, state=state) == expected
    assert 30 <= len(calls) < sum(outcome.steps for outcome in expected)


class Noted(Counters):
    """They note who played which episode, and how often all were stepped."""

    def __init__(self, count, state=None, stop_after=None):
        super().__init__(count)
        self.players, self.batches, self.state, self.stop_after = {}, 0, state, stop_after

    def reset(self, slots, seeds):
        super().reset(slots, seeds)
        self.players |= dict(zip(seeds, slots, strict=True))

    def step(self, actions, active):
        self.batches += 1
        if self.batches == self.stop_after:
            self.state.stop.reason = "test"
        return super().step(actions, active)


class Still:
    """An agent that does nothing."""

    def reset(self, slot, episode, episode_seed):
        pass

    def act(self, frames, active):
        return np.zeros((len(frames), 1), np.float32)


@pytest.mark.parametrize("stop_after", range(1, 24, 2))
def test_episodes_keep_their_slots_after_a_kill(state, stop_after):
    """In another row of the batch sums round differently, and the tables of the two runs would differ."""
    seeds = list(range(100, 112))
    undisturbed = Noted(3)
    expected = play_episodes(undisturbed, Still(), seeds)
    first = Noted(3, state, stop_after)
    with pytest.raises(Interrupted):
        play_episodes(first, Still(), seeds, state)
    state.stop.reason = None
    second = Noted(3)
    assert play_episodes(second, Still(), seeds, state) == expected
    assert first.players | second.players == undisturbed.players


def test_no_game_waits_while_there_is_something_to_play():
    """5 + seed % 7 steps: a long episode, then short ones, which one of two games plays while the other is busy."""
    games = Noted(2)
    play_episodes(games, Still(), [13, 0, 7])  # 11, 5 and 5 steps
    assert games.batches == 11
    assert games.players == {13: 0, 0: 1, 7: 1}
