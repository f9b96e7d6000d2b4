"""The training loop: learning, and going on after a stop as if nothing had happened."""

import itertools

import pytest
import torch
from torch import nn

from worldmodels.errors import UserError
from worldmodels.runtime.stop import Interrupted
from worldmodels.seeds import integer_seed
from worldmodels.training import FitOptions, Trainer, fit

STEPS = 40


def make_network():
    torch.manual_seed(1)
    return nn.Linear(3, 1)


def batches(first):
    for step in itertools.count(first):
        yield torch.randn(8, 3, generator=torch.Generator().manual_seed(integer_seed("test", step)))


class CarryObjective:
    """A loss that also depends on what the step before handed over, like an LSTM's state."""

    def __init__(self, network, state=None, stop_at=None, broken_at=None):
        self.network, self.state, self.stop_at, self.broken_at = network, state, stop_at, broken_at

    def __call__(self, step, batch, carry):
        if step == self.stop_at:
            self.state.stop.reason = "test"
        memory = carry[0] if carry else torch.zeros(8, 1)
        output = self.network(batch) + 0.5 * memory
        loss = (output - batch.sum(1, keepdim=True)).square().mean()
        if step == self.broken_at:
            loss = loss * float("nan")
        return loss, {"loss": loss}, (output.detach(),)


OPTIONS = FitOptions(lambda step: 0.1 / (1 + step), STEPS, 8, "rows", gradient_clip=1.0)


def run(state, **how):
    network = make_network()
    history = fit(network, CarryObjective(network, state, **how), batches, OPTIONS, state, torch.device("cpu"), "toy")
    return network, history


def test_it_learns(state):
    _, history = run(state)
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]


@pytest.mark.parametrize("stop_at", [0, 17, STEPS - 2])
def test_stopped_and_resumed_equals_undisturbed_to_the_bit(state, tmp_path, stop_at):
    """Weights, Adam's moments, the carry and the history must all be restored."""
    undisturbed, expected = run(state)
    (state.path / "checkpoint.safetensors").unlink(missing_ok=True)
    with pytest.raises(Interrupted):
        run(state, stop_at=stop_at)
    state.stop.reason = None
    resumed, history = run(state)
    assert torch.equal(resumed.weight, undisturbed.weight)
    assert torch.equal(resumed.bias, undisturbed.bias)
    assert history == expected


def test_memory_order_of_weights_survives_a_stop(state):
    """Adam's moments are saved in plain order; weights in channels-last order must get them back in theirs."""

    def run_convolution(stop_at):
        torch.manual_seed(1)
        network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)

        def objective(step, batch, carry):
            if step == stop_at:
                state.stop.reason = "test"
            loss = (network(batch) - batch[:, :1, 1:-1, 1:-1]).square().mean()
            return loss, {"loss": loss}, None

        def images(first):
            for step in itertools.count(first):
                yield torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(step))

        fit(network, objective, images, OPTIONS, state, torch.device("cpu"), "toy")
        return network.weight

    undisturbed = run_convolution(None)
    (state.path / "checkpoint.safetensors").unlink(missing_ok=True)
    with pytest.raises(Interrupted):
        run_convolution(17)
    state.stop.reason = None
    assert torch.equal(run_convolution(None), undisturbed)


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta")
def test_restored_optimiser_lies_where_its_weights_do(state):
    """Checkpoints are read to the CPU. Fused Adam on a GPU wants its step counts there too; `meta` stands in for one."""
    with pytest.raises(Interrupted):
        run(state, stop_at=17)
    elsewhere = Trainer(make_network().to("meta"), torch.device("meta"))
    assert elsewhere.restore(state) > 0
    placed = {value.device.type for saved in elsewhere.optimiser.state.values() for value in saved.values()}
    assert placed == {"meta"}
    assert {value.device.type for value in (*elsewhere.carry, *elsewhere.window.values())} == {"meta"}


def test_diverged_training_names_the_first_bad_batch(state):
    with pytest.raises(UserError, match=r"training diverged: .*, first in the batch of step 5\. "):
        run(state, broken_at=5)


def test_weights_that_are_not_finite_are_no_checkpoint(state):
    """A finite loss whose gradient is not: the next resume would begin with broken weights, for ever."""

    class Infinite(CarryObjective):
        def __call__(self, step, batch, carry):
            loss, metrics, memory = super().__call__(step, batch, carry)
            if step == 17:
                self.state.stop.reason = "test"
                self.network.weight.register_hook(lambda gradient: gradient * float("nan"))
            return loss, metrics, memory

    network = make_network()
    with pytest.raises(UserError, match="training diverged: weight is not finite, before step 18"):
        fit(network, Infinite(network, state), batches, OPTIONS, state, torch.device("cpu"), "toy")
    assert not (state.path / "checkpoint.safetensors").exists()
