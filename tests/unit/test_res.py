"""Recurrent environment simulators: their sizes, their arithmetic, their time axis, and where gradients go."""

import pytest
import torch
from moving_dot import ACTIONS, SIZE, dot_source, dot_windows, small_options
from pydantic import ValidationError
from torch import nn

from worldmodels.config.simulators import MULTIPLIES_Z, RESOptions, SimulatorTraining
from worldmodels.config.video import convolution
from worldmodels.data.subsequences import piece_of, subsequence
from worldmodels.errors import UserError
from worldmodels.models.res.network import RES
from worldmodels.models.res.transition import WIRINGS, ActionTransition, LSTMState
from worldmodels.models.video.activations import RandomisedReLU
from worldmodels.models.video.coders import (
    frames_from_observations,
    mirrored,
    observations_from_frames,
    squared_error,
)
from worldmodels.models.video.losses import simulator_losses, warmed_up
from worldmodels.models.video.network import SMALLEST_SHARE
from worldmodels.runtime.stop import Interrupted
from worldmodels.stages.train_simulator import SubsequenceObjective, fit_simulator, optimiser_of

CPU = torch.device("cpu")

# By hand. Encoder: 8*8*3*64 + 64 + 6*6*64*32 + 32 + 6*6*32*32 + 32 + 4*4*32*32 + 32                    =    139,424
# Decoder: 1024*2816 + 2816 + 16,416 + 36,896 + (6*6*32*64 + 64) + (8*8*64*3 + 3)                       =  3,025,795
# Fusion: (1024 + 18) * 2048 + 2 * 2048                                                                 =  2,138,112
# Gates of the baseline: 4 * ((2048 + 2816) * 1024 + 1024)                                              = 19,927,040
TOTALS = {
    "baseline": ({}, 25_230_371, 25.23),
    # v and h of 2816: fusion 7,986,176, gates 4 * (5632 * 2816 + 2816), decoder's first layer 2816 * 2816 + 2816
    "Base2816": ({"hidden_size": 2816, "fusion_size": 2816}, 79_647_779, 79.65),
    # a fifth gate: + 4864 * 1024 + 1024
    "gate for z": ({"structure": "gate-for-z"}, 30_212_131, 30.21),
    # three gates without z: - 3 * 2816 * 1024
    "no z in gates": ({"structure": "no-z-in-gates"}, 16_579_619, 16.58),
    # that, and h in the gates and the candidate: + 4 * 1024 * 1024
    "h in gates": ({"structure": "h-in-gates"}, 20_773_923, 20.77),
    # that, and a gate for z that sees v and h: + 3072 * 1024 + 1024
    "h in gates, gate for z": ({"structure": "h-in-gates-gate-for-z"}, 23_920_675, 23.92),
    # factors (1024 + 2816 + 18) * 2048 without biases, gates 4 * (2048 * 1024 + 1024)
    "three factors": ({"structure": "three-factors"}, 19_459_107, 19.46),
    # factors (1024 + 18 + 2816 + 18) * 2048 without biases, gates 4 * (4096 * 1024 + 1024)
    "two products": ({"structure": "two-products"}, 27_884_579, 27.88),
    # gates 4 * ((1024 + 2816 + 18) * 1024 + 1024); as planes, the 18 actions cost 18 * 64 * 64 in the first layer: as many
    "action as input": ({"structure": "action-as-input"}, 18_971_683, 18.97),
    "action planes": ({"structure": "action-planes"}, 18_971_683, 18.97),
    # the baseline, and for imagined steps fusion again and gates 4 * ((2048 + 1024) * 1024 + 1024)
    "prediction-independent": ({"feedback": "hidden", "separate_weights": True}, 39_955_491, 39.96),
}


@pytest.mark.parametrize("name", TOTALS)
def test_totals_of_parameters_are_the_papers(name):
    changes, exact, millions = TOTALS[name]
    with torch.device("meta"):
        network = RES(RESOptions(**changes))
    total = sum(parameter.numel() for parameter in network.parameters())
    assert total == exact
    assert round(total / 1e6, 2) == millions


