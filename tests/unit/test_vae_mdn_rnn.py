"""V and M of World Models as a simulator of video: sizes, alignment, and what each of its two trainings changes."""

import pytest
import torch

from worldmodels.config.load import load_config
from worldmodels.config.vae_mdn_rnn import VAEMDNRNNOptions
from worldmodels.data.windows import Windows
from worldmodels.figures.claims_page import REPOSITORY
from worldmodels.models.mdn_rnn import LSTMState
from worldmodels.models.vae_mdn_rnn.network import VAEMDNRNN
from worldmodels.models.video.files import continue_from, load_network
from worldmodels.runtime.weights import save_weights
from worldmodels.simulators.costs import costs_of
from worldmodels.simulators.video import VideoSimulator

ACTIONS = 3


def small(**changes):
    torch.manual_seed(1)
    return VAEMDNRNN(
        VAEMDNRNNOptions(actions=ACTIONS, **{"latent_size": 6, "hidden_size": 12, "mixtures": 2, **changes})
    )


def windows(batch=2, steps=5):
    source = torch.Generator().manual_seed(2)
    frames = torch.randint(0, 256, (batch, steps + 1, 64, 64, 3), dtype=torch.uint8, generator=source)
    actions = torch.randint(0, ACTIONS, (batch, steps), generator=source)
    return Windows(frames, actions, torch.zeros(batch, steps), torch.zeros(batch, steps, dtype=torch.bool))


def test_total_is_that_of_v_and_of_m_with_one_hot_actions():
    """V: 4,446,915 (paper). M: 4 * 512 * (64 + 18 + 512 + 1), and a head of 960 outputs."""
    network = VAEMDNRNN(VAEMDNRNNOptions())
    memory = 4 * 512 * (64 + 18 + 512 + 1) + 960 * (512 + 1)
    assert sum(value.numel() for value in network.parameters()) == 4_446_915 + memory == 6_157_955


def test_step_is_that_of_the_lstm_that_is_trained():
    network = small()
    latents, actions = torch.randn(4, 7, 6), torch.randint(0, ACTIONS, (4, 7))
    memory = network.initial_state(4)
    for step in range(7):
        memory = network.take_in({"latent": latents[:, step], "action": network.one_hot(actions[:, step])}, memory)
    prediction, state = network.dynamics(
        latents, network.one_hot(actions), torch.zeros(4, 7), LSTMState(*network.initial_state(4)[1:])
    )
    torch.testing.assert_close(memory.hidden, state.hidden)
    torch.testing.assert_close(memory.cell, state.cell)
    mixture = type(prediction.mixture)(*(part[:, -1] for part in prediction.mixture))
    torch.testing.assert_close(memory.latent, (mixture.log_weights.softmax(-2) * mixture.means).sum(-2))


def test_imagined_frames_follow_from_the_last_real_frame_and_all_actions():
    """The first step takes in the last real frame; later ones the predicted latent; nothing is drawn on the way."""
    simulator = VideoSimulator(small())
    batch = windows()
    begin = simulator.observe(batch.frames[:, :4], batch.actions[:, :3])
    torch.testing.assert_close(simulator.render(begin), batch.frames[:, 3])
    one = simulator.advance(begin, batch.actions[:, 3])
    seen = simulator.observe(batch.frames[:, :5], batch.actions[:, :4])
    torch.testing.assert_close(one.memory.hidden, seen.memory.hidden)
    two = simulator.advance(one, batch.actions[:, 4])
    other = simulator.advance(one, (batch.actions[:, 4] + 1) % ACTIONS)
    assert not torch.equal(simulator.predict(two), simulator.predict(other))
    changed = batch.frames.clone()
    changed[:, 3] = 255 - changed[:, 3]
    elsewhere = simulator.advance(simulator.observe(changed[:, :4], batch.actions[:, :3]), batch.actions[:, 3])
    assert not torch.equal(simulator.predict(one), simulator.predict(elsewhere))
    assert (
        not simulator.renders_each_step and costs_of(simulator).operations < costs_of(simulator).operations_drawn / 100
    )


@pytest.mark.parametrize("learns", ["vision", "memory"])
def test_each_training_changes_its_part_and_lowers_its_loss(learns):
    network = small(learns=learns)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trained = [value for value in network.parameters() if value.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=1e-3)
    batch, history = windows(4, 6), []
    for _ in range(12):
        torch.manual_seed(3)
        losses, _ = network.losses(batch, 6, network.initial_state(4))
        loss = torch.stack(list(losses.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    changed = {
        name.split(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"vision": {"vision"}, "memory": {"dynamics"}}[learns]
    assert history[-1] < history[0]


def test_memory_goes_on_from_the_trained_vision(tmp_path):
    first = small()
    save_weights(tmp_path / "vision.safetensors", first, "vae_mdn_rnn", first.options, {})
    second = small(learns="memory")
    with torch.no_grad():
        second.vision.expand.weight.zero_()
    continue_from(tmp_path / "vision.safetensors", second)
    assert torch.equal(second.vision.expand.weight, first.vision.expand.weight)
    assert load_network(tmp_path / "vision.safetensors").options == first.options


def test_joint_table_has_it_after_its_vision():
    options = load_config(REPOSITORY / "config.yaml").simulator_experiments["simulators-laptop"]
    assert options.chain("vae-mdn-rnn") == ["vision", "vae-mdn-rnn"] and "vision" not in options.scored
    assert options.simulators["vision"].model.learns == "vision"
    assert options.simulators["vae-mdn-rnn"].model.learns == "memory"
