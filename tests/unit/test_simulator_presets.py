"""The named trainings: that each is what its source says, and that each trains."""

import pytest
import torch

from worldmodels.config.simulator_presets import PRESETS
from worldmodels.config.simulators import convolved_sizes
from worldmodels.data.schemes import observed_flags
from worldmodels.data.windows import Windows
from worldmodels.models.video.files import build_network
from worldmodels.stages.train_simulator import SubsequenceObjective, resolution_of


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in {"res", "res-independent"}])
def test_preset_takes_a_training_step(name):
    """On two windows of noise: sizes fit, every weight that is to learn does, and the loss is a number."""
    training = PRESETS[name](actions=6).model_copy(update={"precision": "fp32"})
    options, steps = training.model, training.warm_up + training.subsequence
    torch.manual_seed(1)
    network = build_network(options)
    frames = torch.randint(0, 256, (2, steps + 1, options.height, options.width, options.channels), dtype=torch.uint8)
    actions = torch.randint(0, 6, (2, steps))
    windows = Windows(frames, actions, actions.float(), actions > 9)
    objective = SubsequenceObjective(network, training, torch.device("cpu"), ("test",))
    loss, metrics, _ = objective(0, windows, None)
    loss.backward()
    assert loss.isfinite()
    learned = [value for value in network.parameters() if value.requires_grad]
    assert learned and all(value.grad is not None and value.grad.any() for value in learned)
    assert ("reward" in metrics) == (name == "res-two-class-pong")


def test_data_sets_can_give_every_presets_frames():
    resolutions = {name: resolution_of(make().model) for name, make in PRESETS.items()}
    assert resolutions["res"] == "native" and resolutions["res-grey"] == "grey84"
    assert resolutions["res-two-class-pong"] == "grey96"


def test_open_implementations_sequences():
    grey, pong = PRESETS["res-grey"](), PRESETS["res-two-class-pong"]()
    flags = observed_flags(grey.scheme, 0, grey.subsequence)
    assert (grey.warm_up, sum(flags), len(flags) - sum(flags)) == (15, 10, 15)
    assert convolved_sizes(84, 84, grey.model.convolutions)[1:] == [(41, 41), (20, 20), (19, 19), (9, 9)]
    flags = observed_flags(pong.scheme, 0, pong.subsequence)
    assert (pong.window_steps, pong.warm_up, flags) == (45, 15, (True,) * 8 + (False,) * 7)


def test_independent_preset_is_the_papers():
    training = PRESETS["res-independent"]()
    assert training.window_steps == 40 and training.warm_up - training.warm_up_gradient + 1 == 5
    assert not any(observed_flags(training.scheme, 0, 15))