def test_layers_of_the_baseline_have_the_papers_sizes():
    """Appendix B.1: 102x78, 50x38, 24x18, 11x8, and back to 210x160."""
    network = RES(RESOptions()).eval()
    shapes = []
    for layer in [*network.encoder.layers, *network.decoder.layers]:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        features = network.encoder(torch.zeros(1, 3, 210, 160), torch.zeros(1, 18))
        network.decoder(torch.zeros(1, 1024))
    down = [(64, 102, 78), (32, 50, 38), (32, 24, 18), (32, 11, 8)]
    assert features.shape == (1, 2816)
    assert shapes == [*down, *reversed(down[:-1]), (3, 210, 160)]


WITHOUT_RENDERING = [name for name in WIRINGS if name != "action-planes" and name not in MULTIPLIES_Z]
POSSIBLE = [("frame", name) for name in WIRINGS]
POSSIBLE += [(feedback, name) for feedback in ("hidden", "zero") for name in WITHOUT_RENDERING]


@pytest.mark.parametrize(("feedback", "structure"), POSSIBLE)
def test_every_structure_unrolls_and_teaches_all_its_weights(feedback, structure):
    network = RES(small_options(structure=structure, feedback=feedback, separate_weights=feedback != "frame"))
    windows = dot_windows(2, 7, "structure")
    training = SimulatorTraining(model=network.options, warm_up=3, warm_up_gradient=2, subsequence=4)
    state = warmed_up(network, windows, 3, 2)
    rest = type(windows)(windows.frames[:, 3:], *(part[:, 3:] for part in windows[1:]))
    losses, _ = simulator_losses(network, rest, (True, True, False, False), state, training)
    losses["frames"].backward()
    untaught = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert not untaught


def test_impossible_structures_are_refused():
    with pytest.raises(ValidationError, match="set separate_weights: true, or hidden_size: 2816"):
        RESOptions(feedback="hidden")
    with pytest.raises(ValidationError, match="needs feedback: frame"):
        RESOptions(feedback="zero", structure="action-planes")
    with pytest.raises(ValidationError, match="multiplies by z"):
        RESOptions(feedback="zero", structure="three-factors")
    with pytest.raises(ValidationError, match="84x84 frames are too small"):
        RESOptions(height=84, width=84, convolutions=[convolution(8, 8)] * 5)
    with pytest.raises(ValidationError, match="only 10 steps"):
        SimulatorTraining(warm_up_gradient=11)
    with pytest.raises(ValidationError, match="subsequences: 1"):
        SimulatorTraining(scheme="Oh", subsequences=2)


def test_transition_is_the_equations_of_the_paper():
    """Section 3, written out: h enters through the product with the action alone."""
    torch.manual_seed(1)
    options = small_options(hidden_size=5, fusion_size=7)
    transition = ActionTransition(options, 4)
    z, a = torch.randn(2, 4), nn.functional.one_hot(torch.tensor([0, 2]), ACTIONS).float()
    state = LSTMState(torch.randn(2, 5), torch.randn(2, 5))
    ours = transition(transition.prepare(z, a), state)

    factor_h, factor_a = transition.factors["v_h"], transition.factors["v_a"]
    v = factor_h(state.hidden) * factor_a(a)
    wv, wz, b = transition.inputs["v"].weight, transition.inputs["z"].weight, transition.bias
    i, f, o, g = (v @ wv.T + z @ wz.T + b).chunk(4, dim=1)
    cell = f.sigmoid() * state.cell + i.sigmoid() * g.tanh()
    torch.testing.assert_close(ours.cell, cell)
    torch.testing.assert_close(ours.hidden, o.sigmoid() * cell.tanh())


def test_gate_for_z_has_a_tanh_of_its_own():
    torch.manual_seed(1)
    transition = ActionTransition(small_options(hidden_size=5, fusion_size=7, structure="gate-for-z"), 4)
    z, a = torch.randn(2, 4), nn.functional.one_hot(torch.tensor([0, 2]), ACTIONS).float()
    state = LSTMState(torch.randn(2, 5), torch.randn(2, 5))
    ours = transition(transition.prepare(z, a), state)
    v = transition.factors["v_h"](state.hidden) * transition.factors["v_a"](a)
    from_v = (v @ transition.inputs["v"].weight.T + transition.bias).split(5, dim=1)
    from_z = (z @ transition.inputs["z"].weight.T).split(5, dim=1)
    i, f, o, k = ((one + two).sigmoid() for one, two in zip(from_v[:4], from_z[:4], strict=True))
    cell = f * state.cell + i * from_v[4].tanh() + k * from_z[4].tanh()
    torch.testing.assert_close(ours.hidden, o * cell.tanh())


