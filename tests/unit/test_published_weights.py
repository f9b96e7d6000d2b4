"""The weights that the authors released, read into our models: same numbers out as the released graphs would give.

No released file is at hand, so files of the same format with random integers stand in for them. What the imported
models say is compared with TensorFlow's arithmetic, written here in numpy in TensorFlow's own layouts.
"""

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from worldmodels.config import blocks, dag
from worldmodels.config.load import experiment_options, load_config, read_yaml
from worldmodels.config.tasks import TakeCoverOptions
from worldmodels.envs.games import frame_maker, load_task
from worldmodels.envs.released_frames import released_frames
from worldmodels.errors import UserError
from worldmodels.models.controller import act
from worldmodels.models.files import load_controller, load_world_model_files
from worldmodels.models.mdn_rnn import LSTMState
from worldmodels.models.published_weights import RELEASED, mdn_rnn_shapes, read_published_agent, vae_shapes

CONFIG_FILE = Path(__file__).parents[2] / "config.yaml"
TASKS = {"Doom": "take_cover", "CarRacing": "car_racing"}
EXPERIMENTS = {"Doom": "doom-published", "CarRacing": "carracing-published"}
FORGET_BIAS = 1.0  # LayerNormBasicLSTMCell's default


def random_integers(shapes, rng, gain=1.0):
    """Arrays of integers of 1e-4, scaled so that numbers neither vanish nor explode on their way through the layers."""
    arrays = []
    for shape in shapes:
        fan_in = math.prod(shape[:-1]) if len(shape) > 1 else 100
        arrays.append(np.rint(rng.normal(0, gain / math.sqrt(fan_in), shape) * 1e4).astype(int))
    return arrays


class Released:
    """Random files of one game, in the released format, and their numbers."""

    def __init__(self, folder: Path, game: str) -> None:
        self.folder, self.game, self.sizes = folder, game, RELEASED[game]
        folder.mkdir()
        rng = np.random.default_rng(7)
        lstm, head = mdn_rnn_shapes(self.sizes.mdn_rnn)
        self.vae = random_integers(vae_shapes(self.sizes.vae), rng, gain=1.4)
        # Doom's graph makes the LSTM's variables first, CarRacing's the head's.
        self.rnn = random_integers(lstm + head if game == "Doom" else head + lstm, rng)
        self.controller = rng.normal(size=self.sizes.controller_size).round(4)
        self.write("vae", [array.tolist() for array in self.vae])
        self.write("rnn", [array.tolist() for array in self.rnn])
        self.write("controller", [self.controller.tolist(), 958.5])

    def write(self, name: str, content) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(content))

    @property
    def paths(self) -> dict[str, Path]:
        return {name: self.folder / f"{name}.json" for name in ("vae", "rnn", "controller")}

    def read(self):
        return read_published_agent(self.paths, self.sizes, TASKS[self.game])


@pytest.fixture(scope="module", params=["Doom", "CarRacing"])
def released(request, tmp_path_factory):
    return Released(tmp_path_factory.mktemp("released") / request.param, request.param)


@pytest.fixture(scope="module")
def doom(tmp_path_factory):
    return Released(tmp_path_factory.mktemp("doom") / "weights", "Doom")


@pytest.fixture(scope="module")
def agent(released):
    return released.read()


# TensorFlow's arithmetic, in TensorFlow's layouts.


def conv2d(inputs, kernel, bias, stride=2):
    """VALID: inputs (N, H, W, in), kernel (row, column, in, out)."""
    size = kernel.shape[0]
    rows = (inputs.shape[1] - size) // stride + 1
    outputs = np.zeros((len(inputs), rows, rows, kernel.shape[3]))
    for row in range(size):
        for column in range(size):
            last = stride * (rows - 1) + 1
            outputs += inputs[:, row : row + last : stride, column : column + last : stride] @ kernel[row, column]
    return outputs + bias


def conv2d_transpose(inputs, kernel, bias, stride=2):
    """VALID, the gradient of a convolution: inputs (N, H, W, in), kernel (row, column, out, in)."""
    size, rows = kernel.shape[0], inputs.shape[1]
    outputs = np.zeros((len(inputs), stride * (rows - 1) + size, stride * (rows - 1) + size, kernel.shape[2]))
    last = stride * (rows - 1) + 1
    for row in range(size):
        for column in range(size):
            outputs[:, row : row + last : stride, column : column + last : stride] += inputs @ kernel[row, column].T
    return outputs + bias


def relu(numbers):
    return np.maximum(numbers, 0)


def sigmoid(numbers):
    return 1 / (1 + np.exp(-numbers))


