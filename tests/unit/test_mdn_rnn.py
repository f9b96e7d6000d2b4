"""The memory model: sizes, restarts, density and samples of the factored mixture."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from worldmodels.config.models import MDNRNNOptions
from worldmodels.config.training import MDNRNNTraining
from worldmodels.data.latents import Latents, Streams
from worldmodels.models.mdn_rnn import (
    MDNRNN,
    MIN_LOG_SIGMA,
    LSTMState,
    MixtureParameters,
    done_loss,
    mixture_nll,
    sample_mixture,
    split_outputs,
)
from worldmodels.stages.train_mdn_rnn import StreamObjective

TINY = MDNRNNOptions(latent_size=3, action_size=2, hidden_size=5, mixtures=2)


pytestmark = pytest.mark.usefixtures("one_thread")


def tiny_network() -> MDNRNN:
    torch.manual_seed(1)
    return MDNRNN(TINY).double()


def random_chunk(batch: int, steps: int):
    torch.manual_seed(2)
    latents, actions = torch.randn(batch, steps, 3).double(), torch.randn(batch, steps, 2).double()
    restarts = torch.zeros(batch, steps).double()
    return latents, actions, restarts


def mixture(log_weights, means, log_sigmas) -> MixtureParameters:
    """A mixture of one latent dimension, (K, 1) each."""
    return MixtureParameters(*(torch.tensor(part).double()[:, None] for part in (log_weights, means, log_sigmas)))


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        (MDNRNNOptions(), 1_678_785),
        (
            MDNRNNOptions(latent_size=32, action_size=3, hidden_size=256, restart_input=False, predict_done=False),
            422_368,
        ),
    ],
)
def test_sizes_are_those_of_the_paper(options, parameters):
    """A second bias vector or a shared mixture would be another network than the paper's."""
    assert sum(value.numel() for value in MDNRNN(options).parameters() if value.requires_grad) == parameters


def test_lstm_is_the_textbook_lstm():
    """Gates in another order, or a lost bias, would make saved weights mean something else."""
    network = tiny_network()
    latents, actions, restarts = random_chunk(batch=2, steps=4)
    inputs = torch.cat([latents, actions, restarts[..., None]], dim=-1)
    hidden, _ = network.recur(inputs, restarts, network.initial_state(2))
    h = c = torch.zeros(2, 5).double()
    for step in range(4):
        gates = inputs[:, step] @ network.weight_ih.T + h @ network.weight_hh.T + network.bias
        i, f, g, o = gates.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        torch.testing.assert_close(hidden[:, step], h)


def test_fresh_memory_keeps_what_it_has():
    """A forget gate that starts closed makes M learn nothing over long times."""
    bias = MDNRNN(TINY).bias
    assert bias[5:10].tolist() == [1] * 5
    assert bias[:5].tolist() == [0] * 5 and bias[10:].tolist() == [0] * 10


def test_restart_forgets_the_episode_before():
    """A new episode that remembers the last one would be told of a game that is over."""
    network = tiny_network()
    latents, actions, restarts = random_chunk(batch=3, steps=6)
    restarts[0, 2] = restarts[1, 4] = restarts[1, 2] = 1
    torch.manual_seed(3)
    carried = LSTMState(torch.randn(3, 5).double(), torch.randn(3, 5).double())
    prediction, _ = network(latents, actions, restarts, carried)
    alone, _ = network(latents[:1, 2:], actions[:1, 2:], restarts[:1, 2:])
    torch.testing.assert_close(prediction.mixture.means[0, 2:], alone.mixture.means[0])
    again, _ = network(latents[1:2, 4:], actions[1:2, 4:], restarts[1:2, 4:])
    torch.testing.assert_close(prediction.done_logit[1, 4:], again.done_logit[0])
    # The third stream never restarts: the state that it was given still counts at its last step.
    without, _ = network(latents, actions, restarts)
    assert (prediction.done_logit[2] - without.done_logit[2]).abs().min() > 1e-9