def test_decoders_frames_are_those_of_a_plain_transposed_convolution():
    torch.manual_seed(1)
    layer = convolution(6, 8, 0, 1)
    ours = mirrored(layer, (6, 3), (210, 160), (102, 78))
    inputs = torch.randn(2, 6, 102, 78)
    plain = nn.functional.conv_transpose2d(inputs, ours.weight, ours.bias, stride=2, padding=(0, 1))
    assert type(ours) is not nn.ConvTranspose2d  # the fast form is the one that is tested
    torch.testing.assert_close(ours(inputs), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(84, 84), (96, 96), (105, 80), (65, 74)])
def test_decoder_undoes_the_encoders_sizes_whatever_they_are(size):
    options = RESOptions(height=size[0], width=size[1], hidden_size=8, fusion_size=8)
    network = RES(options)
    assert network.decoder(torch.zeros(1, 8)).shape == (1, 3, *size)


def test_random_slopes_of_frames_with_gaps_in_memory():
    """Some convolutions leave room between their rows; 24x24 frames came to such a layout."""
    torch.manual_seed(1)
    padded = torch.randn(2, 4, 12, 14).contiguous(memory_format=torch.channels_last)
    inputs = padded[..., :12]
    outputs = RandomisedReLU()(inputs)
    slopes = (outputs / inputs)[inputs < 0]
    assert torch.equal(outputs[inputs > 0], inputs[inputs > 0])
    assert slopes.min() > 1 / 8 and slopes.max() < 1 / 3 and slopes.unique().numel() > 100


def test_random_slopes_lie_in_their_range_and_have_the_right_gradient():
    torch.manual_seed(1)
    inputs = torch.randn(4, 3, 50, 50).to(memory_format=torch.channels_last).requires_grad_()
    layer = RandomisedReLU()
    outputs = layer(inputs)
    outputs.sum().backward()
    slope = (outputs / inputs).detach()
    negative = inputs < 0
    assert (slope[~negative] == 1).all() and slope[negative].min() >= 1 / 8 and slope[negative].max() <= 1 / 3
    assert (
        abs(slope[negative].mean() - 11 / 48) < 0.002 and abs(slope[negative].std() - (1 / 3 - 1 / 8) / 12**0.5) < 0.002
    )
    torch.testing.assert_close(inputs.grad, slope, rtol=1e-5, atol=1e-6)
    layer.eval()
    torch.testing.assert_close(layer(inputs)[negative], inputs[negative] * 11 / 48)


def test_preprocessing_and_its_reverse():
    """Appendix A: less the mean of each channel, then divided by 255."""
    mean = torch.tensor([10.0, 20.0, 30.0])
    frames = torch.arange(24, dtype=torch.uint8).view(1, 2, 4, 3) * 10
    observations = observations_from_frames(frames, mean)
    assert observations[0, 2, 1, 3].item() == pytest.approx((frames[0, 1, 3, 2].item() - 30) / 255)
    assert torch.equal(frames_from_observations(observations, mean), frames)


def test_mean_is_of_each_channel_or_of_each_pixel():
    """A picture that never changes is 0 everywhere once its own mean is taken off, and not once its channels' is."""
    picture = torch.randint(0, 256, (1, SIZE, SIZE, 1), dtype=torch.uint8).repeat(3, 1, 1, 1)
    for subtract, nothing_left in (("channel-mean", False), ("pixel-mean", True)):
        network = RES(small_options(subtract=subtract))
        network.set_mean(picture)
        observations = network.observations(picture)
        assert abs(observations.mean()) < 1e-6 and (not observations.any()) == nothing_left
        assert torch.equal(network.frames(observations), picture)


