"""The released weights of World Models (Ha & Schmidhuber 2018), from TensorFlow's layouts into ours.

vae.json and rnn.json are lists of arrays, one for each trainable variable in the order in which TensorFlow made them,
as integers of 1e-4. controller.json is a list whose first entry holds C's weights, as decimal numbers.

Where the layouts differ:
- kernels: TensorFlow's convolutions are (row, column, in, out), its transposed ones (row, column, out, in); torch's are
  (out, in, row, column) and (in, out, row, column). Dense layers are transposed.
- V's last feature map is flattened (row, column, channel) there, (channel, row, column) here.
- LSTM: one kernel for [input, hidden]; gates input, candidate, forget, output there, and 1 is added to the forget
  gate's sum when it runs (LayerNormBasicLSTMCell); gates input, forget, candidate, output here, the 1 inside the bias.
- M's head: Doom's restart logit first; then, for each latent dimension, K log-weights, K means, K log-sigmas.
- C: biases first, then a matrix (features, actions).
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldmodels.config.models import ControllerOptions, MDNRNNOptions, VAEOptions
from worldmodels.config.published_weights import advice
from worldmodels.errors import UserError
from worldmodels.models.controller import controller_size
from worldmodels.models.mdn_rnn import MDNRNN, input_size, output_size
from worldmodels.models.vae import FEATURES, ConvVAE

UNIT = 1e-4
"""What an integer of vae.json and rnn.json counts."""

Shapes = list[tuple[int, ...]]


class Sizes(NamedTuple):
    """Sizes of one agent."""

    vae: VAEOptions
    mdn_rnn: MDNRNNOptions
    controller: ControllerOptions

    @property
    def controller_size(self) -> int:
        """Weights of C."""
        sizes = self.mdn_rnn
        return controller_size(self.controller, sizes.latent_size, sizes.hidden_size, sizes.action_size)


RELEASED = {
    "Doom": Sizes(VAEOptions(), MDNRNNOptions(), ControllerOptions()),
    "CarRacing": Sizes(
        VAEOptions(latent_size=32),
        MDNRNNOptions(latent_size=32, action_size=3, hidden_size=256, restart_input=False, predict_done=False),
        ControllerOptions(inputs="z-h", bias=True, actions="steer-gas-brake"),
    ),
}
"""The two agents that were released, so that a file of the wrong one can be named."""


class PublishedAgent(NamedTuple):
    """V, M and C of the authors, in our layouts."""

    vae: ConvVAE
    mdn_rnn: MDNRNN
    controller: np.ndarray  # (D,)


def read_published_agent(paths: dict[str, Path], sizes: Sizes, task: str) -> PublishedAgent:
    """Read vae, rnn and controller. Raises UserError, naming what to do, for a damaged file or one of other sizes."""
    # Small files first: a wrong one is said sooner.
    weights = read_controller(paths["controller"], sizes.controller_size, task)
    # The released graphs make M's two halves in different orders: Doom's the LSTM first, CarRacing's the head.
    lstm, head = mdn_rnn_shapes(sizes.mdn_rnn)
    wanted = f"M with {sizes.mdn_rnn.hidden_size} units on {sizes.mdn_rnn.latent_size} latents"
    halves = read_arrays(paths["rnn"], [lstm + head, head + lstm], wanted, task)
    ordered = halves if shapes_of(halves) == lstm + head else halves[2:] + halves[:2]
    arrays = read_arrays(paths["vae"], [vae_shapes(sizes.vae)], f"V with {sizes.vae.latent_size} latents", task)
    vae, mdn_rnn = ConvVAE(sizes.vae), MDNRNN(sizes.mdn_rnn)
    vae.load_state_dict(vae_weights(arrays))
    mdn_rnn.load_state_dict(mdn_rnn_weights(ordered, sizes.mdn_rnn))
    return PublishedAgent(vae, mdn_rnn, controller_weights(weights, sizes.controller, sizes.mdn_rnn.action_size))


def read_arrays(path: Path, wanted: list[Shapes], description: str, task: str) -> list[np.ndarray]:
    """Arrays of a file, as the numbers that its integers stand for. wanted: the lists of shapes that it may have."""
    content = _parse(path, task)
    try:
        arrays = [np.asarray(part, dtype=np.float64) for part in content]
    except (TypeError, ValueError):
        raise UserError(f"{path} is not a list of arrays of numbers. {advice(path, task)}") from None
    shapes = shapes_of(arrays)
    if shapes not in wanted:
        raise UserError(f"{path} holds {identify(shapes)}, but {description} belongs there. {advice(path, task)}")
    if not all(np.array_equal(array, np.rint(array)) for array in arrays):  # NaN is not equal to itself
        raise UserError(f"{path} holds numbers that are not integers of 1e-4. {advice(path, task)}")
    return [array * UNIT for array in arrays]


def read_controller(path: Path, size: int, task: str) -> np.ndarray:
    """C's weights (D,) in TensorFlow's order; the score that may follow them in the file is not used."""
    content = _parse(path, task)
    try:
        weights = np.asarray(content[0], dtype=np.float64)
    except (IndexError, TypeError, ValueError):
        raise UserError(f"{path} does not begin with a list of numbers. {advice(path, task)}") from None
    if weights.shape != (size,):
        found = identify([weights.shape, ()]) if weights.ndim == 1 else "other arrays"
        raise UserError(f"{path} holds {found}, but C with {size} weights belongs there. {advice(path, task)}")
    if not np.isfinite(weights).all():
        raise UserError(f"{path} holds weights that are not finite numbers. {advice(path, task)}")
    return weights


def _parse(path: Path, task: str) -> list[Any]:
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not complete JSON ({error}). {advice(path, task)}") from None
    if not isinstance(content, list) or not content:
        raise UserError(f"{path} is not a list of arrays. {advice(path, task)}")
    return content


def identify(shapes: Shapes) -> str:
    """Say which released file has these shapes, or what they are."""
    for game, sizes in RELEASED.items():
        lstm, head = mdn_rnn_shapes(sizes.mdn_rnn)
        known = {"V": [vae_shapes(sizes.vae)], "M": [lstm + head, head + lstm], "C": [[(sizes.controller_size,), ()]]}
        for part, candidates in known.items():
            if shapes in candidates:
                return f"{part} of {game}"
    if len(shapes) > 1 and shapes[1:] == [()]:
        return f"{shapes[0][0]} weights"
    return f"{len(shapes)} arrays, the first of shape {shapes[0]}"


def shapes_of(arrays: list[np.ndarray]) -> Shapes:
    """Shapes of arrays, in order."""
    return [array.shape for array in arrays]


def vae_shapes(options: VAEOptions) -> Shapes:
    """Shapes in vae.json: kernel and bias of each layer, from the encoder's first to the decoder's last."""
    shapes: Shapes = []
    for channels_in, channels_out in ((3, 32), (32, 64), (64, 128), (128, 256)):
        shapes += [(4, 4, channels_in, channels_out), (channels_out,)]
    latent = options.latent_size
    shapes += [(FEATURES, latent), (latent,)] * 2 + [(latent, FEATURES), (FEATURES,)]
    for size, channels_in, channels_out in ((5, FEATURES, 128), (5, 128, 64), (6, 64, 32), (6, 32, 3)):
        shapes += [(size, size, channels_out, channels_in), (channels_out,)]
    return shapes


def mdn_rnn_shapes(options: MDNRNNOptions) -> tuple[Shapes, Shapes]:
    """Shapes in rnn.json: kernel and bias of the LSTM, and those of the head."""
    hidden, outputs = options.hidden_size, output_size(options)
    return [(input_size(options) + hidden, 4 * hidden), (4 * hidden,)], [(hidden, outputs), (outputs,)]


def vae_weights(arrays: list[np.ndarray]) -> dict[str, Tensor]:
    """State of `ConvVAE` from the arrays of vae.json."""
    layers = list(zip(arrays[::2], arrays[1::2], strict=True))  # (kernel, bias) each
    state: dict[str, Tensor] = {}
    for index, (kernel, bias) in enumerate(layers[:4]):
        _put(state, f"encoder.{2 * index}", kernel.transpose(3, 2, 0, 1), bias)
    for name, (kernel, bias) in zip(("mean", "log_variance"), layers[4:6], strict=True):
        by_place = kernel.reshape(2, 2, 256, -1)  # (row, column, channel, Z)
        _put(state, name, by_place.transpose(3, 2, 0, 1).reshape(-1, FEATURES), bias)
    _put(state, "expand", layers[6][0].T, layers[6][1])
    for index, (kernel, bias) in enumerate(layers[7:]):
        _put(state, f"decoder.{2 * index}", kernel.transpose(3, 2, 0, 1), bias)
    return state


def mdn_rnn_weights(arrays: list[np.ndarray], options: MDNRNNOptions) -> dict[str, Tensor]:
    """State of `MDNRNN` from the arrays of rnn.json, the LSTM's two first."""
    kernel, bias, head, head_bias = arrays
    inputs = input_size(options)
    rows = _reorder_gates(np.concatenate([kernel, bias[None]]).T)  # (4H, I + H + 1)
    rows[options.hidden_size : 2 * options.hidden_size, -1] += 1  # the forget bias that TensorFlow adds as it runs
    columns = head_columns(options)
    state = {"weight_ih": rows[:, :inputs], "weight_hh": rows[:, inputs:-1], "bias": rows[:, -1]}
    tensors = {name: _tensor(array) for name, array in state.items()}
    _put(tensors, "head", head[:, columns].T, head_bias[columns])
    return tensors


