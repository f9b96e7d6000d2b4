"""Graves' centred RMSProp, against its formula in numpy, and unlike torch's."""

import numpy as np
import torch

from worldmodels.models.centred_rmsprop import CentredRMSProp


def gradients(steps=30):
    return np.random.Generator(np.random.PCG64(1)).normal(0.02, 0.05, (steps, 5))


def run(optimiser, weight):
    for gradient in gradients():
        weight.grad = torch.from_numpy(gradient)
        optimiser.step()
    return weight.detach().numpy()


def test_it_is_the_formula_step_by_step():
    w, n, m, d = np.ones(5), np.zeros(5), np.zeros(5), np.zeros(5)
    weight = torch.nn.Parameter(torch.ones(5, dtype=torch.float64))
    optimiser = CentredRMSProp([weight], lr=1e-2)
    for gradient in gradients():
        n = 0.95 * n + 0.05 * gradient**2
        m = 0.95 * m + 0.05 * gradient
        d = 0.9 * d - 1e-2 * gradient / np.sqrt(n - m**2 + 0.01)
        w = w + d
        weight.grad = torch.from_numpy(gradient)
        optimiser.step()
        np.testing.assert_allclose(weight.detach().numpy(), w, rtol=1e-12)


def test_torchs_own_is_another_one():
    """Its epsilon stands outside the root, where 0.01 is a floor ten times lower: its steps are larger."""
    ours, theirs = (torch.nn.Parameter(torch.ones(5, dtype=torch.float64)) for _ in range(2))
    options = {"lr": 1e-2, "alpha": 0.95, "eps": 0.01, "momentum": 0.9, "centered": True}
    one = run(CentredRMSProp([ours], lr=1e-2), ours)
    other = run(torch.optim.RMSprop([theirs], **options), theirs)
    assert np.all(np.abs(other - 1) > 1.3 * np.abs(one - 1))


def test_state_comes_back_from_what_is_saved():
    weight, other = (torch.nn.Parameter(torch.ones(5, dtype=torch.float64)) for _ in range(2))
    first, second = CentredRMSProp([weight], lr=1e-2), CentredRMSProp([other], lr=1e-2)
    for step, gradient in enumerate(gradients()):
        if step == 10:
            other.data.copy_(weight.data)
            second.state[other] = {name: value.clone() for name, value in first.state[weight].items()}
        weight.grad = torch.from_numpy(gradient)
        first.step()
        if step >= 10:
            other.grad = torch.from_numpy(gradient)
            second.step()
    assert torch.equal(weight, other)
