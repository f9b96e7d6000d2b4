"""Action-conditional video prediction: totals, the action's transform, what is seen in which order, and what is imagined."""

import numpy as np
import pytest
import torch
from moving_dot import ACTIONS, dot_windows
from moving_dot_acvp import small_acvp
from pydantic import ValidationError
from torch import nn

from worldmodels.config.acvp import ACVPOptions, CopyLastOptions
from worldmodels.config.acvp_presets import MODELS
from worldmodels.models.acvp.action import FactoredTransform, GatedFeatures, factor_similarity
from worldmodels.models.acvp.lstm import ClippedLSTM
from worldmodels.models.video.files import build_network
from worldmodels.simulators.video import VideoSimulator

CPU = torch.device("cpu")

# By hand, 18 actions. Encoder of one frame: 8*8*3*64 + 64 + 6*6*64*128 + 128 + 6*6*128*128 + 128 + 4*4*128*128 + 128 = 1,159,616
#   of four frames: + 8*8*9*64                                                                                         = 1,196,480
#   its full layer: 11264*2048 + 2048                                                                                  = 23,070,720
# LSTM: 4 * (2048*2048 + 2048*2048 + 2048)                                                                             = 33,562,624
# Transform: W^enc and W^dec 2 * (2048*2048 + 2048), W^a 18*2048 + 2048                                                = 8,431,616
# Decoder: 2048*11264 + 11264 + 4*4*128*128 + 128 + 2 * (6*6*128*128 + 128) + 8*8*128*3 + 3                            = 24,546,691
TOTALS = {
    "acvp-recurrent": (1_159_616 + 23_070_720 + 33_562_624 + 8_431_616 + 24_546_691, 90_771_267, 90.8),
    "acvp-feed-forward": (1_196_480 + 23_070_720 + 8_431_616 + 24_546_691, 57_245_507, 57.2),
    # one full layer 2048*2048 + 2048 for the transform
    "acvp-no-action": (1_196_480 + 23_070_720 + 4_196_352 + 24_546_691, 53_010_243, 53.0),
    # 100800*400 + 400, 400*2048 + 2048, (2048 + 18)*2048 + 2048, 2048*400 + 400, 400*100800 + 100800
    "acvp-perceptron": (40_320_400 + 821_248 + 4_233_216 + 819_600 + 40_420_800, 86_615_264, 86.6),
    # full layer 17920*2048 + 2048, gating 2048*2048 + 2048 + 18*2048 + 2048, decoder's first 2048*16640 + 16640
    "acvp-paper": (1_159_616 + 36_702_208 + 4_235_264 + 33_562_624 + 34_095_360 + 1_466_755, 111_221_827, 111.2),
    "acvp-compression": (111_221_827, 111_221_827, 111.2),
}


@pytest.mark.parametrize("name", TOTALS)
def test_totals_of_parameters_are_as_derived(name):
    by_hand, exact, millions = TOTALS[name]
    with torch.device("meta"):
        network = build_network(MODELS[name]())
    total = sum(parameter.numel() for parameter in network.parameters())
    assert total == exact == by_hand
    assert round(total / 1e6, 1) == millions


def planes(network):
    """Shapes of what convolutions and transposed convolutions make, in order."""
    shapes = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    return shapes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "acvp-recurrent",
            [(64, 102, 78), (128, 50, 38), (128, 24, 18), (128, 11, 8), (128, 24, 18), (128, 50, 38), (128, 102, 78)],
        ),
        (
            "acvp-paper",
            [(64, 105, 80), (128, 53, 40), (128, 27, 20), (128, 14, 10), (128, 26, 20), (128, 52, 40), (128, 105, 80)],
        ),
    ],
)
def test_layers_have_the_sources_sizes(name, expected):
    options = MODELS[name](encoder_units=8, hidden_size=8, factors=8)
    network = build_network(options)
    shapes = planes(network)
    with torch.no_grad():
        network(torch.zeros(1, 1, 3, 210, 160), torch.zeros(1, 1).long(), (True,), network.initial_state(1))
    assert shapes == [*expected, (3, 210, 160)]


