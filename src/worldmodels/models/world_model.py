"""V and M joined into a simulator (Ha & Schmidhuber 2018): what the agent can dream in.

Time alignment: a state holds z_t and the LSTM's state BEFORE (z_t, a_t) is consumed, which is what the controller sees.
`step` consumes (z_t, a_t, restart_t) and leaves z_{t+1}; its death logit and reward are those of a_t.
"""

from dataclasses import dataclass, fields
from typing import Protocol, Self

import torch
from torch import Tensor

from worldmodels.config.models import ControllerOptions
from worldmodels.models.controller import controller_features
from worldmodels.models.mdn_rnn import MDNRNN, LSTMState, sample_mixture


class FrameCoder(Protocol):
    """V, as far as a world model needs it."""

    def encode(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, Z) of observations (B, 3, 64, 64) in [0, 1]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Observations (B, 3, 64, 64) in [0, 1] of latents (B, Z)."""
        ...


class RowNoise(Protocol):
    """Random numbers of B rows, each from a stream of its own."""

    def draw(self) -> tuple[Tensor, Tensor]:
        """The next uniform numbers in [0, 1) and standard normal numbers of every row, (B, Z) each."""
        ...


@dataclass(frozen=True)
class TensorState:
    """Base of simulator states: a dataclass whose fields are tensors with a leading batch axis."""

    def select(self, rows: Tensor) -> Self:
        """The state of some rows: indices, or a mask (B,)."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def merge(self, rows: Tensor, other: Self) -> Self:
        """This state, with the rows of mask (B,) taken from `other`."""
        merged = {}
        for field in fields(self):
            own = getattr(self, field.name)
            mask = rows.view(-1, *[1] * (own.ndim - 1))
            merged[field.name] = torch.where(mask, getattr(other, field.name), own)
        return type(self)(**merged)


@dataclass(frozen=True)
class WorldModelState(TensorState):
    """Where B dreams are."""

    latent: Tensor  # (B, Z)
    cell: Tensor  # (B, H)
    hidden: Tensor  # (B, H)
    restart: Tensor  # (B,) 1 before the first step of an episode
    reward: Tensor  # (B,) of the last action
    death_logit: Tensor  # (B,) that the last action was fatal; > 0 is death


@dataclass(frozen=True)
class StartLatents:
    """Posteriors of recorded frames, from which dreams start: first frames, or any with M's state after what led there.

    Never a later frame without a state.
    """

    means: Tensor  # (N, Z)
    log_variances: Tensor  # (N, Z)
    state: LSTMState | None = None  # (N, H) each; None for first frames

    def draw(self, uniform: Tensor, normal: Tensor) -> tuple[Tensor, LSTMState | None]:
        """First latents (B, Z), and M's states there, or None before an episode.

        Latents are samples of the posterior of a frame that the first number of each row chooses.
        """
        frames = (uniform[:, 0] * len(self.means)).long().clamp_(max=len(self.means) - 1)  # (B,)
        latents = self.means[frames] + torch.exp(self.log_variances[frames] / 2) * normal
        return latents, LSTMState(*(part[frames] for part in self.state)) if self.state is not None else None