def test_loss_is_summed_over_pixels_and_averaged_over_frames():
    assert squared_error(torch.zeros(6, 3, 4, 5), torch.full((6, 3, 4, 5), 2.0)).item() == 4 * 3 * 4 * 5


def predictions_for(network, windows, flags):
    with torch.no_grad():
        observations = network.observations(windows.frames[:, :-1])
        return network(observations, windows.actions, flags, network.initial_state(len(windows.actions)))[0].pixels


@pytest.mark.parametrize("feedback", ["frame", "hidden"])
def test_frame_is_predicted_from_the_action_that_led_to_it_and_not_from_the_next(feedback):
    torch.manual_seed(1)
    network = RES(small_options(feedback=feedback, separate_weights=feedback == "hidden")).eval()
    windows = dot_windows(1, 6, "alignment")
    flags = (True, True, True, True, False, False)
    before = predictions_for(network, windows, flags)
    actions = windows.actions.clone()
    actions[:, 3] = (actions[:, 3] + 1) % ACTIONS
    after = predictions_for(network, windows._replace(actions=actions), flags)
    changed = (before != after).flatten(2).any(dim=2)[0].tolist()
    assert changed == [False, False, False, True, True, True]  # the prediction at 3 is of frame 4


def test_observed_steps_look_at_their_own_frame_and_predicted_ones_at_none():
    torch.manual_seed(1)
    network = RES(small_options()).eval()
    windows = dot_windows(1, 6, "alignment")
    before = predictions_for(network, windows, (True, True, True, False, False, False))
    for seen, expected in ((2, [False, False, True, True, True, True]), (4, [False] * 6)):
        frames = windows.frames.clone()
        frames[:, seen] = 255 - frames[:, seen]
        after = predictions_for(network, windows._replace(frames=frames), (True, True, True, False, False, False))
        assert (before != after).flatten(2).any(dim=2)[0].tolist() == expected


def test_later_frame_depends_on_the_decoder_when_frames_are_fed_back_and_not_when_hidden_states_are():
    """What makes one simulator prediction-dependent and the other fast."""
    for feedback, depends in (("frame", True), ("hidden", False), ("zero", False)):
        torch.manual_seed(1)
        network = RES(small_options(feedback=feedback, separate_weights=feedback != "frame")).eval()
        state = network.initial_state(1)
        observations, actions = torch.randn(1, 4, 1, SIZE, SIZE), torch.zeros(1, 4, dtype=torch.long)
        predictions, last = network(observations, actions, (True, False, False, False), state)
        gradient = torch.autograd.grad(last.hidden.sum(), network.decoder.parameters(), allow_unused=True)
        assert any(part is not None for part in gradient) == depends
        assert predictions.pixels.shape == (1, 4, 1, SIZE, SIZE)


def test_gradient_flows_through_predicted_frames():
    """Exact maximum likelihood: the error of frame 3 reaches the decoder through the frames 1 and 2 that were fed back."""
    torch.manual_seed(1)
    network = RES(small_options()).eval()
    windows = dot_windows(1, 3, "gradient")
    drawn = []

    def keep(_module, _inputs, output):
        output.retain_grad()
        drawn.append(output)

    network.decoder.register_forward_hook(keep)
    observations = network.observations(windows.frames)
    predictions, _ = network(observations[:, :-1], windows.actions, (True, False, False), network.initial_state(1))
    squared_error(predictions.pixels[:, 2], observations[:, 3]).backward()
    assert len(drawn) == 3 and all(one.grad is not None and one.grad.any() for one in drawn)


def _reached(observations):
    """Whether a gradient came to each step of observations (B, T, ...)."""
    steps = range(observations.shape[1])
    return [observations.grad is not None and bool(observations.grad[:, step].any()) for step in steps]


