"""Scores of a population of controllers in the dream of M: one tensor loop over population x rollouts.

Time alignment: a controller sees z_t and (c, h) before M consumes (z_t, a_t, restart_t); then M says z_{t+1} and
whether a_t was fatal. Protocol of appendix A.4 and of the released code: a dream starts on a recorded first frame with no
memory and restart = 1; it ends when death is more likely than not, or after `max_steps`; reward is 1 for every step.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldmodels.config.models import ControllerOptions, MDNRNNOptions
from worldmodels.models.controller import controller_size, split_weights
from worldmodels.models.mdn_rnn import MDNRNN, sample_mixture, split_outputs
from worldmodels.models.world_model import StartLatents
from worldmodels.simulators.noise import RowStreams, Words

COMPACT_EVERY = 8
"""Steps after which finished dreams leave the batch."""


@dataclass(frozen=True)
class DreamOptions:
    """How controllers are scored in dreams."""

    controller: ControllerOptions
    temperature: float
    rollouts: int  # dreams of each controller
    max_steps: int = 2100
    products: torch.dtype = torch.float32  # of the matrix products; state and sampling stay in M's own type


@dataclass(frozen=True)
class DreamScores:
    """How the dreams of P controllers went, R each."""

    returns: np.ndarray  # (P, R) float64: the sum of rewards, 1 a step
    lengths: np.ndarray  # (P, R) int64, steps
    deaths: np.ndarray  # (P, R) bool; False is a timeout


def dream_words(words: Words, member: int, rollout: int) -> Words:
    """Name of the random stream of one dream."""
    return (*words, member, rollout)


@torch.inference_mode()
def dream_returns(
    memory: MDNRNN, weights: Tensor, starts: StartLatents, options: DreamOptions, words: Words
) -> DreamScores:
    """Dream R times with each of P controllers.

    weights: (P, D), flat controllers as `models.controller` orders them. starts: posteriors of recorded first frames.
    words: name of the random stream, for example (stage, training seed, generation). A dream's numbers depend on
    these words, its member and its rollout, and on nothing else. Raises ValueError when D does not fit.
    """
    check_controllers(weights, memory.options, options.controller)
    members = len(weights)
    names = [dream_words(words, member, rollout) for member in range(members) for rollout in range(options.rollouts)]
    noise = RowStreams(names, memory.options.latent_size, memory.bias.device, memory.bias.dtype)
    batch = DreamBatch(memory, options)
    batch.begin(starts.draw(*noise.draw()), weights.repeat_interleave(options.rollouts, dim=0))
    lengths, deaths = run_dreams(batch, noise, options.max_steps)
    shape = (members, options.rollouts)
    return DreamScores(lengths.reshape(shape).astype(np.float64), lengths.reshape(shape), deaths.reshape(shape))


def check_controllers(weights: Tensor, memory: MDNRNNOptions, controller: ControllerOptions) -> None:
    """Raise ValueError unless weights are (P, D) with D the size of such a controller."""
    size = controller_size(controller, memory.latent_size, memory.hidden_size, memory.action_size)
    if weights.ndim != 2 or weights.shape[1] != size:
        raise ValueError(f"controllers of shape {tuple(weights.shape)} must be (P, {size})")


def run_dreams(batch: "DreamBatch", noise: RowStreams, max_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Run all dreams to their end. Returns their lengths (B,) int64 and whether they ended in death (B,) bool."""
    dreams = np.arange(len(noise))  # the dream in each row of the batch
    lengths = np.full(len(noise), max_steps, dtype=np.int64)
    deaths = np.zeros(len(noise), dtype=bool)
    for first in range(0, max_steps, COMPACT_EVERY):
        window = min(COMPACT_EVERY, max_steps - first)
        fatal = torch.stack([batch.step(*noise.draw()) for _ in range(window)]).cpu().numpy()  # (window, B)
        dead = fatal.any(axis=0)
        lengths[dreams[dead]] = first + fatal[:, dead].argmax(axis=0) + 1
        deaths[dreams[dead]] = True
        if dead.all():
            break
        if dead.any():
            alive = torch.from_numpy(np.flatnonzero(~dead))
            dreams = dreams[~dead]
            batch.select(alive)
            noise.select(alive)
    return lengths, deaths


