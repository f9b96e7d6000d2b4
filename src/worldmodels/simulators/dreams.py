"""Scores of a population of controllers in the dream of M: tensor loops over population x rollouts.

Each thread runs a loop over its own share of the dreams, and torch works in it with one thread. That is faster than
one loop whose every operation is shared among threads: most operations are too short to share, and where another
program takes a core, all threads would wait for the slowest at each of them.

Time alignment: a controller sees z_t and (c, h) before M consumes (z_t, a_t, restart_t); then M says z_{t+1} and
whether a_t was fatal. Protocol of appendix A.4 and of the released code: a dream starts on a recorded first frame with no
state and restart = 1 (or, where the starts have states, within an episode); it ends when death is more likely than not, or
after `max_steps`. Reward is 1 for every step, or what M says where it has a reward head (Wellmer & Kwok 2021).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldmodels.config.models import ControllerOptions, MDNRNNOptions
from worldmodels.models.controller import controller_size, split_weights, squash
from worldmodels.models.mdn_rnn import MDNRNN, LSTMState, sample_mixture, split_outputs
from worldmodels.models.world_model import StartLatents
from worldmodels.runtime.workers import work_side_by_side
from worldmodels.simulators.noise import RowStreams, Words

COMPACT_EVERY = 8
"""Steps after which finished dreams leave the batch."""
SMALLEST_SHARE = 64
"""Dreams below which a thread of its own does not pay: matrix products of few rows are slow."""

CACHED_ROWS = 128
"""Rows whose gates fit a processor's second cache: a dozen passes over these are faster than over all rows."""


@dataclass(frozen=True)
class DreamOptions:
    """How controllers are scored in dreams."""

    controller: ControllerOptions
    temperature: float
    rollouts: int  # dreams of each controller
    max_steps: int = 2100
    dropout: float = 0.0  # share of the latent's numbers that M does not see at a step
    matmul_dtype: torch.dtype = torch.float32  # state and sampling stay in M's own type


class DreamScores(NamedTuple):
    """How dreams went: R of each of P controllers, or B in a row."""

    returns: np.ndarray  # (P, R) float64: the sum of rewards
    lengths: np.ndarray  # (P, R) int64, steps
    deaths: np.ndarray  # (P, R) bool; False is a timeout


def dream_words(words: Words, member: int, rollout: int) -> Words:
    """Name of the random stream of one dream."""
    return (*words, member, rollout)