@pytest.mark.parametrize(("gradient_steps", "first_reached"), [(0, 10), (6, 4)])
def test_gradient_reaches_the_warm_up_as_far_as_it_should_and_no_further(gradient_steps, first_reached):
    """Prediction-independent simulators: back to step 5, which is index 4; the others: not at all."""
    torch.manual_seed(1)
    network = RES(small_options(feedback="hidden", separate_weights=True))
    windows = dot_windows(2, 15, "warm-up")
    seen = {}
    original = network.observations

    def watched(frames):
        observations = original(frames).detach().requires_grad_()
        seen[len(seen)] = observations
        return observations

    network.observations = watched
    training = SimulatorTraining(model=network.options, warm_up=10, warm_up_gradient=gradient_steps, subsequence=5)
    state = warmed_up(network, windows, 10, gradient_steps)
    rest = type(windows)(windows.frames[:, 10:], *(part[:, 10:] for part in windows[1:]))
    losses, _ = simulator_losses(network, rest, (False,) * 5, state, training)
    losses["frames"].backward()
    watched_warm_up = [frame for number in (0, 1) if number in seen for frame in _reached(seen[number])][:10]
    assert watched_warm_up == [step >= first_reached for step in range(10)]


def training_options(model=None, **changes):
    small = {"updates": 20, "batch_size": 8, "warm_up": 3, "subsequence": 4, "scheme": "46%PDT", "precision": "fp32"}
    return SimulatorTraining(model=model or small_options(), **{**small, "learning_rate": 1e-3, **changes})


def trained(training, state, source=None):
    source = source or dot_source(training.batch_size, training.window_steps, "train")
    background = torch.full((1, SIZE, SIZE, 1), 20, dtype=torch.uint8)
    return fit_simulator(training, source, background, ("test", 1), state, CPU)


def copy_last(windows):
    observations = observations_from_frames(windows.frames, torch.zeros(1))
    return squared_error(observations[:, :-1].flatten(0, 1), observations[:, 1:].flatten(0, 1)).item()


def test_short_training_beats_the_copy_of_the_last_frame_and_the_best_constant(state):
    training = training_options(updates=150, batch_size=16, optimiser="adam", learning_rate=4e-3, scheme="0%PDT")
    network, _ = trained(training, state)
    windows = dot_windows(64, 7, "test")
    observations = network.observations(windows.frames)
    error = squared_error(
        predictions_for(network.eval(), windows, (True,) * 7)[:, 3:].flatten(0, 1), observations[:, 4:].flatten(0, 1)
    )
    constant = observations.var(dim=(0, 1), correction=0).sum()
    assert error < 0.5 * copy_last(windows) and error < 0.5 * constant


@pytest.mark.parametrize("subsequences", [1, 2])
@pytest.mark.parametrize("stop_at", [4, 7])
def test_stopped_and_resumed_equals_undisturbed_to_the_bit(state, subsequences, stop_at):
    """Weights, the optimiser's moments, slopes, the carried state and the place in the window must all come back."""
    training = training_options(updates=10, subsequences=subsequences)
    undisturbed, history = trained(training, state)
    (state.path / "checkpoint.safetensors").unlink(missing_ok=True)

    def stopping(first):
        for number, windows in enumerate(dot_source(8, training.window_steps, "train")(first), first):
            if number == stop_at // subsequences:
                state.stop.reason = "test"
            yield windows

    with pytest.raises(Interrupted):
        trained(training, state, stopping)
    state.stop.reason = None
    resumed, resumed_history = trained(training, state)
    assert all(
        torch.equal(one, other) for one, other in zip(resumed.parameters(), undisturbed.parameters(), strict=True)
    )
    assert resumed_history == history


def test_second_update_of_a_window_goes_on_from_the_first_and_does_not_warm_up():
    """BPTT(4, 2): its loss is that of the window's second half, from the state that the first left, without gradient."""
    training = training_options(subsequences=2, warm_up=2)
    torch.manual_seed(1)
    network = RES(training.model).eval()
    objective = SubsequenceObjective(network, training, CPU, ("test",))
    windows = dot_windows(8, training.window_steps, "carry")
    first, second = (subsequence(windows, index, 2, 4) for index in (0, 1))
    _, _, carry = objective(0, first, None)
    assert not any(part.requires_grad for part in carry)
    loss, _, _ = objective(1, second, carry)
    flags = (True, True, False, False)
    expected, _ = simulator_losses(network, piece_of(windows, 6, 10), flags, LSTMState(*carry), training)
    torch.testing.assert_close(loss, expected["frames"])
    other, _, _ = objective(1, second, tuple(part + 1 for part in carry))
    assert not torch.equal(other, loss)