class Product:
    """x @ weight.T + bias, with the product in its own type and the sum in that of the bias."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self.bias = bias  # (out,)
        # Nothing is gained from a product in fp32 when everything around it is fp64.
        self.dtype = bias.dtype if dtype == torch.float32 else dtype
        self.weight = weight.T.contiguous().to(self.dtype)  # (in, out)
        self._outputs = self._narrow = bias.new_empty(0)

    def reserve(self, rows: int) -> None:
        """Set aside memory for results of up to `rows` rows."""
        self._outputs = self.bias.new_empty(rows, len(self.bias))
        self._narrow = self._outputs.to(self.dtype)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Map (B, in) to (B, out); the result is overwritten by the next call."""
        outputs = self._outputs[: len(inputs)]
        if self.dtype == self.bias.dtype:
            return torch.addmm(self.bias, inputs, self.weight, out=outputs)
        narrow = torch.mm(inputs.to(self.dtype), self.weight, out=self._narrow[: len(inputs)])
        return torch.add(narrow, self.bias, out=outputs)


class DreamBatch:
    """B dreams as rows of one matrix, [c, h, z, a, restart]: what M multiplies and what controllers see are slices."""

    def __init__(self, memory: MDNRNN, options: DreamOptions) -> None:
        self.sizes, self.options = memory.options, options
        hidden, latent, action = self.sizes.hidden_size, self.sizes.latent_size, self.sizes.action_size
        self.latent = slice(2 * hidden, 2 * hidden + latent)
        self.action = slice(2 * hidden + latent, 2 * hidden + latent + action)
        self.width = 2 * hidden + latent + action + self.sizes.restart_input
        self.gates = Product(*fused_gates(memory), options.products)
        self.head = Product(memory.head.weight.detach(), memory.head.bias.detach(), options.products)

    def begin(self, latents: Tensor, weights: Tensor) -> None:
        """Start dreams at latents (B, Z), each with its controller (B, D), and no memory."""
        self.rows = self.gates.bias.new_zeros(len(latents), self.width)
        self.rows[:, self.latent] = latents
        self.rows[:, self.action.stop :] = 1
        matrix, bias = split_weights(weights.to(self.rows), self.options.controller, self.sizes.action_size)
        self.matrix, self.bias = self._in_row_order(matrix), bias  # (B, A, F), (B, A)
        self.gates.reserve(len(latents))
        self.head.reserve(len(latents))

    def _in_row_order(self, matrix: Tensor) -> Tensor:
        """Controllers are ordered z, c, h; rows are ordered c, h, z."""
        latent = self.sizes.latent_size
        return torch.cat([matrix[..., latent:], matrix[..., :latent]], dim=-1)

    def select(self, rows: Tensor) -> None:
        """Keep `rows` (indices): the others are over."""
        rows = rows.to(self.rows.device)
        self.rows, self.matrix = self.rows[rows], self.matrix[rows]
        self.bias = None if self.bias is None else self.bias[rows]

    def step(self, uniform: Tensor, normal: Tensor) -> Tensor:
        """Dream one step on; returns which actions were fatal, (B,) bool."""
        self.rows[:, self.action] = self._actions()
        hidden = self._remember()
        prediction = split_outputs(self.head(hidden), self.sizes)
        self.rows[:, self.latent] = sample_mixture(prediction.mixture, self.options.temperature, uniform, normal)
        self.rows[:, self.action.stop :] = 0
        if prediction.done_logit is None:
            return torch.zeros(len(hidden), dtype=torch.bool, device=hidden.device)
        return prediction.done_logit > 0

    def _actions(self) -> Tensor:
        """What the controllers do, (B, A)."""
        seen = self.rows[:, self.latent.stop - self.matrix.shape[-1] : self.latent.stop]  # (B, F)
        actions = torch.linalg.vecdot(seen[:, None], self.matrix)
        return (actions if self.bias is None else actions + self.bias).tanh_()

    def _remember(self) -> Tensor:
        """The LSTM's step on [h, z, a, restart]; returns the new hidden state (B, H), a view of the rows."""
        size = self.sizes.hidden_size
        cell, hidden = self.rows[:, :size], self.rows[:, size : 2 * size]
        gates = self.gates(self.rows[:, size:])  # (B, 4H): input, forget, output, candidate
        input_gate, forget_gate, output_gate = gates[:, : 3 * size].sigmoid_().split(size, dim=1)
        cell.mul_(forget_gate).addcmul_(input_gate, gates[:, 3 * size :].tanh_())
        return torch.tanh(cell, out=hidden).mul_(output_gate)


def fused_gates(memory: MDNRNN) -> tuple[Tensor, Tensor]:
    """Weight (4H, H + I) on [h, z, a, restart] and bias (4H,) of the LSTM, gates ordered i, f, o, g.

    The three sigmoids come first, so that they are one operation.
    """
    weight = torch.cat([memory.weight_hh, memory.weight_ih], dim=1).detach()
    order = [0, 1, 3, 2]
    weights, biases = weight.chunk(4), memory.bias.detach().chunk(4)
    return torch.cat([weights[gate] for gate in order]), torch.cat([biases[gate] for gate in order])