def test_first_weights_are_drawn_as_the_released_networks_are():
    torch.manual_seed(1)
    network = build_network(small_acvp("acvp-recurrent", gate_gradient_clip=0.1))

    def largest(weight):
        return weight.abs().max().item()

    assert 0.9 < largest(network.transform.encoding.weight) <= 1
    assert 0.08 < largest(network.transform.acting.weight) <= 0.1
    assert 0.07 < largest(network.lstm.recurrent.weight) <= 0.08 and largest(network.lstm.inputs.weight) <= 0.08
    convolution = network.encoder.layers[0].weight  # 1 input plane, 4x4: sqrt(3 / 16)
    assert 0.9 * (3 / 16) ** 0.5 < largest(convolution) <= (3 / 16) ** 0.5
    assert not any(value.any() for name, value in network.named_parameters() if name.endswith("bias"))
    forgetful = build_network(small_acvp("acvp-paper")).lstm.inputs.bias
    assert forgetful.view(4, -1).sum(dim=1).tolist() == [0, 32, 0, 0]  # gates: input, forget, output, candidate


def test_action_transform_is_the_formula():
    """W^dec((W^enc h) * (W^a a)) + b, in numpy."""
    torch.manual_seed(1)
    layer = FactoredTransform(5, ACTIONS, 7)
    hidden, action = torch.randn(2, 5), torch.eye(ACTIONS)[[0, 2]]
    numbers = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    encoded = np.einsum("fh,bh->bf", numbers["encoding.weight"], hidden.numpy()) + numbers["encoding.bias"]
    acted = np.stack([numbers["acting.weight"][:, index] for index in (0, 2)]) + numbers["acting.bias"]
    expected = np.einsum("hf,bf->bh", numbers["decoding.weight"], encoded * acted) + numbers["decoding.bias"]
    np.testing.assert_allclose(layer(hidden, action).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_actions_with_the_same_factors_are_alike_and_opposite_ones_unlike():
    layer = FactoredTransform(5, ACTIONS, 2)
    with torch.no_grad():
        layer.acting.weight.copy_(torch.tensor([[1.0, 2.0, -1.0], [1.0, 2.0, -1.0]]))
        layer.acting.bias.zero_()
    expected = torch.tensor([[1.0, 1, -1], [1, 1, -1], [-1, -1, 1]])
    torch.testing.assert_close(factor_similarity(layer), expected)


def test_likeness_of_actions_is_of_what_the_memory_is_multiplied_with():
    """Biases and the activation count: (2, 0), (1, 1) and (0, 0) after a bias of 1 are (3, 1), (2, 2) and (1, 1)."""
    for layer in (FactoredTransform(5, ACTIONS, 2), GatedFeatures(5, ACTIONS, 2, "leaky-relu")):
        with torch.no_grad():
            layer.acting.weight.copy_(torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))
            layer.acting.bias.fill_(1.0)
        cosines = factor_similarity(layer)
        assert float(cosines[1, 2]) == pytest.approx(1) and float(cosines[0, 1]) == pytest.approx(8 / (80**0.5))
    with torch.no_grad():
        layer.acting.bias.fill_(-1.0)  # (1, -1) becomes (1, -0.1), and (-1, -1) is (-0.1, -0.1)
    assert float(factor_similarity(layer)[0, 2]) == pytest.approx(-0.09 / (1.01 * 0.02) ** 0.5)


def test_gating_before_the_lstm_is_the_formula():
    torch.manual_seed(1)
    layer = GatedFeatures(5, ACTIONS, 7, "leaky-relu")
    features, action = torch.randn(2, 5), torch.eye(ACTIONS)[[0, 2]]
    numbers = {name: value.detach().numpy() for name, value in layer.named_parameters()}

    def leaky(values):
        return np.where(values > 0, values, 0.1 * values)

    one = leaky(features.numpy() @ numbers["encoding.weight"].T + numbers["encoding.bias"])
    other = leaky(action.numpy() @ numbers["acting.weight"].T + numbers["acting.bias"])
    np.testing.assert_allclose(layer(features, action).detach().numpy(), one * other, rtol=1e-4, atol=1e-5)