def test_half_precision_trains_too(state):
    _, history = trained(training_options(precision="bf16", updates=40, optimiser="adam", learning_rate=3e-3), state)
    assert history[-1]["frames"] < 0.97 * history[0]["frames"]


def test_loss_that_is_no_number_ends_training_and_spares_the_checkpoint(state):
    training = training_options(updates=400)

    def broken(first):
        for number, windows in enumerate(dot_source(8, training.window_steps, "train")(first), first):
            if number == 2:
                state._last_save = -1e9  # a checkpoint falls due just now
                yield windows._replace(rewards=windows.rewards * 1e30)
            else:
                yield windows

    rewarding = training_options(small_options(predict_reward=True), updates=401)
    with pytest.raises(UserError, match="training diverged"):
        trained(rewarding, state, broken)
    found = state.load()
    assert found is None or all(value.isfinite().all() for value in found[0].values())


@pytest.mark.slow
def test_reward_and_end_are_those_of_the_action(state):
    """Going right is worth 1 in the toy: the head must learn it from the action at the same place."""
    training = training_options(
        small_options(predict_reward=True, predict_done=True), updates=80, optimiser="adam", learning_rate=3e-3
    )
    _, history = trained(training, state)
    assert history[-1]["reward"] < 0.05 < history[0]["reward"]  # the variance of the reward is 0.22
    assert history[-1]["done"] < 0.1


def test_two_class_pixels_are_probabilities_that_are_fed_back(state):
    options = small_options(pixels="two-class")
    network = RES(options)
    frames = torch.tensor([89, 90], dtype=torch.uint8).view(1, 1, 2, 1)
    assert network.observations(frames).flatten().tolist() == [0, 1]
    assert network.frames(network.observations(frames)).flatten().tolist() == [0, 255]
    drawn = network.draw(LSTMState(torch.randn(2, 48), torch.randn(2, 48)))
    assert 0 < drawn.min() < drawn.max() < 1
    _, history = trained(training_options(options, updates=40, optimiser="adam", learning_rate=3e-3), state)
    assert history[-1]["frames"] < 0.6 * history[0]["frames"]


def test_two_classes_less_their_mean_begin_at_each_pixels_share():
    """A network that has learned nothing says how often each pixel is of the upper class, and its encoder sees what differs."""
    options = small_options(pixels="two-class", subtract="pixel-mean")
    network = RES(options)
    shares = torch.linspace(0, 1, options.height * options.width).view(options.height, options.width, 1)
    frames = 255 * (torch.arange(100).view(100, 1, 1, 1) < 100 * shares)
    network.set_mean(frames.to(torch.uint8))
    assert torch.allclose(network.mean / 255, shares, atol=0.01)
    for weights in network.decoder.parameters():
        nn.init.zeros_(weights)
    drawn = network.draw(LSTMState(torch.randn(2, 48), torch.randn(2, 48)))
    wanted = (network.mean / 255).movedim(-1, 0).clamp(SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    assert torch.allclose(drawn, wanted.expand_as(drawn), atol=1e-5)
    assert network.centred(drawn).abs().max() <= SMALLEST_SHARE + 1e-5


@pytest.mark.parametrize("square_decay", [0.999, 0.95])
def test_adam_takes_no_long_steps_once_it_has_forgotten_small_gradients(square_decay):
    """A scheme that begins to feed predictions back makes gradients larger at once. Adam's step is m / sqrt(v): with a v that
    remembers a thousand small gradients it is many step sizes long."""
    weight = nn.Parameter(torch.zeros(1))
    make = optimiser_of(SimulatorTraining(optimiser="adam", adam_square_decay=square_decay))
    optimiser = make([weight])
    optimiser.param_groups[0]["lr"] = 1.0
    for gradient in [0.01] * 300 + [1.0] * 10:
        before = weight.item()
        weight.grad = torch.full((1,), gradient)
        optimiser.step()
    assert (abs(weight.item() - before) > 3) == (square_decay == 0.999)