def test_chunks_join_without_a_seam():
    """Training in chunks must see the same memory as one long sequence."""
    network = tiny_network()
    latents, actions, restarts = random_chunk(batch=2, steps=7)
    restarts[:, 0] = restarts[1, 5] = 1
    whole, last = network(latents, actions, restarts)
    first, state = network(latents[:, :3], actions[:, :3], restarts[:, :3])
    second, end = network(latents[:, 3:], actions[:, 3:], restarts[:, 3:], state)
    torch.testing.assert_close(torch.cat([first.done_logit, second.done_logit], dim=1), whole.done_logit)
    torch.testing.assert_close(end.hidden, last.hidden)
    torch.testing.assert_close(end.cell, last.cell)


def test_gradients_are_those_of_the_step_by_step_network():
    """A fast recurrence with a wrong gradient would train, only badly. It is compared where episodes restart."""
    network = tiny_network()
    latents, actions, restarts = random_chunk(batch=2, steps=5)
    restarts[0, 3] = 1
    prediction, _ = network(latents, actions, restarts)
    whole = torch.autograd.grad(prediction.done_logit.square().sum(), [network.weight_hh, network.bias])
    loss, state = 0, network.initial_state(2)
    for step in range(5):
        part = slice(step, step + 1)
        prediction, state = network(latents[:, part], actions[:, part], restarts[:, part], state)
        loss = loss + prediction.done_logit.square().sum()
    for left, right in zip(whole, torch.autograd.grad(loss, [network.weight_hh, network.bias]), strict=True):
        torch.testing.assert_close(left, right)


def test_head_layout():
    """Weights, means and sigmas of a component lie side by side; a shifted slice would still train, to nonsense."""
    outputs = torch.arange(2 * 3 * 3 + 1)
    prediction = split_outputs(outputs, TINY)
    assert prediction.mixture.log_weights.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert prediction.mixture.means.tolist() == [[6, 7, 8], [9, 10, 11]]
    assert prediction.mixture.log_sigmas.tolist() == [[12, 13, 14], [15, 16, 17]]
    assert prediction.done_logit == 18 and prediction.reward is None
    with_reward = split_outputs(torch.arange(20), TINY.model_copy(update={"predict_reward": True}))
    assert with_reward.reward == 18 and with_reward.done_logit == 19


def test_wrong_shapes_are_refused():
    """Actions of another task must not be broadcast into place."""
    latents, actions, restarts = random_chunk(batch=2, steps=3)
    with pytest.raises(ValueError, match="must be"):
        tiny_network()(latents, actions[..., :1], restarts)


def test_density_of_one_gaussian():
    """-log N(1; 3, 2) = 2^2 / (2 * 2^2) + log 2 + log(2 pi) / 2: the loss is in nats and normalised."""
    expected = 0.5 + math.log(2) + 0.5 * math.log(2 * math.pi)
    nll = mixture_nll(mixture([7.0], [3.0], [math.log(2)]), torch.tensor([1.0]).double())
    assert nll.item() == pytest.approx(expected)


def test_density_integrates_to_one():
    """Weights that are not normalised would let the loss fall without learning anything."""
    grid = torch.linspace(-20, 20, 20_001).double()
    parts = mixture([0.3, 2.0, -1.0], [-2.0, 0.5, 3.0], [-1.0, 0.2, 0.7])
    density = torch.exp(-mixture_nll(MixtureParameters(*(part[None] for part in parts)), grid[:, None]))
    assert torch.trapezoid(density[:, 0], grid).item() == pytest.approx(1, abs=1e-9)


def test_every_dimension_has_its_own_mixture():
    """Factored: two dimensions that choose different components are as likely as the product of the two."""
    weights = torch.tensor([[0.0, -50.0], [-50.0, 0.0]])  # dimension 0 takes component 0, dimension 1 takes 1
    means = torch.tensor([[1.0, 1.0], [9.0, 9.0]])
    parameters = MixtureParameters(weights, means, torch.full((2, 2), -3.0))
    nll = mixture_nll(parameters, torch.tensor([1.0, 9.0]))
    assert nll.tolist() == pytest.approx([-3 + 0.5 * math.log(2 * math.pi)] * 2, abs=1e-4)
    sample = sample_mixture(parameters, 1.0, torch.tensor([0.5, 0.5]), torch.zeros(2))
    assert sample.tolist() == [1.0, 9.0]


