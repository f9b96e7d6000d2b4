"""The batched dream: equal to dreams one by one, ends where it should, and has none of the known defects."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from worldmodels.config.models import ControllerOptions, MDNRNNOptions
from worldmodels.models.controller import act, controller_size
from worldmodels.models.mdn_rnn import MDNRNN, LSTMState
from worldmodels.models.world_model import StartLatents, WorldModel
from worldmodels.simulators.dreams import (
    DreamBatch,
    DreamOptions,
    MatrixProduct,
    dream_returns,
    dream_words,
    dropout_factors,
)
from worldmodels.simulators.films import dream_frames
from worldmodels.simulators.noise import BLOCK_STEPS, RowStreams, normal_numbers, uniform_numbers

SIZES = MDNRNNOptions(latent_size=6, action_size=2, hidden_size=12, mixtures=3)
CONTROLLER = ControllerOptions()
DEATH_SCALE = 4
WORDS = ("test", 1, 7)


pytestmark = pytest.mark.usefixtures("one_thread")


def memory(death_bias: float = -1.0, sizes: MDNRNNOptions = SIZES, dtype: torch.dtype = torch.float64) -> MDNRNN:
    """M with random weights, large enough that noise, actions and memory matter; deaths by its bias and by chance."""
    torch.manual_seed(3)
    network = MDNRNN(sizes).to(dtype)
    with torch.no_grad():
        network.head.weight.mul_(2)
        if sizes.predict_done:
            network.head.weight[-1] *= DEATH_SCALE
        if sizes.predict_done:
            network.head.bias[-1] = death_bias
    return network.eval()


def starts(dtype: torch.dtype = torch.float64) -> StartLatents:
    torch.manual_seed(4)
    return StartLatents(torch.randn(10, 6, dtype=dtype), torch.full((10, 6), -2.0, dtype=dtype))


def moments() -> StartLatents:
    """Starts within episodes."""
    first = starts()
    memory = LSTMState(torch.rand(10, 12, dtype=torch.float64) - 0.5, torch.randn(10, 12, dtype=torch.float64))
    return StartLatents(first.means, first.log_variances, memory)


def controllers(count: int, options: ControllerOptions = CONTROLLER) -> torch.Tensor:
    torch.manual_seed(5)
    return torch.randn(count, controller_size(options, 6, 12, 2), dtype=torch.float64) * 0.3


class Dream(NamedTuple):
    """A dream through the plain simulator at batch 1."""

    latents: list[torch.Tensor]
    died: bool
    total: float


def one_by_one(
    network: MDNRNN, weights: torch.Tensor, options: DreamOptions, begin: StartLatents | None = None
) -> list[Dream]:
    """The same dreams through the plain simulator at batch 1."""
    simulator = WorldModel(None, network, begin or starts())
    dreams = []
    for member in range(len(weights)):
        for rollout in range(options.rollouts):
            noise = RowStreams([dream_words(WORDS, member, rollout)], 6, dtype=torch.float64)
            state = simulator.start(noise)
            latents, total = [], 0.0
            while len(latents) < options.max_steps and not bool(simulator.done(state)):
                seen = (state.latent, state.cell, state.hidden)
                action = act(weights[member], options.controller, 2, *seen)
                state = simulator.step(state, action, options.temperature, noise)
                latents.append(state.latent)
                total += float(simulator.reward(state))
            dreams.append(Dream(latents, bool(simulator.done(state)), total))
    return dreams


@pytest.mark.parametrize("inputs", ["z-c-h", "z-h", "z"])
@pytest.mark.parametrize("bias", [False, True])
def test_batched_dream_equals_dreams_one_by_one(inputs, bias):
    """A dream's score must be its own: not that of its neighbours, nor of the order in which they leave the batch."""
    options = DreamOptions(ControllerOptions(inputs=inputs, bias=bias), temperature=1.15, rollouts=4, max_steps=50)
    weights, network = controllers(5, options.controller), memory()
    scores = dream_returns(network, weights, starts(), options, WORDS)
    alone = one_by_one(network, weights, options)
    lengths = np.array([len(dream.latents) for dream in alone]).reshape(5, 4)
    np.testing.assert_array_equal(scores.lengths, lengths)
    np.testing.assert_array_equal(scores.returns, lengths)
    np.testing.assert_array_equal(scores.deaths, np.array([dream.died for dream in alone]).reshape(5, 4))
    # The comparison means something only if dreams end early, late, and not at all.
    assert len(np.unique(lengths)) > 5 and scores.deaths.any() and not scores.deaths.all()