def test_lstm_is_torchs():
    torch.manual_seed(1)
    ours, theirs = ClippedLSTM(4, 5, None), nn.LSTMCell(4, 5)
    order = torch.tensor([0, 1, 3, 2])  # torch: input, forget, candidate, output

    def reordered(values):
        return values.view(4, 5, -1)[order].reshape(values.shape)

    with torch.no_grad():
        theirs.weight_ih.copy_(reordered(ours.inputs.weight))
        theirs.weight_hh.copy_(reordered(ours.recurrent.weight))
        theirs.bias_ih.copy_(reordered(ours.inputs.bias))
        theirs.bias_hh.zero_()
    inputs, hidden, cell = torch.randn(2, 4), torch.randn(2, 5), torch.randn(2, 5)
    torch.testing.assert_close(ours(ours.inputs(inputs), hidden, cell), theirs(inputs, (hidden, cell)))


@pytest.mark.parametrize(("clip", "largest"), [(0.1, 0.1), (None, 1.0)])
def test_gradients_of_gates_are_cut_before_they_reach_weights_and_earlier_steps(clip, largest):
    """Large errors: the bias of a gate gets the sum over two rows of gradients of at most `clip` each."""
    torch.manual_seed(1)
    lstm = ClippedLSTM(4, 5, clip)
    hidden, cell = lstm(lstm.inputs(torch.randn(2, 4)), torch.zeros(2, 5), torch.ones(2, 5))
    (1000 * (hidden + cell)).sum().backward()
    gradient = lstm.inputs.bias.grad.abs().max().item()
    assert gradient == pytest.approx(2 * clip) if clip else gradient > 2 * largest


def predictions_for(network, windows, flags):
    with torch.no_grad():
        observations = network.observations(windows.frames[:, :-1])
        return network(observations, windows.actions, flags, network.initial_state(len(windows.actions)))[0].pixels


def changed_steps(before, after):
    return (before != after).flatten(2).any(dim=2)[0].tolist()


SEES_ACTIONS = [name for name in MODELS if name != "acvp-no-action"]


@pytest.mark.parametrize("name", SEES_ACTIONS)
def test_frame_is_predicted_from_the_action_that_led_to_it_and_not_from_the_next(name):
    """The re-implementation played with the action one place off from training."""
    torch.manual_seed(1)
    network = build_network(small_acvp(name)).eval()
    windows = dot_windows(1, 6, "alignment")
    flags = (True, True, True, True, False, False)
    before = predictions_for(network, windows, flags)
    actions = windows.actions.clone()
    actions[:, 3] = (actions[:, 3] + 1) % ACTIONS
    after = predictions_for(network, windows._replace(actions=actions), flags)
    assert changed_steps(before, after) == [False, False, False, True, True, True]  # the prediction at 3 is of frame 4


def test_baseline_without_actions_sees_none():
    torch.manual_seed(1)
    network = build_network(small_acvp("acvp-no-action")).eval()
    windows = dot_windows(1, 5, "alignment")
    flags = (True, True, True, True, False)
    other = windows._replace(actions=(windows.actions + 1) % ACTIONS)
    assert torch.equal(predictions_for(network, windows, flags), predictions_for(network, other, flags))


def test_observed_steps_of_a_recurrent_network_look_at_their_own_frame_and_predicted_ones_at_none():
    torch.manual_seed(1)
    network = build_network(small_acvp("acvp-recurrent")).eval()
    windows = dot_windows(1, 6, "alignment")
    flags = (True, True, True, False, False, False)
    before = predictions_for(network, windows, flags)
    for seen, expected in ((2, [False, False, True, True, True, True]), (4, [False] * 6)):
        frames = windows.frames.clone()
        frames[:, seen] = 255 - frames[:, seen]
        assert changed_steps(before, predictions_for(network, windows._replace(frames=frames), flags)) == expected


def test_feed_forward_network_sees_its_last_four_frames_oldest_first():
    torch.manual_seed(1)
    network = build_network(small_acvp("acvp-feed-forward")).eval()
    windows = dot_windows(1, 6, "stack")
    observations = network.observations(windows.frames)
    stacks = []
    network.encoder.register_forward_hook(lambda _, inputs, __: stacks.append(inputs[0]))
    with torch.no_grad():
        memory = network.observe(observations[:, :5], windows.actions[:, :5], network.initial_state(1))
        assert not stacks  # frames alone are remembered
        drawn = network.draw(memory)
        network.draw(network.imagine(memory, windows.actions[:, 5]))
    assert torch.equal(stacks[0], observations[:, 1:5].flatten(1, 2))
    torch.testing.assert_close(stacks[-1], torch.cat([observations[:, 2:5].flatten(1, 2), drawn], dim=1))


