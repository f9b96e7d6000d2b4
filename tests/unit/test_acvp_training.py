"""The curriculum of action-conditional video prediction: what is scored, that a stage goes on from the last, and when it stops."""

import json
import math

import pytest
import torch
from moving_dot import ACTIONS, SIZE, dot_source, dot_windows, horizon_errors
from moving_dot_acvp import small_acvp
from test_atari_store import make_shard

from worldmodels.__main__ import main
from worldmodels.config.acvp_presets import CURRICULA, MODELS, STEPS, copy_last, curriculum
from worldmodels.config.simulators import SimulatorTraining
from worldmodels.data.schemes import observed_flags
from worldmodels.errors import UserError
from worldmodels.models.video.files import build_network, load_network
from worldmodels.models.video.losses import reward_error, simulator_losses
from worldmodels.runtime.stop import Interrupted
from worldmodels.runtime.weights import read_record, save_weights
from worldmodels.simulators.load import load_simulator
from worldmodels.simulators.video import VideoSimulator
from worldmodels.stages.train_simulator import fit_simulator, learning_rate
from worldmodels.training import on_plateau

CPU = torch.device("cpu")
BACKGROUND = torch.full((1, SIZE, SIZE, 1), 20, dtype=torch.uint8)


pytestmark = pytest.mark.usefixtures("one_thread")


def short(model, stage="1-step", **changes):
    """A stage of Oh's curriculum in a few updates."""
    small = {"updates": 20, "batch_size": 8, "precision": "fp32", "learning_rate": 2e-3}
    training = curriculum(model)[stage]
    return SimulatorTraining(**{**training.model_dump(), **small, "model": model, "continues": False, **changes})


def unrolled_less(model):
    """Shorter windows for networks with an LSTM: these tests take seconds."""
    return {"warm_up": 4, "warm_up_gradient": 4, "subsequence": 6} if model.memory == "lstm" else {}


def trained(training, state, source=None, start_from=None):
    source = source or dot_source(training.batch_size, training.window_steps, "train")
    return fit_simulator(training, source, BACKGROUND, ("test", 1), state, CPU, start_from)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name != "acvp-no-action"])
def test_short_training_beats_copy_last(name, state):
    """The network without actions cannot know where the dot goes, and is left out."""
    model = small_acvp(name)
    training = short(model, updates=250, batch_size=16, learning_rate=3e-3, **unrolled_less(model))
    network, _ = trained(training, state)
    errors = horizon_errors(VideoSimulator(network), [dot_windows(64, 9, "test")], warm_up=5, horizon=1)
    assert errors.errors.mean() < 0.5 * errors.copy_last.mean()


@pytest.mark.parametrize(
    ("name", "stage", "frames", "flags"),
    [
        ("acvp-recurrent", "1-step", 21, "O" * 10),  # unrolled over 20 frames, of which the last 10 are scored
        ("acvp-recurrent", "3-step", 14, "OPP"),  # 11 real frames, then 3 predictions
        ("acvp-compression", "5-step", 16, "OPPPP"),
        ("acvp-feed-forward", "1-step", 5, "O"),  # 4 real frames, then 1 prediction
        ("acvp-feed-forward", "5-step-reward", 9, "OPPPP"),
        ("acvp-perceptron", "3-step", 5, "OPP"),
    ],
)
def test_stages_predict_what_the_source_says(name, stage, frames, flags):
    training = CURRICULA[name](18)[stage]
    assert training.window_steps + 1 == frames
    seen = observed_flags(training.scheme, 0, training.subsequence)
    assert "".join("O" if real else "P" for real in seen) == flags


def test_curriculum_has_the_sources_numbers():
    stages = CURRICULA["acvp-recurrent"](18)
    assert list(stages) == list(STEPS)
    assert [stage.updates for stage in stages.values()] == [1_500_000, 1_000_000, 1_000_000, 1_000_000]
    assert [stage.learning_rate for stage in stages.values()] == [1e-4, 1e-5, 1e-5, 1e-5]
    assert [stage.batch_size for stage in stages.values()] == [4, 4, 4, 4]
    assert [stage.batch_size for stage in CURRICULA["acvp-feed-forward"](18).values()] == [32, 8, 8, 8]
    assert [stage.updates for stage in CURRICULA["acvp-paper"](18).values()] == [1_000_000, *[500_000] * 3]
    assert [stage.continues for stage in stages.values()] == [False, True, True, True]
    assert [stage.model.predict_reward for stage in stages.values()] == [False, False, False, True]
    rates = [learning_rate(stages["1-step"], step) for step in (0, 99_999, 100_000, 250_000)]
    assert rates == pytest.approx([1e-4, 1e-4, 0.9e-4, 0.81e-4])