def test_constant_dimension_has_a_finite_loss():
    """A latent that never changes sends log-sigma, and without a floor the loss, to minus infinity."""
    log_sigmas = torch.full((1, 1), -1000.0, requires_grad=True)
    parameters = MixtureParameters(torch.zeros(1, 1), torch.zeros(1, 1), log_sigmas)
    nll = mixture_nll(parameters, torch.zeros(1))
    assert nll.item() == pytest.approx(MIN_LOG_SIGMA + 0.5 * math.log(2 * math.pi))
    nll.sum().backward()
    assert log_sigmas.grad.item() == 0


def test_temperature_divides_logits_and_widens_sigma_by_its_root():
    """A known defect of ports: tau multiplied into sigma, with the weights of the mixture left as they are."""
    parameters = mixture([math.log(0.8), math.log(0.2)], [0.0, 100.0], [math.log(3), math.log(3)])
    ones = torch.ones(1).double()
    # At tau 1 the first component ends at u = 0.8; at tau 0.5 its weight is 0.64 / 0.68 = 0.941; at 2 it is 0.667.
    for temperature, border in ((1.0, 0.8), (0.5, 0.64 / 0.68), (2.0, 2 / 3)):
        noise = 3 * math.sqrt(temperature)
        below = sample_mixture(parameters, temperature, ones * (border - 1e-6), ones)
        above = sample_mixture(parameters, temperature, ones * (border + 1e-6), ones)
        assert below.item() == pytest.approx(noise)
        assert above.item() == pytest.approx(100 + noise)


def test_component_of_no_weight_is_never_drawn():
    """At a temperature of 0.1, most weights underflow to 0; a uniform number of exactly 0 or nearly 1 takes none."""
    parameters = mixture([-80.0, 0.0, -80.0], [1.0, 2.0, 3.0], [-9.0, -9.0, -9.0])
    for uniform in (0.0, 0.5, 1 - 2**-24):
        drawn = sample_mixture(parameters, 0.1, torch.tensor([uniform]).double(), torch.zeros(1).double())
        assert drawn.item() == 2


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 1.15, 1.3])
def test_samples_follow_the_density(temperature):
    """Kolmogorov-Smirnov: the dream must be the one that M was trained to dream, widened by tau as the paper says."""
    torch.manual_seed(5)
    count = 40_000
    parameters = mixture([0.5, 0.0, -0.7, -2.0, 0.1], [-1.0, 0.0, 0.6, 2.5, -2.2], [-1.5, -0.3, -2.0, 0.2, -0.8])
    batch = MixtureParameters(*(part.expand(count, 5, 1) for part in parameters))
    samples = sample_mixture(batch, temperature, torch.rand(count, 1).double(), torch.randn(count, 1).double())
    ordered = samples[:, 0].sort().values
    weights = torch.softmax(parameters.log_weights[:, 0] / temperature, dim=0)
    sigmas = parameters.log_sigmas[:, 0].exp() * math.sqrt(temperature)
    normal = torch.distributions.Normal(parameters.means[:, 0], sigmas)
    cdf = (normal.cdf(ordered[:, None]) * weights).sum(dim=1)
    distance = (cdf - torch.arange(1, count + 1) / count).abs().max().item()
    assert distance < 1.95 / math.sqrt(count)  # exceeded once in a thousand times by chance


