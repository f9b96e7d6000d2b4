"""The linear controller: sizes, order of its weights, one controller for each row."""

import math

import numpy as np
import pytest
import torch

from worldmodels.config.models import ControllerOptions
from worldmodels.envs.car_racing import action_from_unit
from worldmodels.models.controller import act, controller_features, controller_size, split_weights, squash


@pytest.mark.parametrize(
    ("inputs", "bias", "latent", "hidden", "actions", "size"),
    [
        ("z-c-h", False, 64, 512, 1, 1088),  # Doom
        ("z-h", True, 32, 256, 3, 867),  # CarRacing
        ("z", True, 32, 256, 3, 99),  # CarRacing with V alone
    ],
)
def test_sizes_are_those_of_the_paper(inputs, bias, latent, hidden, actions, size):
    """Another number of weights is another controller than the paper's; Doom's has no bias."""
    assert controller_size(ControllerOptions(inputs=inputs, bias=bias), latent, hidden, actions) == size


def test_hidden_layer_has_the_papers_size():
    """CarRacing with V and a hidden layer: 40 units of 32 latents, three actions, all with biases."""
    options = ControllerOptions(inputs="z", bias=True, hidden_units=40)
    assert controller_size(options, 32, 256, 3) == 1443


def test_hidden_layer_by_hand():
    """One unit: tanh(2 tanh(3 z + 1) + 4), weights in the order of the layers."""
    options = ControllerOptions(inputs="z", bias=True, hidden_units=1)
    z, nothing = torch.tensor([[0.1]]), torch.zeros(1, 0)
    action = act(torch.tensor([3.0, 1.0, 2.0, 4.0]), options, 1, z, nothing, nothing)
    assert action.item() == pytest.approx(math.tanh(2 * math.tanh(3 * 0.1 + 1) + 4))


def test_car_takes_steering_gas_and_brake():
    """Gas of a resting controller is one half, as in the released code; brake never falls below 0."""
    options = ControllerOptions(inputs="z", bias=True, actions="steer-gas-brake")
    outputs = torch.tensor([[0.0, 0.0, 0.0], [-9.0, -9.0, -9.0], [9.0, 9.0, 9.0]])
    expected = torch.tensor([[0.0, 0.5, 0.0], [-1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    torch.testing.assert_close(squash(outputs, options), expected, atol=1e-6, rtol=0)


def test_policies_and_controllers_act_alike():
    """Random policies go through numpy, controllers through torch: the same numbers must mean the same action."""
    unit = np.random.default_rng(1).uniform(-0.99, 0.99, (50, 3)).astype(np.float32)
    options = ControllerOptions(actions="steer-gas-brake")
    torch.testing.assert_close(
        squash(torch.from_numpy(unit).atanh(), options), torch.from_numpy(action_from_unit(unit)), atol=1e-5, rtol=0
    )


def test_doom_controller_sees_cell_and_hidden_state():
    """A known defect of ports: [z, h] instead of [z, c, h]."""
    z, c, h = torch.tensor([[1.0]]), torch.tensor([[2.0]]), torch.tensor([[3.0]])
    assert controller_features(ControllerOptions(), z, c, h).tolist() == [[1, 2, 3]]
    assert controller_features(ControllerOptions(inputs="z-h"), z, c, h).tolist() == [[1, 3]]
    assert controller_features(ControllerOptions(inputs="z"), z, c, h).tolist() == [[1]]


def test_action_by_hand():
    """tanh(1 * 0.1 + 2 * 0.2 + 3 * 0.3) for weights in the order z, c, h."""
    z, c, h = torch.tensor([[0.1]]), torch.tensor([[0.2]]), torch.tensor([[0.3]])
    action = act(torch.tensor([1.0, 2.0, 3.0]), ControllerOptions(), 1, z, c, h)
    assert action.item() == pytest.approx(math.tanh(1.4))


def test_weights_are_rows_then_biases():
    """Saved controllers must mean the same for every reader."""
    matrix, bias = split_weights(torch.arange(8.0), ControllerOptions(inputs="z", bias=True), action_size=2)
    assert matrix.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert bias.tolist() == [6, 7]


def test_each_row_has_its_own_controller():
    """In a batch of dreams, a member must never act with another member's weights."""
    options = ControllerOptions(inputs="z", bias=True)
    torch.manual_seed(1)
    weights, z = torch.randn(3, 2 * 4 + 2), torch.randn(3, 4)
    memory = torch.zeros(3, 0)
    together = act(weights, options, 2, z, memory, memory)
    for row in range(3):
        alone = act(weights[row], options, 2, z[row : row + 1], memory[:1], memory[:1])
        torch.testing.assert_close(together[row : row + 1], alone)


def test_wrong_size_is_refused():
    """A controller for another number of actions must not be cut into shape."""
    with pytest.raises(ValueError, match="do not make a controller"):
        split_weights(torch.zeros(7), ControllerOptions(), action_size=2)