@pytest.mark.parametrize("name", [name for name in CURRICULA if name.endswith("-laptop")])
def test_laptop_curricula_take_a_training_step(name):
    for training in CURRICULA[name](6).values():
        options = training.model
        torch.manual_seed(1)
        network = build_network(options)
        shape = (2, training.subsequence + 1, options.height, options.width, options.channels)
        windows = dot_windows(2, training.subsequence, "laptop")._replace(
            frames=torch.randint(0, 256, shape, dtype=torch.uint8)
        )
        flags = observed_flags(training.scheme, 0, training.subsequence)
        losses, _ = simulator_losses(network, windows, flags, network.initial_state(2), training)
        torch.stack(list(losses.values())).sum().backward()
        assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())


def test_error_is_half_the_square_summed_over_a_frame_and_averaged_over_predictions():
    """1 / (2 K) of the sum over K predictions: networks that predict 0 are off by the frame itself."""
    network = build_network(small_acvp("acvp-recurrent"))
    torch.nn.init.zeros_(network.decoder.layers[-1].weight)
    windows = dot_windows(4, 3, "loss")
    training = short(network.options, "3-step")
    losses, _ = simulator_losses(network, windows, (True, False, False), network.initial_state(4), training)
    frames = windows.frames[:, 1:].double() / 255  # the mean is 0 as yet
    assert losses["frames"].item() == pytest.approx(frames.square().sum().item() / (2 * 3 * 4), rel=1e-5)


def test_gradient_reaches_every_weight_through_five_predictions():
    for name in MODELS:
        network = build_network(small_acvp(name, predict_reward=True))
        windows = dot_windows(4, 5, "gradient")
        training = short(network.options, "5-step-reward")
        losses, _ = simulator_losses(network, windows, (True, *[False] * 4), network.initial_state(4), training)
        torch.stack(list(losses.values())).sum().backward()
        untaught = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
        assert not untaught, name


@pytest.mark.slow
def test_reward_is_whether_the_next_one_is_positive(state):
    """The toy pays 1 for going right; scaled to 50, it is still one bit. No reward: less than 0.69 nats, a coin's."""
    model = small_acvp("acvp-paper", predict_reward=True)
    training = short(model, updates=200, learning_rate=4e-3, **unrolled_less(model))

    def generous(first):
        for windows in dot_source(8, training.window_steps, "train")(first):
            yield windows._replace(rewards=50 * windows.rewards)

    network, history = trained(training, state, generous)
    assert history[0]["reward"] > 0.4 and history[-1]["reward"] < 0.1
    simulator = VideoSimulator(network)
    windows = dot_windows(16, 4, "reward")
    state_now = simulator.observe(windows.frames[:, :4], windows.actions[:, :3])
    probability = simulator.reward(simulator.advance(state_now, windows.actions[:, 3]))
    assert torch.equal(probability > 0.5, windows.actions[:, 3] == 2)
    scores = horizon_errors(simulator, [dot_windows(16, 6, "hits")], warm_up=4, horizon=2)
    assert scores.reward_hits[:, 0].mean() > 0.9


def test_reward_that_is_no_number_ends_training_in_one_sentence(state):
    training = short(small_acvp("acvp-recurrent", predict_reward=True))

    def broken(first):
        for windows in dot_source(8, training.window_steps, "train")(first):
            yield windows._replace(rewards=windows.rewards / 0)

    with pytest.raises(
        UserError, match=r"a reward in the training frames is (inf|nan), which no reward head can learn"
    ):
        trained(training, state, broken)


def test_cross_entropy_of_a_sure_and_right_head_is_nothing():
    rewards = torch.tensor([[5.0, 0.0, -3.0]])
    assert reward_error(torch.tensor([[20.0, -20.0, -20.0]]), rewards, "positive") < 1e-6
    assert reward_error(torch.zeros(1, 3), rewards, "positive").item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", ["acvp-recurrent", "acvp-feed-forward", "acvp-compression"])