def tensorflow_encode(arrays, observations):
    """observations (N, 64, 64, 3) in [0, 1] -> mean, log-variance (N, Z)."""
    numbers = observations
    for index in range(0, 8, 2):
        numbers = relu(conv2d(numbers, arrays[index], arrays[index + 1]))
    flat = numbers.reshape(len(numbers), 2 * 2 * 256)
    return flat @ arrays[8] + arrays[9], flat @ arrays[10] + arrays[11]


def tensorflow_decode(arrays, latents):
    """latents (N, Z) -> observations (N, 64, 64, 3)."""
    numbers = (latents @ arrays[12] + arrays[13]).reshape(-1, 1, 1, 1024)
    for index in range(14, 20, 2):
        numbers = relu(conv2d_transpose(numbers, arrays[index], arrays[index + 1]))
    return sigmoid(conv2d_transpose(numbers, arrays[20], arrays[21]))


def tensorflow_lstm(kernel, bias, inputs, cell, hidden):
    """One step: gates input, new input, forget, output; 1 is added to forget."""
    i, j, f, o = np.split(np.concatenate([inputs, hidden], axis=1) @ kernel + bias, 4, axis=1)
    cell = cell * sigmoid(f + FORGET_BIAS) + sigmoid(i) * np.tanh(j)
    return cell, np.tanh(cell) * sigmoid(o)


def tensorflow_head(head, bias, hidden, latent_size, done):
    """log-weights, means, log-sigmas (N, Z, K), and the restart logit (N,) of Doom."""
    outputs = hidden @ head + bias
    logit = outputs[:, 0] if done else None
    fields = np.split(outputs[:, int(done) :].reshape(-1, 3 * 5), 3, axis=1)
    return *(field.reshape(len(hidden), latent_size, 5) for field in fields), logit


def test_parameters_are_counted_as_in_the_paper(agent, released):
    """Paper, sections 3.2 and 4.2."""
    counts = [sum(one.numel() for one in part.parameters()) for part in (agent.vae, agent.mdn_rnn)]
    expected = {"Doom": [4_446_915, 1_678_785, 1088], "CarRacing": [4_348_547, 422_368, 867]}
    assert [*counts, len(agent.controller)] == expected[released.game]


@torch.no_grad()
def test_vision_is_that_of_the_released_graph(agent, released):
    arrays = [array * 1e-4 for array in released.vae]
    rng = np.random.default_rng(1)
    observations = rng.random((2, 64, 64, 3))
    mean, log_variance = tensorflow_encode(arrays, observations)
    ours = agent.vae.encode(torch.from_numpy(observations.transpose(0, 3, 1, 2)).float())
    assert mean.std() > 0.02
    np.testing.assert_allclose(ours[0], mean, atol=1e-4)
    np.testing.assert_allclose(ours[1], log_variance, atol=1e-4)
    latents = rng.normal(size=(2, released.sizes.vae.latent_size))
    drawn = tensorflow_decode(arrays, latents)
    assert drawn.shape == (2, 64, 64, 3) and drawn.std() > 0.02
    np.testing.assert_allclose(
        agent.vae.decode(torch.from_numpy(latents).float()).permute(0, 2, 3, 1), drawn, atol=1e-4
    )


@torch.no_grad()
def test_memory_is_that_of_the_released_graph(agent, released):
    """Twenty steps with carried state; Doom restarts in the middle."""
    options = released.sizes.mdn_rnn
    arrays = [array * 1e-4 for array in released.rnn]
    kernel, bias, head, head_bias = arrays if released.game == "Doom" else arrays[2:] + arrays[:2]
    rng = np.random.default_rng(2)
    latents = rng.normal(size=(3, 20, options.latent_size))
    actions = rng.uniform(-1, 1, (3, 20, options.action_size))
    restarts = np.zeros((3, 20))
    if options.restart_input:
        restarts[:, 0] = restarts[1, 8] = 1
    cell, hidden = np.zeros((3, options.hidden_size)), np.zeros((3, options.hidden_size))
    prediction, state = agent.mdn_rnn(*(torch.from_numpy(one).float() for one in (latents, actions, restarts)))
    for step in range(20):
        keep = 1 - restarts[:, step, None]
        parts = [latents[:, step], actions[:, step], *([restarts[:, step, None]] if options.restart_input else [])]
        cell, hidden = tensorflow_lstm(kernel, bias, np.concatenate(parts, axis=1), cell * keep, hidden * keep)
        done = options.predict_done
        *fields, logit = tensorflow_head(head, head_bias, hidden, options.latent_size, done)
        for theirs, ours in zip(fields, prediction.mixture, strict=True):
            np.testing.assert_allclose(ours[:, step].transpose(-1, -2), theirs, atol=1e-4)
        if done:
            np.testing.assert_allclose(prediction.done_logit[:, step], logit, atol=1e-4)
    assert np.abs(hidden).mean() > 0.02
    assert isinstance(state, LSTMState)
    np.testing.assert_allclose(state.cell, cell, atol=1e-4)
    np.testing.assert_allclose(state.hidden, hidden, atol=1e-4)