def test_batched_dreams_within_episodes_equal_dreams_one_by_one():
    """With M's memory of what led there, and no restart."""
    options = DreamOptions(CONTROLLER, temperature=1.15, rollouts=6, max_steps=50)
    weights, network = controllers(5), memory()
    scores = dream_returns(network, weights, moments(), options, WORDS)
    lengths = [len(dream.latents) for dream in one_by_one(network, weights, options, moments())]
    np.testing.assert_array_equal(scores.lengths.ravel(), lengths)
    # It matters where they begin, and that the memory is the moment's own.
    assert (dream_returns(network, weights, starts(), options, WORDS).lengths != scores.lengths).any()
    state = WorldModel(None, network, moments()).start(RowStreams([("a",), ("b",)], 6, dtype=torch.float64))
    places = [int((moments().state.cell == cell).all(dim=1).nonzero()) for cell in state.cell]
    assert state.restart.tolist() == [0, 0] and torch.equal(state.hidden, moments().state.hidden[places])
    assert (state.latent - moments().means[places]).abs().max() < 5 * math.exp(-1)


def test_batched_latents_equal_latents_one_by_one():
    """The paths agree to rounding over 50 steps, also when rows left and blocks of noise ended on the way."""
    options = DreamOptions(CONTROLLER, temperature=1.15, rollouts=1, max_steps=50)
    network, weights = memory(death_bias=-60.0), controllers(6)
    alone = one_by_one(network, weights, options)
    noise = RowStreams([dream_words(WORDS, member, 0) for member in range(6)], 6, dtype=torch.float64)
    batch = DreamBatch(network, options)
    kept = list(range(6))
    with torch.inference_mode():
        batch.begin(*starts().draw(*noise.draw()), weights)
        for step in range(50):
            batch.step(*noise.draw())
            if step in (10, 40):
                rows = torch.tensor([0, 2, 3] if step == 10 else [2, 1])
                batch.select(rows)
                noise.select(rows)
                kept = [kept[row] for row in rows]
            for row, member in enumerate(kept):
                expected = alone[member].latents[step][0]
                torch.testing.assert_close(batch.rows[row, batch.latent], expected, rtol=1e-9, atol=1e-10)
    assert kept == [3, 2]


def test_scores_do_not_depend_on_the_population():
    """A member's score must be the same whether 2 or 6 members dream with it."""
    options = DreamOptions(CONTROLLER, 1.15, rollouts=3, max_steps=60)
    six = dream_returns(memory(), controllers(6), starts(), options, WORDS)
    two = dream_returns(memory(), controllers(6)[:2], starts(), options, WORDS)
    np.testing.assert_array_equal(six.lengths[:2], two.lengths)


def test_scores_do_not_depend_on_threads():
    """Shares of the dreams run in threads: a machine with more cores must not score others' dreams."""
    options = DreamOptions(CONTROLLER, 1.15, rollouts=40, max_steps=60)
    before = torch.get_num_threads()
    scores = []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            scores.append(dream_returns(memory(), controllers(5), starts(), options, WORDS))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for other in scores[1:]:
        np.testing.assert_array_equal(other.lengths, scores[0].lengths)
        np.testing.assert_array_equal(other.deaths, scores[0].deaths)