@pytest.mark.parametrize("optimiser", ["adam", "centred-rmsprop"])
def test_stopped_and_resumed_equals_undisturbed_to_the_bit(state, name, optimiser):
    training = short(small_acvp(name, predict_reward=True), "3-step", updates=8, optimiser=optimiser)
    undisturbed, history = trained(training, state)
    (state.path / "checkpoint.safetensors").unlink(missing_ok=True)

    def stopping(first):
        for number, windows in enumerate(dot_source(8, training.window_steps, "train")(first), first):
            if number == 3:
                state.stop.reason = "test"
            yield windows

    with pytest.raises(Interrupted):
        trained(training, state, stopping)
    state.stop.reason = None
    resumed, resumed_history = trained(training, state)
    pairs = zip(resumed.parameters(), undisturbed.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs) and resumed_history == history


def same_weights(old, new):
    """Whether `new` has all of `old`, apart from steps of 1e-30, which only a 0 can show."""
    return all(torch.allclose(value, new[name], rtol=0, atol=1e-20) for name, value in old.items())


def saved(path, network):
    save_weights(path, network, network.options.kind, network.options, {})
    return path


def test_stage_continues_the_last_ones_weights_and_mean_and_adds_its_head(state, tmp_path):
    """With steps too small for a float to show, what comes out is what went in."""
    torch.manual_seed(7)
    first = build_network(small_acvp("acvp-recurrent"))
    first.mean.fill_(33)
    path = saved(tmp_path / "1-step.safetensors", first)
    second = short(small_acvp("acvp-recurrent", predict_reward=True), "5-step-reward", updates=2, learning_rate=1e-30)
    network, _ = trained(second, state, start_from=path)
    old, new = first.state_dict(), network.state_dict()
    assert same_weights(old, new)
    assert {name for name in new if name not in old} == {"reward_head.weight", "reward_head.bias"}


def test_compression_starts_from_the_paper_models_weights(state, tmp_path):
    path = saved(tmp_path / "paper.safetensors", build_network(small_acvp("acvp-paper")))
    network, _ = trained(short(small_acvp("acvp-compression"), "3-step", updates=1), state, start_from=path)
    assert network.options.feedback == "hidden"


@pytest.mark.parametrize(
    ("theirs", "problem"),
    [
        (small_acvp("acvp-recurrent", hidden_size=24), "its hidden_size is 24, here 32"),
        (small_acvp("acvp-feed-forward"), "its memory is frames, here lstm"),
        (small_acvp("acvp-recurrent", predict_reward=True), "its predict_reward is True, here False"),
    ],
)
def test_weights_of_another_network_are_refused(state, tmp_path, theirs, problem):
    path = saved(tmp_path / "other.safetensors", build_network(theirs))
    with pytest.raises(UserError, match=f"holds weights of another network .{problem}"):
        trained(short(small_acvp("acvp-recurrent")), state, start_from=path)


def test_plateau_is_the_same_loss_twice():
    def rows(*losses):
        return [{"step": 10 * place, "frames": loss} for place, loss in enumerate(losses)]

    assert on_plateau(rows(5, 1, 1, 1, 1), 2, 0.01)
    assert not on_plateau(rows(5, 1, 1, 0.9, 0.9), 2, 0.01)
    assert not on_plateau(rows(1, 1, 1), 2, 0.01)
    assert on_plateau(rows(0, -1, -1, -1, -1), 2, 0.01) and on_plateau(rows(-1, -1, -0.995, -0.995), 2, 0.01)
    assert not on_plateau(rows(0, -1, -1, -2, -2), 2, 0.01), "a density's loss may be negative"
    assert on_plateau(rows(1, 1, 0.995, 0.995), 2, 0.01) and not on_plateau(rows(1, 1, 0.995, 0.995), 2, 0.001)


def block(training, **changes):
    return json.dumps({"training": {**training.model_dump(mode="json"), **changes}})


@pytest.fixture
def shards(tmp_path):
    for number in range(2):
        make_shard(tmp_path / f"train-{number:03d}.h5", start=60 * number)
    return tmp_path


