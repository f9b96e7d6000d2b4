"""First weights: signals that keep their size, and draws as the papers made them."""

import math

import pytest
import torch
from torch import nn

from worldmodels.config.acvp_presets import MODELS, laptop
from worldmodels.config.simulator_presets import res_laptop
from worldmodels.models.first_weights import draw_he, summed_inputs
from worldmodels.models.res.transition import WIRINGS
from worldmodels.models.video.files import build_network

BATCH, STEPS = 24, 11
STRUCTURES = [name for name in WIRINGS if name not in ("action-planes", "hidden-times-action")]
NETWORKS = {f"res {name}": res_laptop(6).model.model_copy(update={"structure": name}) for name in STRUCTURES}
NETWORKS |= {name: laptop(name, 6)["1-step"].model for name in MODELS}


def spread_of_predictions(options):
    """Standard deviation, over what was seen, of a pixel that a network predicts before it has learned anything."""
    torch.manual_seed(0)
    network = build_network(options).eval()
    observations = 0.1 * torch.randn(BATCH, STEPS, options.channels, options.height, options.width)
    actions = torch.randint(0, options.actions, (BATCH, STEPS))
    with torch.no_grad():
        memory = network.observe(observations, actions, network.initial_state(BATCH))
        return float(network.draw(memory).std(0).mean())


@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_new_network_draws_depends_on_what_it_sees(name):
    """Else a short training grows signals before it can learn from them. Observations vary by 0.1 here, as frames do."""
    he, paper = (
        spread_of_predictions(NETWORKS[name].model_copy(update={"first_weights": one})) for one in ("he", "paper")
    )
    if name == "res three-factors":  # a product with the memory, which begins at 0: no weight makes it large
        assert he > 10 * paper
    else:
        assert he > 0.01 and he > 2 * paper


@pytest.mark.parametrize("slope", [None, 0.0, 0.25])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(300, 200),
        nn.Conv2d(24, 40, 5),
        nn.Conv2d(24, 40, 4, stride=2),
        nn.ConvTranspose2d(24, 40, 6, stride=2),
    ],
)
def test_a_layer_and_its_rectifier_keep_the_mean_square(layer, slope):
    torch.manual_seed(1)
    draw_he(layer, slope)
    shape = (64, 300) if isinstance(layer, nn.Linear) else (16, 24, 20, 20)
    with torch.no_grad():
        outputs = layer(torch.randn(shape))
        outputs = outputs if slope is None else nn.functional.leaky_relu(outputs, slope)
        if isinstance(layer, nn.ConvTranspose2d):
            outputs = outputs[..., 6:-6, 6:-6]  # at its border fewer are summed
    assert float(outputs.square().mean()) == pytest.approx(1, rel=0.1)
    assert not layer.bias.any()


def test_inputs_that_an_output_sums():
    assert summed_inputs(nn.Linear(7, 3)) == 7
    assert summed_inputs(nn.Conv2d(5, 3, (2, 4))) == 5 * 8
    assert summed_inputs(nn.ConvTranspose2d(5, 3, 6, stride=2)) == 5 * 9, "of 36 weights a pixel meets 9"


def test_torchs_own_are_the_papers():
    """RES: U(-1 / sqrt(inputs), 1 / sqrt(inputs)), "Torch default init"."""
    network = build_network(res_laptop(6).model.model_copy(update={"first_weights": "paper"}))
    weight = network.observing.inputs["v"].weight
    bound = 1 / math.sqrt(weight.shape[1])
    assert float(weight.detach().abs().max()) <= bound
    assert float(weight.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