def test_samples_at_temperature_one_have_the_trained_density():
    """Mean negative log-density of samples = entropy: holds only if sampling and loss speak of one distribution."""
    torch.manual_seed(6)
    parameters = mixture([0.0, 1.0], [-3.0, 3.0], [-1.0, 0.5])
    batch = MixtureParameters(*(part.expand(50_000, 2, 1) for part in parameters))
    samples = sample_mixture(batch, 1.0, torch.rand(50_000, 1).double(), torch.randn(50_000, 1).double())
    grid = torch.linspace(-25, 25, 50_001).double()[:, None]
    nll = mixture_nll(MixtureParameters(*(part[None] for part in parameters)), grid)[:, 0]
    entropy = torch.trapezoid(nll * torch.exp(-nll), grid[:, 0]).item()
    assert mixture_nll(batch, samples).mean().item() == pytest.approx(entropy, abs=0.02)


def test_sampling_leaves_its_input_alone():
    """In-place arithmetic on M's outputs would change a state that a film or a test still looks at."""
    parameters = mixture([0.5, 0.0], [-1.0, 0.0], [-9.0, -9.0])
    copies = [part.clone() for part in parameters]
    sample_mixture(parameters, 0.5, torch.tensor([0.3]).double(), torch.tensor([0.3]).double())
    for part, copy in zip(parameters, copies, strict=True):
        assert torch.equal(part, copy)


def test_fatal_steps_count_ten_times():
    """Unweighted, a death in 300 steps is never learned (2 % recall in a port), and dreams do not end."""
    loss = done_loss(torch.zeros(2), torch.tensor([0.0, 1.0]), weight=10)
    assert loss.tolist() == pytest.approx([math.log(2), 10 * math.log(2)])


class Recorder(nn.Module):
    """M, and the latents that it was shown."""

    def __init__(self, options: MDNRNNOptions) -> None:
        super().__init__()
        self.network, self.seen = MDNRNN(options), []

    def forward(self, latents, *rest):
        self.seen.append(latents)
        return self.network(latents, *rest)


def test_training_with_dropout_hides_latents_and_learns_rewards():
    """The inputs lose their share, the same at a repeated step; targets and actions lose nothing."""
    options = TINY.model_copy(update={"predict_reward": True})
    latents = Latents(
        *(np.full((40, 3), value, np.float16) for value in (1.0, -20.0)),  # means; log-variances: z is 1
        actions=np.ones((40, 2), np.float32),
        rewards=np.arange(40, dtype=np.float32),
        episode_offsets=np.array([0, 40]),
        deaths=np.array([True]),
        vae_sha256="0" * 64,
    )
    batch = Streams(latents, np.array([0]), streams=1, chunk=40, seed_words=("test",)).batch(0)
    network = Recorder(options)
    training = MDNRNNTraining(model=options, dropout=0.4, reward_weight=0.5)
    objective = StreamObjective(network, training, torch.device("cpu"), torch.float32, ("test",))
    for step in (3, 3, 4):
        _, metrics, _ = objective(step, batch, None)
    first, again, other = network.seen
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first[first > 0].tolist() == pytest.approx([1 / 0.6] * int((first > 0).sum()), abs=1e-3)
    assert (first == 0).float().mean().item() == pytest.approx(0.4, abs=0.12)
    prediction, _ = network.network(other, torch.ones(1, 40, 2), torch.from_numpy(batch.restarts))
    error = (prediction.reward - torch.arange(40.0)).square().mean()
    assert metrics["reward"].item() == pytest.approx(0.5 * error.item(), rel=1e-4)


def test_one_update_lowers_the_loss():
    """The network learns at all: gradients reach every parameter."""
    network = tiny_network()
    latents, actions, restarts = random_chunk(batch=4, steps=6)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        prediction, _ = network(latents, actions, restarts)
        nll = mixture_nll(prediction.mixture, latents).mean() + done_loss(prediction.done_logit, restarts, 10).mean()
        optimiser.zero_grad()
        nll.backward()
        assert all(isinstance(value, nn.Parameter) and value.grad.abs().sum() > 0 for value in network.parameters())
        optimiser.step()
        losses.append(nll.item())
    assert losses[-1] < losses[0] - 0.1