@torch.no_grad()
def test_controller_acts_as_the_released_one(agent, released):
    """model.py of both games: Doom tanh([z, c, h] W); the car tanh([z, h] W + b), then gas and brake mapped."""
    sizes, rng = released.sizes, np.random.default_rng(3)
    z, c, h = (rng.normal(size=(4, size)) for size in (sizes.vae.latent_size, *[sizes.mdn_rnn.hidden_size] * 2))
    weights = released.controller
    if released.game == "Doom":
        expected = np.tanh(np.concatenate([z, c, h], axis=1) @ (weights / 30).reshape(-1, 1))
    else:
        matrix = weights[3:].reshape(-1, 3) / 30
        expected = np.tanh(np.concatenate([z, h], axis=1) @ matrix + weights[:3] / 30)
        expected = np.stack([expected[:, 0], (expected[:, 1] + 1) / 2, np.clip(expected[:, 2], 0, 1)], axis=1)
    ours = act(
        torch.from_numpy(agent.controller / 30),  # so that tanh is not saturated
        sizes.controller,
        sizes.mdn_rnn.action_size,
        *(torch.from_numpy(one) for one in (z, c, h)),
    )
    np.testing.assert_allclose(ours, expected, atol=1e-6)


# Frames.


def imresize(image, size):
    """scipy.misc.imresize of floats (h, w, 3), as scipy 1.0 did it: bytescale, Pillow's bilinear resize, bytes."""
    low, high = image.min(), image.max()
    span = (high - low) or 1
    scaled = (((image - low) * (255.0 / span)).clip(0, 255) + 0.5).astype(np.uint8)
    return np.asarray(Image.fromarray(scaled).resize(size, Image.Resampling.BILINEAR))


def released_process_frame(screen):
    """The released environments' frame of a cut screen, down to the bytes that the last cast wraps."""
    small = imresize(screen.astype(float) / 255.0, (64, 64))
    return ((1.0 - small) * 255).round().astype(np.int64).astype(np.uint8)


@pytest.mark.parametrize(("low", "high"), [(0, 256), (20, 91), (37, 38)])
def test_frames_are_the_released_codes_to_the_byte(low, high):
    screens = np.random.default_rng(4).integers(low, high, (3, 100, 160, 3), dtype=np.uint8)
    screens[0, :50] = low  # a dark half, so that black appears in frames and wraps
    expected = np.stack([released_process_frame(one) for one in screens])
    np.testing.assert_array_equal(released_frames(screens), expected)
    assert (expected == 255).any()


def test_preprocessing_is_resizing_unless_asked_for():
    task = load_task("take_cover")
    assert frame_maker(task, TakeCoverOptions()) is task.resize_frames
    assert frame_maker(task, TakeCoverOptions(preprocessing="released")) is released_frames
    screens = np.random.default_rng(5).integers(0, 256, (1, 100, 160, 3), dtype=np.uint8)
    assert not np.array_equal(task.resize_frames(screens, 64), released_frames(screens, 64))


# The stage.


def block_of(game):
    config = load_config(CONFIG_FILE)
    options = experiment_options(config, EXPERIMENTS[game])
    return blocks.simple_block("import_published_weights", config, options)


def run_import(folder, place, game="Doom"):
    words = ["import_published_weights", "--folder", folder, "--config", block_of(game).canonical_json()]
    for name in ("vae.safetensors", "mdn-rnn.safetensors", "controller.json"):
        words += [f"--{name.split('.')[0]}", place / name]
    command = [sys.executable, "-m", "worldmodels", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=place, timeout=120)