def test_other_words_other_dreams():
    """A generation, or a training seed, that repeated another's luck would fool the evolution."""
    options = DreamOptions(CONTROLLER, 1.15, rollouts=8, max_steps=100)
    first = dream_returns(memory(), controllers(3), starts(), options, ("test", 1, 1))
    again = dream_returns(memory(), controllers(3), starts(), options, ("test", 1, 1))
    other = dream_returns(memory(), controllers(3), starts(), options, ("test", 1, 2))
    np.testing.assert_array_equal(first.lengths, again.lengths)
    assert (first.lengths != other.lengths).any()
    assert (first.lengths[:, 0] != first.lengths[:, 1]).any()


def test_every_step_is_worth_one_and_the_last_one_too():
    """A dream that dies at its first action lasted one step; one that is cut off at 37 lasted 37."""
    options = DreamOptions(CONTROLLER, 1.0, rollouts=2, max_steps=37)
    at_once = dream_returns(memory(death_bias=1e3), controllers(2), starts(), options, WORDS)
    assert at_once.returns.tolist() == [[1, 1], [1, 1]] and at_once.deaths.all()
    never = dream_returns(memory(death_bias=-1e3), controllers(2), starts(), options, WORDS)
    assert never.returns.tolist() == [[37, 37], [37, 37]] and not never.deaths.any()


def test_death_is_a_threshold_not_a_draw():
    """A known defect of ports: at p = 0.49 nobody dies, ever; at p = 0.51 everybody does, at once."""
    for logit, length, died in ((-0.04, 30, False), (0.04, 1, True)):
        network = memory()
        with torch.no_grad():
            network.head.weight[-1] = 0
            network.head.bias[-1] = logit
        options = DreamOptions(CONTROLLER, 1.0, rollouts=10, max_steps=30)
        scores = dream_returns(network, controllers(2), starts(), options, WORDS)
        assert (scores.lengths == length).all() and (scores.deaths == died).all()


