"""Simulators of video behind the Simulator protocol: what it takes in and when, and that it imagines as it was trained."""

import gymnasium
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from moving_dot import ACTIONS, dot_frames, dot_windows, small_options

from worldmodels.config.models import ControllerOptions
from worldmodels.errors import UserError
from worldmodels.models.res.network import RES
from worldmodels.runtime.weights import save_weights
from worldmodels.simulators.environments import DreamEnv, DreamVectorEnv
from worldmodels.simulators.load import load_simulator
from worldmodels.simulators.noise import RowStreams
from worldmodels.simulators.video import VideoSimulator

CPU = torch.device("cpu")
FORMS = {
    "frame": {},
    "hidden": {"feedback": "hidden", "separate_weights": True},
    "zero": {"feedback": "zero"},
    "frame-apart": {"separate_weights": True},
}


def simulator(form="frame", **changes):
    torch.manual_seed(1)
    return VideoSimulator(RES(small_options(**FORMS[form], **changes)))


def noise(batch):
    return RowStreams([("test", row) for row in range(batch)], 1)


@pytest.mark.parametrize("form", FORMS)
def test_imagination_is_what_the_network_unrolls_in_training(form):
    """The last real frame and what came before are seen; then each step feeds back what training fed back."""
    ours = simulator(form)
    windows = dot_windows(3, 8, "dream")
    state = ours.observe(windows.frames[:, :5], windows.actions[:, :4])
    drawn = []
    for step in range(4, 8):
        state = ours.step(state, windows.actions[:, step], 1.0, noise(3))
        drawn.append(ours.predict(state))
    network = ours.network
    flags = (*[True] * 5, False, False, False)
    with torch.no_grad():
        observations = network.observations(windows.frames[:, :-1])
        expected = network(observations, windows.actions, flags, network.initial_state(3))[0].pixels
    torch.testing.assert_close(torch.stack(drawn, dim=1), expected[:, 4:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("form", "calls"), [("frame", 6), ("hidden", 0), ("zero", 0)])
def test_only_fed_back_frames_are_drawn_without_being_asked_for(form, calls):
    ours = simulator(form)
    drawn = []
    ours.network.decoder.register_forward_hook(lambda *_: drawn.append(1))
    windows = dot_windows(2, 6, "dream")
    state = ours.observe(windows.frames[:, :1], windows.actions[:, :0])
    for step in range(6):
        state = ours.step(state, windows.actions[:, step], 1.0, noise(2))
    assert len(drawn) == calls
    ours.render(state)
    assert len(drawn) == (calls if form == "frame" else 1)


@pytest.mark.parametrize("form", FORMS)
def test_what_was_observed_is_what_is_shown_at_first(form):
    ours = simulator(form)
    windows = dot_windows(2, 4, "shown")
    state = ours.observe(windows.frames, windows.actions)
    assert torch.equal(ours.render(state), windows.frames[:, -1])


@pytest.mark.parametrize("form", FORMS)
def test_rows_can_begin_anew_while_others_go_on(form):
    """A merged batch steps as its rows would alone: fresh rows look at their real frame, the others do not."""
    ours = simulator(form)
    windows = dot_windows(2, 4, "rows")
    old = ours.observe(windows.frames[:, :3], windows.actions[:, :2])
    old = ours.advance(old, windows.actions[:, 2])
    fresh = ours.observe(windows.frames, windows.actions)
    mixed = old.merge(torch.tensor([False, True]), fresh)
    action = torch.tensor([0, 2])
    together = ours.predict(ours.advance(mixed, action))
    apart = [
        ours.predict(ours.advance(one.select(torch.tensor([row])), action[[row]]))
        for row, one in ((0, old), (1, fresh))
    ]
    torch.testing.assert_close(together, torch.cat(apart), rtol=1e-4, atol=1e-5)


def test_start_begins_on_recorded_frames_chosen_by_the_rows_own_stream():
    windows = dot_windows(5, 3, "starts")
    torch.manual_seed(1)
    ours = VideoSimulator(RES(small_options()), windows)
    state = ours.start(noise(16))
    shown = ours.render(state)
    beginnings = [one.tobytes() for one in windows.frames[:, -1].numpy()]
    chosen = {beginnings.index(frame.tobytes()) for frame in shown.numpy()}
    assert len(chosen) > 1
    alone = ours.start(RowStreams([("test", 7)], 1))
    assert torch.equal(ours.render(alone)[0], shown[7])


def test_heads_speak_of_the_last_action_and_are_missed_where_there_are_none():
    ours = simulator(predict_reward=True, predict_done=True)
    state = ours.advance(
        ours.observe(dot_frames(torch.tensor([[3]])), torch.zeros(1, 0, dtype=torch.long)), torch.tensor([2])
    )
    expected = ours.network.reward_head(state.memory.hidden)[:, 0]
    torch.testing.assert_close(ours.reward(state), expected)
    assert ours.done(state).dtype == torch.bool
    assert ours.features(state, ControllerOptions(inputs="z-c-h")).shape == (1, 96)
    with pytest.raises(ValueError, match="without predict_reward"):
        simulator().reward(state)


def test_bad_input_is_named():
    ours = simulator()
    windows = dot_windows(2, 3, "bad")
    with pytest.raises(ValueError, match=r"frames must be \(2, 4, 8, 8, 1\) uint8"):
        ours.observe(windows.frames[:, :, :4], windows.actions)
    with pytest.raises(ValueError, match=r"8, 8, 1\) uint8, not \(2, 4, 8, 8, 3\)"):
        ours.observe(windows.frames.expand(-1, -1, -1, -1, 3), windows.actions)
    with pytest.raises(ValueError, match="from 0 to 2"):
        ours.observe(windows.frames, windows.actions + ACTIONS)
    with pytest.raises(ValueError, match="whole numbers"):
        ours.advance(ours.observe(windows.frames, windows.actions), torch.tensor([0.5, 1.0]))


def test_file_brings_back_weights_options_and_the_frames_mean(tmp_path):
    ours = simulator("hidden")
    ours.network.mean.fill_(33)
    path = tmp_path / "weights.safetensors"
    save_weights(path, ours.network, "res", ours.options, {})
    back = load_simulator(path, CPU)
    assert back.options == ours.options and back.network.mean.item() == 33
    windows = dot_windows(2, 3, "file")
    states = [one.advance(one.observe(windows.frames, windows.actions), torch.tensor([1, 2])) for one in (ours, back)]
    assert torch.equal(ours.render(states[0]), back.render(states[1]))
    save_weights(path, ours.network, "vae", ours.options, {})
    with pytest.raises(UserError, match="'vae', which is no simulator"):
        load_simulator(path, CPU)


@pytest.mark.filterwarnings("ignore:.*(is probably too|alternative render modes)")
@pytest.mark.parametrize("observed", ["z", "frames"])
def test_gymnasium_accepts_it_as_an_environment(observed):
    """Actions are the game's, by number; a reward head is what an agent learns from."""
    torch.manual_seed(1)
    network = RES(small_options(predict_reward=True, predict_done=True))
    ours = VideoSimulator(network, dot_windows(5, 3, "starts"))
    env = DreamEnv(ours, observed=observed, max_steps=20, render_mode="rgb_array")
    assert env.action_space == gymnasium.spaces.Discrete(ACTIONS)
    check_env(env, skip_render_check=False)
    many = DreamVectorEnv(ours, 3, observed=observed)
    many.reset(seed=1)
    observations, rewards, *_ = many.step(many.action_space.sample())
    assert observations.shape[0] == 3 and rewards.shape == (3,)