def run(folder, training, name="a", *more, **changes):
    words = ["--dataset", folder, "--shards", 2, "--seed", 1, "--device", "cpu", "--threads", 1]
    words += ["--weights", folder / f"{name}.safetensors", "--metrics", folder / f"{name}.csv", *more]
    return main(["train_simulator", *map(str, words), "--config", block(training, **changes)])


def stage_of(stage="3-step", name="acvp-recurrent", **changes):
    model = small_acvp(name, actions=6, predict_reward="reward" in stage)
    return short(model, stage, **{"updates": 4, "batch_size": 2, "warm_up": 3, "warm_up_gradient": 3, **changes})


def test_chain_of_stages_from_the_command_line(shards):
    assert run(shards, stage_of("1-step", subsequence=3), "one") == 0
    start = ["--start-from", shards / "one.safetensors"]
    assert run(shards, stage_of("5-step-reward"), "two", *start, continues=True, learning_rate=1e-30) == 0
    one, two = (load_network(shards / f"{name}.safetensors").state_dict() for name in ("one", "two"))
    assert same_weights(one, two)
    record = read_record(shards / "two.safetensors")
    assert "start_from" in record["inputs"]
    assert record["training"] == {"game": "pong", "updates": 4, "of": 4, "plateau": False}
    assert load_simulator(shards / "two.safetensors", CPU).predicts_reward


def test_stage_without_the_one_before_it_is_refused_and_so_is_the_reverse(shards, caplog):
    assert run(shards, stage_of(), continues=True) == 1
    assert "--start-from names the weights of the stage before this one" in caplog.text
    caplog.clear()
    path = saved(shards / "x.safetensors", build_network(small_acvp("acvp-recurrent", actions=6)))
    assert run(shards, stage_of(), "a", "--start-from", path) == 1
    assert "if and only if" in caplog.text and "Traceback" not in caplog.text


def test_weights_that_are_missing_or_of_another_kind_are_named(shards, caplog):
    assert run(shards, stage_of(), "a", "--start-from", shards / "none.safetensors", continues=True) == 1
    assert "none.safetensors does not exist" in caplog.text
    path = shards / "vae.safetensors"
    save_weights(path, build_network(small_acvp("acvp-paper")), "vae", small_acvp("acvp-paper"), {})
    assert run(shards, stage_of(), "a", "--start-from", path, continues=True) == 1
    assert "holds weights of 'vae', not of 'acvp'" in caplog.text and "Traceback" not in caplog.text


def test_early_stop_is_recorded_in_history_and_weights(shards):
    """Steps that change nothing are a plateau: training ends after twice the updates that are compared, give or take noise."""
    stuck = stage_of(updates=60, plateau_updates=6, plateau_improvement=0.9, learning_rate=1e-30)
    assert run(shards, stuck) == 0
    rows = (shards / "a.csv").read_text().splitlines()
    assert rows[0].endswith(",plateau") and rows[1].endswith(",0") and rows[-1] == rows[-1].rsplit(",", 1)[0] + ",1"
    assert len(rows) == 13
    assert read_record(shards / "a.safetensors")["training"] == {
        "game": "pong",
        "updates": 12,
        "of": 60,
        "plateau": True,
    }


def test_copy_last_is_written_by_its_stage_and_read_like_the_others(shards):
    training = copy_last(height=8, width=8, channels=1, actions=6)
    assert run(shards, training) == 0
    simulator = load_simulator(shards / "a.safetensors", CPU)
    windows = dot_windows(4, 6, "copy")
    errors = horizon_errors(simulator, [windows], warm_up=3, horizon=3)
    assert (errors.errors == errors.copy_last).all() and errors.errors.sum() > 0


@pytest.mark.parametrize("name", MODELS)
def test_file_brings_back_weights_options_and_the_frames_mean(tmp_path, name):
    network = build_network(small_acvp(name))
    network.mean.fill_(33)
    back = load_simulator(saved(tmp_path / "weights.safetensors", network), CPU)
    assert back.options == network.options and back.network.mean.item() == 33
    ours = VideoSimulator(network)
    windows = dot_windows(2, 5, "file")
    states = [
        one.advance(one.observe(windows.frames[:, :5], windows.actions[:, :4]), windows.actions[:, 4])
        for one in (ours, back)
    ]
    assert torch.equal(ours.predict(states[0]), back.predict(states[1]))
    assert ours.action_size == ACTIONS