class WorldModel:
    """V and M as a `Simulator`. Death is p > 1/2 (appendix A.2). An M without a reward head gives 1 for every step, the
    last one included.

    vae: V; mdn_rnn: M; starts: where `start` begins, if it is used.
    """

    discrete = False

    def __init__(self, vae: FrameCoder, mdn_rnn: MDNRNN, starts: StartLatents | None = None) -> None:
        self.vae, self.mdn_rnn, self.starts = vae, mdn_rnn, starts
        options = mdn_rnn.options
        self.action_size, self.noise_size = options.action_size, options.latent_size
        self.latent_size, self.hidden_size = options.latent_size, options.hidden_size

    @property
    def device(self) -> torch.device:
        """Where M's weights are."""
        return self.mdn_rnn.bias.device

    @torch.no_grad()
    def start(self, rng: RowNoise) -> WorldModelState:
        """Begin one dream for each row of `rng`, on recorded frames. Takes one draw."""
        if self.starts is None:
            raise ValueError("this world model was made without start latents")
        return self.start_at(*self.starts.draw(*rng.draw()))

    def start_at(self, latents: Tensor, state: LSTMState | None = None) -> WorldModelState:
        """Begin at latents (B, Z): within an episode that left M in `state`, or before one."""
        hidden, cell = state or self.mdn_rnn.initial_state(len(latents))
        zeros = latents.new_zeros(len(latents))
        restart = torch.full_like(zeros, float(state is None))
        return WorldModelState(latents, cell, hidden, restart, zeros, torch.full_like(zeros, -torch.inf))

    @torch.no_grad()
    def observe(self, frames: Tensor, actions: Tensor, rng: RowNoise | None = None) -> WorldModelState:
        """Watch the first T + 1 frames of B episodes, and what was done there.

        frames (B, T + 1, 64, 64, 3) uint8, actions (B, T, A). With `rng`, latents are samples, one draw a frame;
        without, they are posterior means.
        """
        batch, steps = frames.shape[0], actions.shape[1]
        if frames.shape[1:] != (steps + 1, 64, 64, 3) or frames.dtype != torch.uint8:
            raise ValueError(f"frames must be (B, {steps + 1}, 64, 64, 3) uint8, not {tuple(frames.shape)}")
        observations = frames.flatten(0, 1).permute(0, 3, 1, 2).to(actions.dtype) / 255
        mean, log_variance = (part.unflatten(0, (batch, -1)) for part in self.vae.encode(observations))
        latents = mean  # (B, T + 1, Z)
        if rng is not None:
            normal = torch.stack([rng.draw()[1] for _ in range(steps + 1)], dim=1)
            latents = mean + torch.exp(log_variance / 2) * normal
        state = self.start_at(latents[:, -1])
        if steps == 0:
            return state
        restarts = latents.new_zeros(batch, steps)
        restarts[:, 0] = 1
        prediction, after = self.mdn_rnn(latents[:, :-1], actions, restarts)
        logit = state.death_logit if prediction.done_logit is None else prediction.done_logit[:, -1]
        ones = torch.ones_like(state.reward)
        reward = ones if prediction.reward is None else prediction.reward[:, -1]
        return WorldModelState(latents[:, -1], after.cell, after.hidden, 0 * ones, reward, logit)

    @torch.no_grad()
    def step(self, state: WorldModelState, action: Tensor, temperature: float, rng: RowNoise) -> WorldModelState:
        """Imagine one step with actions (B, A) in [-1, 1]. Takes one draw."""
        uniform, normal = rng.draw()
        prediction, after = self.mdn_rnn(
            state.latent[:, None],
            action[:, None],
            state.restart[:, None],
            LSTMState(state.hidden, state.cell),
        )
        mixture = type(prediction.mixture)(*(part[:, 0] for part in prediction.mixture))  # (B, K, Z)
        latent = sample_mixture(mixture, temperature, uniform, normal)
        logits = prediction.done_logit
        logit = torch.full_like(state.death_logit, -torch.inf) if logits is None else logits[:, 0]
        ones = torch.ones_like(state.reward)
        reward = ones if prediction.reward is None else prediction.reward[:, 0]
        return WorldModelState(latent, after.cell, after.hidden, 0 * ones, reward, logit)

    @torch.no_grad()
    def render(self, state: WorldModelState) -> Tensor:
        """Draw a state: frames (B, 64, 64, 3) uint8."""
        return self.render_latents(state.latent)

    @torch.no_grad()
    def render_latents(self, latents: Tensor) -> Tensor:
        """Draw latents (B, Z): frames (B, 64, 64, 3) uint8."""
        observations = self.vae.decode(latents).clamp(0, 1)  # (B, 3, 64, 64)
        return (observations * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def reward(self, state: WorldModelState) -> Tensor:
        """Reward (B,) of the last action."""
        return state.reward

    def done(self, state: WorldModelState) -> Tensor:
        """Whether the last action was fatal, (B,) bool: a threshold, not a draw."""
        return state.death_logit > 0

    def features(self, state: WorldModelState, inputs: ControllerOptions) -> Tensor:
        """What a controller with `inputs` sees of the state, (B, F)."""
        return controller_features(inputs, state.latent, state.cell, state.hidden)