def dream_returns(
    mdn_rnn: MDNRNN, weights: Tensor, starts: StartLatents, options: DreamOptions, words: Words
) -> DreamScores:
    """Dream R times with each of P controllers.

    weights: (P, D), flat controllers as `models.controller` orders them. starts: posteriors of recorded frames.
    words: name of the random stream, for example (stage, training seed, generation). A dream's numbers depend on
    these words, its member and its rollout, and on nothing else. Raises ValueError when D does not fit.
    """
    check_controllers(weights, mdn_rnn.options, options.controller)
    shape = (len(weights), options.rollouts)
    dreams = np.arange(shape[0] * shape[1])
    scores = DreamScores(*(np.empty(len(dreams), dtype) for dtype in (np.float64, np.int64, bool)))

    def dream(share: np.ndarray) -> None:
        members, rollouts = np.unravel_index(share, shape)
        names = [
            dream_words(words, int(member), int(rollout)) for member, rollout in zip(members, rollouts, strict=True)
        ]
        part = run_share(mdn_rnn, weights[members], starts, options, names)
        for values, own in zip(scores, part, strict=True):
            values[share] = own

    threads = torch.get_num_threads() if mdn_rnn.bias.device.type == "cpu" else 1
    shares = max(1, min(threads, len(dreams) // SMALLEST_SHARE))
    # Neighbours are rollouts of one member and last about as long: dealt out, they make shares of equal work.
    for _ in work_side_by_side(dream, [dreams[first::shares] for first in range(shares)], shares):
        pass
    return DreamScores(*(values.reshape(shape) for values in scores))


@torch.inference_mode()
def run_share(
    mdn_rnn: MDNRNN, weights: Tensor, starts: StartLatents, options: DreamOptions, names: list[Words]
) -> DreamScores:
    """Run dreams with controllers (B, D) and the random streams `names`; returns what `run_dreams` does."""
    noise = RowStreams(names, mdn_rnn.options.latent_size, mdn_rnn.bias.device, mdn_rnn.bias.dtype)
    batch = DreamBatch(mdn_rnn, options)
    batch.begin(*starts.draw(*noise.draw()), weights)
    return run_dreams(batch, noise, options.max_steps)


def check_controllers(weights: Tensor, mdn_rnn: MDNRNNOptions, controller: ControllerOptions) -> None:
    """Raise ValueError unless weights are (P, D) with D the size of such a controller, which must be linear."""
    if controller.hidden_units:
        raise ValueError("controllers with hidden units are for real environments: the dream engine takes linear ones")
    size = controller_size(controller, mdn_rnn.latent_size, mdn_rnn.hidden_size, mdn_rnn.action_size)
    if weights.ndim != 2 or weights.shape[1] != size:
        raise ValueError(f"controllers of shape {tuple(weights.shape)} must be (P, {size})")


def run_dreams(batch: "DreamBatch", noise: RowStreams, max_steps: int) -> DreamScores:
    """Run all dreams to their end; returns how they went, (B,) each."""
    dreams = np.arange(len(noise))  # the dream in each row of the batch
    lengths = np.full(len(noise), max_steps, dtype=np.int64)
    deaths = np.zeros(len(noise), dtype=bool)
    returns = np.zeros(len(noise))
    for first in range(0, max_steps, COMPACT_EVERY):
        window = min(COMPACT_EVERY, max_steps - first)
        steps = [batch.step(*noise.draw()) for _ in range(window)]
        fatal = torch.stack([step.fatal for step in steps]).cpu().numpy()  # (window, B)
        dead = fatal.any(axis=0)
        returns[dreams] += rewards_until_death(steps, fatal)
        lengths[dreams[dead]] = first + fatal[:, dead].argmax(axis=0) + 1
        deaths[dreams[dead]] = True
        if dead.all():
            break
        if dead.any():
            alive = torch.from_numpy(np.flatnonzero(~dead))
            dreams = dreams[~dead]
            batch.select(alive)
            noise.select(alive)
    return DreamScores(returns, lengths, deaths)


def rewards_until_death(steps: "list[DreamStep]", fatal: np.ndarray) -> np.ndarray:
    """Sums (B,) of the rewards of a window of steps, each dream's up to and with its fatal one. fatal: (window, B)."""
    counted = np.cumsum(fatal, axis=0) - fatal == 0  # (window, B): not dead before
    if steps[0].rewards is None:
        return counted.sum(axis=0)
    rewards = torch.stack([step.rewards for step in steps if step.rewards is not None]).double().cpu().numpy()
    return (rewards * counted).sum(axis=0)


class DreamStep(NamedTuple):
    """What one step of B dreams led to."""

    fatal: Tensor  # (B,) bool
    rewards: Tensor | None  # (B,); None where M has no reward head: 1 each


class MatrixProduct:
    """inputs @ weight in a type of its own; results are in that of the weight. They are overwritten by the next call."""

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        # "fp32" stands for M's own type, which in tests is fp64.
        self.weight_dtype = weight.dtype
        self.dtype = weight.dtype if dtype == torch.float32 else dtype
        self.weight = weight.contiguous().to(self.dtype)  # (in, out)
        self._outputs = self._narrow = weight.new_empty(0)

    def reserve(self, rows: int) -> None:
        """Set aside memory for results of up to `rows` rows."""
        self._outputs = self._outputs.new_empty(rows, self.weight.shape[1])
        self._narrow = self._outputs.to(self.dtype)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Map (B, in) to (B, out)."""
        return next(self.in_blocks(inputs, len(inputs)))

    def in_blocks(self, inputs: Tensor, rows: int) -> Iterator[Tensor]:
        """Map (B, in) to (B, out) in blocks of at most `rows` rows; each overwrites the one before."""
        if self.dtype == self.weight_dtype:
            yield from torch.mm(inputs, self.weight, out=self._outputs[: len(inputs)]).split(rows)
            return
        narrow = torch.mm(inputs.to(self.dtype), self.weight, out=self._narrow[: len(inputs)])
        for block in narrow.split(rows):
            yield self._outputs[: len(block)].copy_(block)


class DreamBatch:
    """B dreams as rows of one matrix, [c, 1, h, z, a, restart]: what M multiplies and what controllers see are slices.

    The column of ones carries all biases: into the LSTM's gates, into the head, and into the controllers.
    """

    def __init__(self, mdn_rnn: MDNRNN, options: DreamOptions) -> None:
        self.sizes, self.options = mdn_rnn.options, options
        hidden, latent, action = self.sizes.hidden_size, self.sizes.latent_size, self.sizes.action_size
        self.cell, self.hidden = slice(0, hidden), slice(hidden + 1, 2 * hidden + 1)
        self.latent = slice(self.hidden.stop, self.hidden.stop + latent)
        self.action = slice(self.latent.stop, self.latent.stop + action)
        self.ones = hidden
        self.width = self.action.stop + self.sizes.restart_input
        self.gates = MatrixProduct(gates_weight(mdn_rnn), options.matmul_dtype)
        self.head = MatrixProduct(head_weight(mdn_rnn), options.matmul_dtype)

    def begin(self, latents: Tensor, state: LSTMState | None, weights: Tensor) -> None:
        """Start dreams at latents (B, Z), each with its controller (B, D): within an episode that left M in
        `state`, or before one.
        """
        self.rows = latents.new_zeros(len(latents), self.width)
        self.rows[:, self.latent] = latents
        self.rows[:, self.ones] = 1
        if state is None:
            self.rows[:, self.action.stop :] = 1
        else:
            self.rows[:, self.hidden], self.rows[:, self.cell] = state
        # Controllers that do not see the cell state need none of its columns.
        self.seen = slice(0 if self.options.controller.inputs == "z-c-h" else self.ones, self.latent.stop)
        self.matrix = self._controllers(weights.to(latents))[..., self.seen].contiguous()
        self.gates.reserve(len(latents))
        self.head.reserve(len(latents))

    def _controllers(self, weights: Tensor) -> Tensor:
        """Flat controllers (B, D), in the order z, c, h, bias, as matrices (B, A, C) on the columns [c, 1, h, z]."""
        matrix, bias = split_weights(weights, self.options.controller, self.sizes.action_size)
        columns = matrix.new_zeros(*matrix.shape[:2], self.latent.stop)
        places = {"z": [self.latent], "z-h": [self.latent, self.hidden], "z-c-h": [self.latent, self.cell, self.hidden]}
        first = 0
        for place in places[self.options.controller.inputs]:
            last = first + place.stop - place.start
            columns[..., place] = matrix[..., first:last]
            first = last
        if bias is not None:
            columns[..., self.ones] = bias
        return columns

    def select(self, rows: Tensor) -> None:
        """Keep `rows` (indices): the others are over."""
        rows = rows.to(self.rows.device)
        self.rows, self.matrix = self.rows[rows], self.matrix[rows]

    def step(self, uniform: Tensor, normal: Tensor) -> DreamStep:
        """Dream one step on."""
        outputs = torch.bmm(self.matrix, self.rows[:, self.seen, None])  # (B, A, 1)
        self.rows[:, self.action] = squash(outputs.squeeze(-1), self.options.controller)
        if self.options.dropout:
            self.rows[:, self.latent].mul_(dropout_factors(uniform, self.options.dropout))
        self._remember()
        outputs = self.head(self.rows[:, self.ones : self.hidden.stop])
        prediction = split_outputs(outputs, self.sizes)
        self.rows[:, self.latent] = sample_mixture(prediction.mixture, self.options.temperature, uniform, normal)
        self.rows[:, self.action.stop :] = 0
        rewards = prediction.reward.clone() if prediction.reward is not None else None  # outputs are overwritten
        if prediction.done_logit is None:
            return DreamStep(torch.zeros(len(outputs), dtype=torch.bool, device=outputs.device), rewards)
        return DreamStep(prediction.done_logit > 0, rewards)

    def _remember(self) -> None:
        """The LSTM's step: c and h of the rows take in [1, h, z, a, restart].

        tanh(x) is taken as 2 sigmoid(2x) - 1, which torch computes in a third of the time of its own tanh.
        """
        blocks = self.gates.in_blocks(self.rows[:, self.ones :], CACHED_ROWS)
        for some, gates in zip(self.rows.split(CACHED_ROWS), blocks, strict=True):
            cell, hidden = some[:, self.cell], some[:, self.hidden]
            input_gate, forget_gate, output_gate, half_candidate = gates.sigmoid_().chunk(4, dim=1)
            candidate = half_candidate.mul_(2).sub_(1)
            cell.mul_(forget_gate).addcmul_(input_gate, candidate)
            torch.mul(cell, 2, out=hidden).sigmoid_().mul_(2).sub_(1).mul_(output_gate)


def dropout_factors(uniform: Tensor, share: float) -> Tensor:
    """Factors (B, Z) of the latent's numbers: 0 for a random `share` of them, and more than 1 for the rest.

    They come from the low ten bits of uniform numbers (B, Z), whose high bits choose the components of the mixture.
    """
    low_bits = (uniform * 2**14) % 1
    return (low_bits >= share).to(uniform) / (1 - share)


def gates_weight(mdn_rnn: MDNRNN) -> Tensor:
    """Weight (1 + H + I, 4H) of the LSTM on [1, h, z, a, restart], gates ordered i, f, o, 2g.

    The candidate g is doubled (exactly, in any type), so that one sigmoid serves all four: see DreamBatch._remember.
    """
    weight = torch.cat([mdn_rnn.bias[:, None], mdn_rnn.weight_hh, mdn_rnn.weight_ih], dim=1).detach()
    input_gate, forget_gate, candidate, output_gate = weight.chunk(4)
    return torch.cat([input_gate, forget_gate, output_gate, 2 * candidate]).T


def head_weight(mdn_rnn: MDNRNN) -> Tensor:
    """Weight (1 + H, outputs) of the head on [1, h]."""
    return torch.cat([mdn_rnn.head.bias[:, None], mdn_rnn.head.weight], dim=1).detach().T
