"""What an agent looks at: guided gradients by hand, an agent with one eye, and the rows of the figure."""

import h5py
import numpy as np
import pytest
import torch
from test_atari_store import make_agent
from torch import nn

from worldmodels.errors import UserError
from worldmodels.figures.saliency import guided_gradients, overlaid, saliency, saliency_rows
from worldmodels.models.atari_agent import load_agent
from worldmodels.simulators.moments_file import Moment, read_moments, write_moments


def layer(weights):
    linear = nn.Linear(len(weights[0]), len(weights), bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(weights))
    return linear


def test_guided_gradients_are_those_by_hand():
    """Negative activations pass nothing back, as in every gradient; nor do positive ones of a negative gradient."""
    network = nn.Sequential(
        layer([[1.0, -2.0], [3.0, 0.5], [-1.0, -1.0]]),  # of (1, 1): -1, 3.5, -2; of (2, -1): 4, 5.5, -1
        nn.ReLU(),
        layer([[2.0, 1.0, 5.0], [1.0, -1.0, 4.0]]),  # 3.5, -3.5; 13.5, -1.5
        nn.ReLU(),
        layer([[1.0, 1.0], [-1.0, 3.0], [2.0, 0.0]]),
    )
    inputs = torch.tensor([[1.0, 1.0], [2.0, -1.0], [2.0, -1.0], [2.0, -1.0]])
    outputs = torch.tensor([0, 0, 1, 2])
    by_hand = [
        [3.0, 0.5],  # the second of three is on, with weight 1: 1 * (3, 0.5)
        [5.0, -3.5],  # two are on: 2 * (1, -2) + 1 * (3, 0.5)
        [0.0, 0.0],  # -1 comes back to the only one that is on, and is cut
        [10.0, -7.0],  # twice the first output
    ]
    assert guided_gradients(network, inputs, outputs).tolist() == by_hand
    negative = nn.Sequential(layer([[1.0, -2.0], [3.0, 0.5]]), nn.ReLU(), layer([[2.0, -1.0]]))
    ours = guided_gradients(negative, inputs[1:2], torch.tensor([0]))
    assert ours.tolist() == [[2.0, -4.0]], "without the -1 of the second: the whole gradient is (-1, -4.5)"


def one_eyed(path, algorithm="dqn"):
    """An agent whose last action counts the light at row 20 + 4, column 40 + 6 of the newest frame, and nothing else."""
    agent = load_agent(make_agent(path, "pong", (0, 2, 3), algorithm=algorithm))
    with torch.no_grad():
        for value in agent.parameters():
            value.zero_()
        first, second, third = (agent.cnn[place].weight for place in (0, 2, 4))
        first[0, 3, 4, 6] = 1  # 20 by 20 places, 4 apart
        second[0, 0, 1, 2] = 1  # 9 by 9 places, 2 apart
        third[0, 0, 0, 0] = 1  # 7 by 7 places
        agent.linear[0].weight[0, 2 * 7 + 4] = 1  # row 2, column 4: of the second's, 2 * 2 + 1 = 5 and 4 * 2 + 2 = 10
        agent.head.weight[2, 0] = 1
    return agent


@pytest.mark.parametrize("algorithm", ["dqn", "a2c"])
def test_agent_that_looks_at_one_pixel(tmp_path, algorithm):
    agent = one_eyed(tmp_path / "agent.safetensors", algorithm)
    stacks = np.random.default_rng(0).integers(1, 256, (2, 4, 84, 84), np.uint8)
    stacks[1, 3, 24, 46] = 0  # dark there: no ReLU is on
    looks = saliency(agent, stacks)
    wanted = np.zeros((2, 84, 84))
    wanted[0, 5 * 4 + 4, 10 * 4 + 6] = 1
    assert np.array_equal(looks, wanted)


def test_saliency_is_relative_to_each_pictures_largest(tmp_path):
    agent = load_agent(make_agent(tmp_path / "agent.safetensors"))
    stacks = np.random.default_rng(0).integers(0, 256, (3, 4, 84, 84), np.uint8)
    looks = saliency(agent, stacks)
    assert looks.shape == (3, 84, 84) and looks.min() >= 0 and looks.max(axis=(1, 2)).tolist() == [1, 1, 1]
    assert np.allclose(saliency(agent, stacks[1:2]), looks[1:2], atol=1e-5), "whatever else is in the batch"
    assert all(not module._backward_hooks and not module._forward_hooks for module in agent.modules())


def test_orange_lies_over_dimmed_frames():
    picture = overlaid(np.full((1, 1, 3), 200, np.uint8), np.array([[[0.0, 0.5, 1.0]]]))
    assert picture.tolist() == [[[[120, 120, 120], [175, 140, 60], [230, 159, 0]]]]


def moments():
    stacks = np.random.default_rng(1).integers(1, 256, (2, 2, 4, 84, 84), np.uint8)
    return [Moment(0, *stacks[0]), Moment(5, *stacks[1])]


def test_rows_are_of_the_newest_frames(tmp_path):
    agent, kept = one_eyed(tmp_path / "agent.safetensors"), moments()
    rows = saliency_rows(agent, kept)
    assert list(rows) == ["real", "real, saliency", "seen", "seen, saliency"]
    for place, moment in enumerate(kept):
        for name in ("real", "seen"):
            newest = getattr(moment, name)[3]
            assert np.array_equal(rows[name][place, ..., 0], newest)
            orange = np.argwhere(np.ptp(rows[f"{name}, saliency"][place].astype(int), axis=-1) > 0)
            assert orange.tolist() == [[24, 46]], "all else is grey"


def test_moments_come_back_and_files_without_any_are_refused(tmp_path):
    path, kept = tmp_path / "simulator.h5", moments()
    write_moments(path, kept)
    for one, other in zip(read_moments(path), kept, strict=True):
        assert (
            one.ahead == other.ahead and np.array_equal(one.real, other.real) and np.array_equal(one.seen, other.seen)
        )
    write_moments(path, [])
    with pytest.raises(UserError, match="is empty: the game was over before a simulator imagined it"):
        read_moments(path)
    with h5py.File(path, "w"):
        pass
    with pytest.raises(UserError, match="is not a file of what an agent saw"):
        read_moments(path)