def test_feed_forward_network_forgets_the_fifth_last_frame():
    torch.manual_seed(1)
    network = build_network(small_acvp("acvp-feed-forward")).eval()
    windows = dot_windows(1, 7, "stack")
    before = predictions_for(network, windows, (True,) * 7)
    frames = windows.frames.clone()
    frames[:, 1] = 255 - frames[:, 1]
    after = predictions_for(network, windows._replace(frames=frames), (True,) * 7)
    assert changed_steps(before, after) == [False, True, True, True, True, False, False]


@pytest.mark.parametrize("name", MODELS)
def test_imagination_is_what_the_network_unrolls_in_training(name):
    torch.manual_seed(1)
    ours = VideoSimulator(build_network(small_acvp(name)))
    windows = dot_windows(3, 8, "dream")
    state = ours.observe(windows.frames[:, :5], windows.actions[:, :4])
    drawn = []
    for step in range(4, 8):
        state = ours.advance(state, windows.actions[:, step])
        drawn.append(ours.predict(state))
    expected = predictions_for(ours.network, windows, (*[True] * 5, False, False, False))
    torch.testing.assert_close(torch.stack(drawn, dim=1), expected[:, 4:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_rows_can_begin_anew_while_others_go_on(name):
    torch.manual_seed(1)
    ours = VideoSimulator(build_network(small_acvp(name)))
    windows = dot_windows(2, 4, "rows")
    old = ours.advance(ours.observe(windows.frames[:, :3], windows.actions[:, :2]), windows.actions[:, 2])
    fresh = ours.observe(windows.frames, windows.actions)
    mixed = old.merge(torch.tensor([False, True]), fresh)
    together = ours.predict(ours.advance(mixed, torch.tensor([0, 2])))
    pairs = ((0, old, 0), (1, fresh, 2))
    apart = [
        ours.predict(ours.advance(one.select(torch.tensor([row])), torch.tensor([act]))) for row, one, act in pairs
    ]
    torch.testing.assert_close(together, torch.cat(apart), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "calls"), [("acvp-compression", 0), ("acvp-paper", 5)])
def test_compression_never_encodes_or_draws_after_the_last_real_frame(name, calls):
    torch.manual_seed(1)
    ours = VideoSimulator(build_network(small_acvp(name)))
    windows = dot_windows(2, 9, "compression")
    state = ours.observe(windows.frames[:, :4], windows.actions[:, :3])
    state = ours.advance(state, windows.actions[:, 3])  # takes in the last real frame
    encoded, drawn = [], []
    ours.network.encoder.register_forward_hook(lambda *_: encoded.append(1))
    ours.network.decoder.register_forward_hook(lambda *_: drawn.append(1))
    for step in range(4, 9):
        state = ours.advance(state, windows.actions[:, step])
    assert len(encoded) == len(drawn) == calls
    ours.render(state)
    assert len(encoded) == calls


def test_copy_last_shows_the_last_real_frame_for_ever():
    ours = VideoSimulator(build_network(CopyLastOptions(height=8, width=8, channels=1, actions=ACTIONS)))
    windows = dot_windows(2, 6, "copy")
    state = ours.observe(windows.frames[:, :4], windows.actions[:, :3])
    for step in range(3, 6):
        state = ours.advance(state, windows.actions[:, step])
        assert torch.equal(ours.render(state), windows.frames[:, 3])


def test_impossible_networks_are_refused():
    with pytest.raises(ValidationError, match="needs memory: lstm and action: before"):
        ACVPOptions(feedback="hidden")
    with pytest.raises(ValidationError, match="puts 64 numbers in the place of 2048"):
        ACVPOptions(feedback="hidden", action="before", hidden_size=64)
    with pytest.raises(ValidationError, match="stands before an LSTM"):
        ACVPOptions(memory="frames", action="before")
    with pytest.raises(ValidationError, match="one fewer"):
        ACVPOptions(drawing_channels=[8])
    with pytest.raises(ValidationError, match="no heads"):
        CopyLastOptions(predict_reward=True)