def test_imported_agent_plays_the_real_game(doom, tmp_path):
    """From the authors' files to a row an episode: files of one agent, which load and act."""
    imported = run_import(doom.folder, tmp_path)
    assert imported.returncode == 0, imported.stderr
    vae, mdn_rnn, controller = (
        tmp_path / name for name in ("vae.safetensors", "mdn-rnn.safetensors", "controller.json")
    )
    load_world_model_files(vae, mdn_rnn, None, torch.device("cpu"))
    assert load_controller(controller, mdn_rnn).options.inputs == "z-c-h"
    record = json.loads((tmp_path / "vae.safetensors.provenance.json").read_text())
    assert len(record["inputs"]) == 3 and all(len(checksum) == 64 for checksum in record["inputs"].values())
    config = load_config(CONFIG_FILE)
    block = blocks.evaluate_block(config, experiment_options(config, "doom-published"), "published").model_dump()
    assert block["task"]["preprocessing"] == "released" and block["task"]["screen_resolution"] == "640x480"
    block["task"]["max_steps"], block["evaluation"]["episodes"], block["evaluation"]["games"] = 30, 2, 2
    words = ["evaluate_controller", "--experiment", "e", "--variant", "published", "--seed", "1"]
    words += ["--vae", vae, "--mdn-rnn", mdn_rnn, "--controller", controller]
    words += ["--output", tmp_path / "episodes.csv", "--config", json.dumps(block)]
    command = [sys.executable, "-m", "worldmodels", *map(str, words)]
    played = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert played.returncode == 0, played.stderr
    rows = list(csv.DictReader((tmp_path / "episodes.csv").open()))
    assert [row["environment"] for row in rows] == ["real", "real"]
    assert all(0 < int(row["steps"]) <= 30 for row in rows)


def sentence_of(paths, game="Doom"):
    with pytest.raises(UserError) as caught:
        read_published_agent(paths, RELEASED[game], TASKS[game])
    return str(caught.value)


def test_wrong_files_are_named_with_what_to_do(doom, tmp_path):
    def replaced(name, content):
        path = tmp_path / f"{name}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return {**doom.paths, name: path}

    car = RELEASED["CarRacing"]
    rng = np.random.default_rng(0)
    lstm, head = mdn_rnn_shapes(car.mdn_rnn)
    arrays = [array.tolist() for array in random_integers(head + lstm, rng)]
    sentence = sentence_of(replaced("rnn", arrays))
    assert "rnn.json holds M of CarRacing, but M with 512 units on 64 latents belongs there" in sentence
    assert "Put doomrnn/tf_models/rnn.json of https://" in sentence
    assert "holds C of CarRacing, but C with 1088 weights" in sentence_of(replaced("controller", [[0.0] * 867, 900.0]))
    assert "holds C of Doom, but V with 64" in sentence_of(replaced("vae", doom.paths["controller"].read_text()))
    assert "holds 5 weights, but C" in sentence_of(replaced("controller", [[0.5] * 5, 1.0]))
    text = doom.paths["rnn"].read_text()
    assert "is not complete JSON" in sentence_of(replaced("rnn", text[: len(text) // 2]))
    ragged = [[1, 2], [3]]
    assert "is not a list of arrays of numbers" in sentence_of(replaced("rnn", [ragged]))
    assert "holds 1 arrays, the first of shape (2,)" in sentence_of(replaced("rnn", [[1, 2]]))
    assert "is not a list of arrays" in sentence_of(replaced("vae", {"weights": []}))
    halves = [(array * 1e-4).tolist() for array in doom.rnn]
    assert "not integers of 1e-4" in sentence_of(replaced("rnn", halves))
    assert "not finite" in sentence_of(replaced("controller", "[[" + "NaN, " * 1087 + "0.0]]"))


def test_missing_file_is_one_sentence_with_its_origin(tmp_path):
    result = run_import(tmp_path / "nowhere", tmp_path, "CarRacing")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "nowhere/vae.json does not exist" in result.stderr and "carracing/vae/vae.json" in result.stderr


# The experiments.


@pytest.mark.parametrize("game", TASKS)
def test_experiments_ask_for_the_released_sizes_and_frames(game):
    config = load_config(CONFIG_FILE)
    block = block_of(game)
    sizes = RELEASED[game]
    assert (block.vae, block.mdn_rnn, block.controller) == tuple(sizes)
    assert block.task == TASKS[game]
    task = config.datasets[config.experiments[EXPERIMENTS[game]].dataset].task
    assert task.preprocessing == "released"
    paths = dag.agent_models(config, EXPERIMENTS[game], "published", 1)
    assert set(paths) == {"vae", "mdn_rnn"} and "vae-published" in paths["vae"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"variants": {"mine": {"policy": "published"}}}, "needs models: published"),
        ({"variants": {"mine": {"models": "published"}}}, "cannot be dreamt in"),
        (
            {"published_weights": None, "variants": {"mine": {"policy": "published", "models": "published"}}},
            "need published_weights",
        ),
    ],
)
def test_impossible_uses_are_refused(entry, words):

    raw = read_yaml(CONFIG_FILE)
    raw["experiments"]["mine"] = {"extends": "doom-published", **entry}
    with pytest.raises(UserError, match=words):
        load_config(raw)


def test_films_of_an_experiment_that_evolves_nothing_are_refused_clearly():
    with pytest.raises(UserError, match="evolves no controller"):
        dag.film_variant(load_config(CONFIG_FILE), "doom-published")