def _reorder_gates(rows: np.ndarray) -> np.ndarray:
    """Rows (4H, ...) of gates input, candidate, forget, output as input, forget, candidate, output."""
    entry, candidate, forget, out = np.split(rows, 4)
    return np.concatenate([entry, forget, candidate, out])


def head_columns(options: MDNRNNOptions) -> np.ndarray:
    """For each output of our head, (3KZ + heads,), its column in theirs."""
    mixtures, latent, done = options.mixtures, options.latent_size, int(options.predict_done)
    theirs = done + np.arange(3 * mixtures * latent).reshape(latent, 3, mixtures)  # (Z, field, K)
    return np.concatenate([theirs.transpose(1, 2, 0).ravel(), np.zeros(done, dtype=np.int64)])


def controller_weights(weights: np.ndarray, options: ControllerOptions, action_size: int) -> np.ndarray:
    """C's flat weights (D,) in our order: the matrix, an action after the other, then the biases."""
    biases = action_size if options.bias else 0
    matrix = weights[biases:].reshape(-1, action_size)  # (F, A)
    return np.concatenate([matrix.T.ravel(), weights[:biases]])


def _put(state: dict[str, Tensor], layer: str, weight: np.ndarray, bias: np.ndarray) -> None:
    state[f"{layer}.weight"], state[f"{layer}.bias"] = _tensor(weight), _tensor(bias)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