def test_death_at_the_last_step_is_a_death():
    """The last step of the longest possible dream can be fatal; then it is no timeout."""
    options = DreamOptions(CONTROLLER, 1.15, rollouts=20, max_steps=100)
    scores = dream_returns(memory(), controllers(3), starts(), options, WORDS)
    length = int(np.sort(scores.lengths[scores.deaths])[len(scores.lengths[scores.deaths]) // 2])
    cut = dream_returns(memory(), controllers(3), starts(), DreamOptions(CONTROLLER, 1.15, 20, length), WORDS)
    np.testing.assert_array_equal(cut.deaths, scores.deaths & (scores.lengths <= length))
    np.testing.assert_array_equal(cut.lengths, np.minimum(scores.lengths, length))


def test_dreams_start_on_samples_of_first_frames():
    """Known defects of ports: starting from posterior means, or always from the same frame."""
    means = torch.tensor([[-10.0] * 3, [10.0] * 3])
    begin = StartLatents(means, torch.full((2, 3), math.log(0.25)))
    noise = RowStreams([("start", row) for row in range(2000)], 3)
    uniform, normal = noise.draw()
    latents, _ = begin.draw(uniform, normal)
    high = latents[latents[:, 0] > 0]
    assert abs(len(high) / 2000 - 0.5) < 0.05
    assert high.mean().item() == pytest.approx(10, abs=0.05)
    assert high.std().item() == pytest.approx(0.5, abs=0.03)  # exp(-1.386 / 2)


def test_dreams_start_with_no_memory_and_a_restart_flag():
    """A known defect of ports: dreams that begin in the middle of an episode, with a memory of zero."""
    simulator = WorldModel(None, memory(), starts())
    state = simulator.start(RowStreams([("a",), ("b",)], 6, dtype=torch.float64))
    assert state.restart.tolist() == [1, 1]
    assert not state.hidden.any() and not state.cell.any() and not simulator.done(state).any()
    after = simulator.step(state, torch.zeros(2, 2).double(), 1.0, RowStreams([("a",), ("b",)], 6, dtype=torch.float64))
    assert after.restart.tolist() == [0, 0] and simulator.reward(after).tolist() == [1, 1]


def test_temperature_reaches_the_dream():
    """At tau -> 0 two dreams from one start are the same dream; at tau 1 they are not."""
    begin = StartLatents(torch.zeros(1, 6).double(), torch.full((1, 6), -80.0).double())
    for temperature, distinct in ((1e-9, 1), (1.0, 5)):
        options = DreamOptions(CONTROLLER, temperature, rollouts=30, max_steps=80)
        scores = dream_returns(memory(death_bias=-0.5), controllers(1), begin, options, WORDS)
        assert (len(np.unique(scores.lengths)) > distinct) == (distinct > 1)


def test_models_without_death_dream_to_the_end():
    """CarRacing's M predicts no death and knows no restart."""
    sizes = MDNRNNOptions(
        latent_size=6, action_size=2, hidden_size=12, mixtures=3, predict_done=False, restart_input=False
    )
    options = DreamOptions(CONTROLLER, 1.0, rollouts=2, max_steps=20)
    scores = dream_returns(memory(sizes=sizes), controllers(2), starts(), options, WORDS)
    assert (scores.lengths == 20).all() and not scores.deaths.any()


def test_predicted_rewards_count_up_to_the_fatal_step():
    """Rewards of the steps after a death, which the batch still computes, must not be counted."""
    sizes = SIZES.model_copy(update={"predict_reward": True})
    options = DreamOptions(CONTROLLER, temperature=1.15, rollouts=4, max_steps=50)
    network, weights = memory(sizes=sizes), controllers(5)
    scores = dream_returns(network, weights, starts(), options, WORDS)
    alone = one_by_one(network, weights, options)
    totals = np.array([dream.total for dream in alone]).reshape(5, 4)
    np.testing.assert_allclose(scores.returns, totals, rtol=1e-9)
    assert len(np.unique(scores.lengths)) > 5 and not np.allclose(totals, scores.lengths)


def test_dropout_hides_its_share_of_the_latent_and_keeps_the_mean():
    """Hidden numbers are 0, the others scaled up: on average M sees what it was trained on."""
    uniform = uniform_numbers(torch.randint(-(2**31), 2**31, (1000, 64), dtype=torch.int64).to(torch.int32))
    factors = dropout_factors(uniform, 0.1)
    assert factors.mean().item() == pytest.approx(1, abs=0.01)
    assert (factors == 0).float().mean().item() == pytest.approx(0.1, abs=0.005)
    # The component of the mixture is chosen by the same number: it must not say what is hidden.
    assert (factors == 0)[uniform > 0.9].float().mean().item() == pytest.approx(0.1, abs=0.01)


def test_dropout_changes_what_memory_sees_and_not_what_the_controller_sees():
    """Dreams differ with dropout from their second latent on; the first action is the same."""
    network, weights = memory(dtype=torch.float32), controllers(3).float()
    batches = []
    for share in (0.0, 0.5):
        noise = RowStreams([("drop", row) for row in range(3)], 6)
        batch = DreamBatch(network, DreamOptions(CONTROLLER, 1.0, 1, dropout=share))
        with torch.inference_mode():
            batch.begin(*starts(torch.float32).draw(*noise.draw()), weights)
            batch.step(*noise.draw())
        batches.append(batch)
    plain, dropped = batches
    torch.testing.assert_close(plain.rows[:, plain.action], dropped.rows[:, dropped.action])
    assert not torch.allclose(plain.rows[:, plain.hidden], dropped.rows[:, dropped.hidden])


def test_bf16_products_give_nearly_the_same_scores():
    """On hardware with bf16, scores are those of another rounding, not of another world."""
    options = DreamOptions(CONTROLLER, 1.15, rollouts=100, max_steps=100)
    network, begin = memory(dtype=torch.float32), starts(torch.float32)
    exact = dream_returns(network, controllers(4), begin, options, WORDS).returns
    narrow = DreamOptions(CONTROLLER, 1.15, 100, 100, matmul_dtype=torch.bfloat16)
    rounded = dream_returns(network, controllers(4), begin, narrow, WORDS).returns
    assert rounded.mean() == pytest.approx(exact.mean(), rel=0.05)


def test_bf16_products_are_products_in_bf16():
    """A product that stays in fp32 would be slow where bf16 is fast; results are handed on in fp32."""
    torch.manual_seed(1)
    weight, inputs = torch.randn(40, 30), torch.randn(5, 40)
    results = {}
    for dtype in (torch.float32, torch.bfloat16):
        product = MatrixProduct(weight, dtype)
        product.reserve(5)
        results[dtype] = product(inputs)
    error = (results[torch.bfloat16] - results[torch.float32]).abs().max()
    assert results[torch.bfloat16].dtype == torch.float32
    assert 1e-3 < error < 0.2


def test_wrong_controllers_are_refused():
    """Weights of another controller must not be cut into shape."""
    options = DreamOptions(CONTROLLER, 1.0, rollouts=1)
    with pytest.raises(ValueError, match=r"must be \(P, 60\)"):
        dream_returns(memory(), torch.zeros(2, 59).double(), starts(), options, WORDS)


def test_streams_belong_to_rows():
    """A row's n-th number is the same alone, in company, after others left, and beyond the end of a block."""
    together = RowStreams([("noise", row) for row in range(4)], 5)
    alone = RowStreams([("noise", 2)], 5)
    row = 2
    for step in range(2 * BLOCK_STEPS + 3):
        if step == 7:
            together.select(torch.tensor([3, 2]))
            row = 1
        both = together.draw()
        assert len(both[0]) == len(together)
        for many, one in zip(both, alone.draw(), strict=True):
            torch.testing.assert_close(many[row], one[0], rtol=1e-6, atol=1e-6)


def test_streams_are_uniform_and_normal():
    """Kolmogorov-Smirnov of 50,000 numbers each, and no correlation between them."""
    noise = RowStreams([("law", row) for row in range(50)], 500)
    draws = [noise.draw() for _ in range(2)]
    uniform, normal = (torch.cat([draw[kind].flatten() for draw in draws]).double() for kind in range(2))
    steps = torch.arange(1, len(uniform) + 1) / len(uniform)
    assert (uniform.sort().values - steps).abs().max() < 1.95 / math.sqrt(len(uniform))
    law = torch.distributions.Normal(0, 1).cdf(normal.sort().values)
    assert (law - steps).abs().max() < 1.95 / math.sqrt(len(normal))
    assert uniform.min() >= 0 and uniform.max() < 1
    for other in (uniform, normal.roll(1), normal.square().roll(1)):
        assert abs(torch.corrcoef(torch.stack([normal, other]))[0, 1]) < 4 / math.sqrt(len(normal))


def test_no_word_of_bits_gives_an_infinite_number():
    """The logarithm of a uniform number of exactly 0 would put a dream at infinity."""
    extremes = torch.tensor([-(2**31), -1, 0, 1, 2**31 - 1], dtype=torch.int32)
    for angle in extremes:
        assert normal_numbers(extremes, angle.expand(5)).isfinite().all()


class Painter:
    """A stand-in for V: draws the first latent as a grey level."""

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(latents[:, :1, None, None]).expand(-1, 3, 64, 64)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_film_shows_the_dream_that_was_scored(dropout):
    """A film of another dream than the scored one would illustrate something else."""
    network, weights = memory(), controllers(1)
    options = DreamOptions(CONTROLLER, 1.15, rollouts=6, max_steps=40, dropout=dropout)
    scores = dream_returns(network, weights, starts(), options, WORDS)
    for rollout in range(6):
        film = dream_frames(WorldModel(Painter(), network, starts()), weights[0], options, WORDS, rollout)
        length = scores.lengths[0, rollout]
        assert film.died == scores.deaths[0, rollout]
        assert film.frames.shape == (length + 1, 64, 64, 3) and film.frames.dtype == np.uint8
        assert film.actions.shape == (length, 2) and film.death_probabilities.shape == (length,)
        assert (film.death_probabilities[:-1] <= 0.5).all() and (film.death_probabilities[-1] > 0.5) == film.died
    if dropout:
        plain = dream_returns(network, weights, starts(), replace(options, dropout=0.0), WORDS)
        assert (plain.lengths != scores.lengths).any(), "dropout that changes nothing would go unnoticed above"
