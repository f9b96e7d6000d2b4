"""A recurrent environment simulator (RES) as a `Simulator`: what it shows, rewards and ends, for B games at once.

Time alignment: a state is at frame x_t. Its memory holds what came before x_t; `step` takes in x_t with the action taken
there and leads to t + 1, whose frame, reward and end are what the memory then predicts. So the first step after
`observe` looks at the last real frame. From then on, a simulator that feeds frames back draws each of them, and the others draw
when asked.

Predictions are means: nothing is random but where `start` begins, and the temperature changes nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from worldmodels.config.models import ControllerOptions
from worldmodels.data.windows import Windows
from worldmodels.models.res.files import load_res
from worldmodels.models.res.network import RES
from worldmodels.models.res.transition import LSTMState
from worldmodels.models.world_model import RowNoise, TensorState


@dataclass(frozen=True)
class RecurrentState(TensorState):
    """Where B games are."""

    hidden: Tensor  # (B, H)
    cell: Tensor  # (B, H)
    observations: Tensor  # (B, C, H, W) of x_t; without rendering, of the last frame that was real
    real: Tensor  # (B,) bool: x_t is a real frame, which the memory has not taken in yet
    reward: Tensor  # (B,) of the last action; 0 without a reward head
    done_logit: Tensor  # (B,) that the last action ended the episode; > 0 is an end


class RecurrentSimulator:
    """RES in evaluation: slopes are their means.

    network: the trained simulator. starts: windows on whose first frames `start` begins, if it is used.
    """

    noise_size = 1  # which of the windows a dream starts on

    def __init__(self, network: RES, starts: Windows | None = None) -> None:
        self.network, self.starts = network.eval(), starts
        self.options = network.options
        self.action_size = self.options.actions
        self.renders_each_step = self.options.feedback == "frame"
        self.predicts_reward, self.predicts_done = self.options.predict_reward, self.options.predict_done

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.network.mean.device

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of its frames."""
        return self.options.height, self.options.width, self.options.channels

    @property
    def parameters(self) -> int:
        """Numbers that were learned."""
        return sum(value.numel() for value in self.network.parameters())

    def seen(self, frames: Tensor) -> Tensor:
        """Frames (..., H, W, C) uint8 with no more in them than the simulator can tell apart: two classes, or all."""
        if self.options.pixels == "linear":
            return frames
        return self.network.frames(self.network.observations(frames))

    @torch.no_grad()
    def start(self, rng: RowNoise) -> RecurrentState:
        """Begin on the real frames of a random window in each row of `rng`. Takes one draw."""
        if self.starts is None:
            raise ValueError("this simulator was made without windows to start from")
        rows = (rng.draw()[0][:, 0] * len(self.starts.actions)).long().cpu()
        frames, actions = self.starts.frames[rows], self.starts.actions[rows]
        return self.observe(frames.to(self.device), actions.to(self.device))

    @torch.no_grad()
    def observe(self, frames: Tensor, actions: Tensor, rng: RowNoise | None = None) -> RecurrentState:
        """Warm up on real frames (B, T + 1, H, W, C) uint8 and actions (B, T) int64, T >= 0; nothing is drawn at random."""
        options = self.options
        wanted = (*actions.shape[:1], actions.shape[1] + 1, options.height, options.width, options.channels)
        if tuple(frames.shape) != wanted or frames.dtype != torch.uint8:
            raise ValueError(f"frames must be {wanted} uint8, not {tuple(frames.shape)} {frames.dtype}")
        self._check(actions)
        observations = self.network.observations(frames)
        memory = self.network.observe(observations[:, :-1], actions, self.network.initial_state(len(frames)))
        real = torch.ones(len(frames), dtype=torch.bool, device=self.device)
        return self._state(memory, observations[:, -1], real)

    @torch.no_grad()
    def step(self, state: RecurrentState, action: Tensor, temperature: float, rng: RowNoise) -> RecurrentState:
        """Imagine one step with actions (B,) int64. Takes one draw, and has no use for it."""
        rng.draw()
        return self.advance(state, action)

    @torch.no_grad()
    def advance(self, state: RecurrentState, action: Tensor) -> RecurrentState:
        """`step` without a random stream."""
        self._check(action)
        memory = self._remember(state, action)
        real = torch.zeros_like(state.real)
        if self.renders_each_step:
            return self._state(memory, self.network.draw(memory.hidden), real)
        return self._state(memory, state.observations, real)

    @torch.no_grad()
    def render(self, state: RecurrentState) -> Tensor:
        """Frames (B, H, W, C) uint8: the last real one after `observe`, drawn ones after steps."""
        return self.network.frames(self.predict(state))

    @torch.no_grad()
    def predict(self, state: RecurrentState) -> Tensor:
        """Frames before they are cut to bytes, (B, C, H, W): brightness less the mean, over 255, or probabilities."""
        if self.renders_each_step or bool(state.real.all()):
            return state.observations
        drawn = self.network.draw(state.hidden)
        return torch.where(state.real[:, None, None, None], state.observations, drawn)

    def reward(self, state: RecurrentState) -> Tensor:
        """Reward (B,) of the last action. Raises ValueError when the simulator predicts none."""
        if self.network.reward_head is None:
            raise ValueError("this simulator was trained without predict_reward: it knows no rewards")
        return state.reward

    def done(self, state: RecurrentState) -> Tensor:
        """Whether the last action ended the episode, (B,) bool; never, where the simulator does not predict it."""
        return state.done_logit > 0

    def features(self, state: RecurrentState, inputs: ControllerOptions) -> Tensor:
        """What a controller sees, (B, F): the hidden state, with `z-c-h` after the cell state."""
        return torch.cat([state.cell, state.hidden], dim=1) if inputs.inputs == "z-c-h" else state.hidden

    def _remember(self, state: RecurrentState, action: Tensor) -> LSTMState:
        """Take in what each row has: a frame, real or fed back, or nothing."""
        memory = LSTMState(state.hidden, state.cell)
        if self.renders_each_step and self.network.imagining is None:
            return self.network.imagine(memory, action, state.observations)
        if not bool(state.real.any()):
            return self.network.imagine(memory, action, state.observations if self.renders_each_step else None)
        seen = self.network.observe(state.observations[:, None], action[:, None], memory)
        if bool(state.real.all()):
            return seen
        imagined = self.network.imagine(memory, action, state.observations if self.renders_each_step else None)
        return LSTMState(*(torch.where(state.real[:, None], *pair) for pair in zip(seen, imagined, strict=True)))

    def _state(self, memory: LSTMState, observations: Tensor, real: Tensor) -> RecurrentState:
        reward, done_logit = self.network.heads(memory.hidden)
        none = memory.hidden.new_zeros(len(memory.hidden))
        return RecurrentState(
            memory.hidden,
            memory.cell,
            observations,
            real,
            none if reward is None else reward,
            none - torch.inf if done_logit is None else done_logit,
        )

    def _check(self, actions: Tensor) -> None:
        """Raise ValueError for an action outside the set. On a GPU that would cost more than the step."""
        if actions.device.type != "cpu" or actions.numel() == 0:
            return
        if actions.is_floating_point() or not 0 <= int(actions.min()) <= int(actions.max()) < self.action_size:
            raise ValueError(f"actions must be whole numbers from 0 to {self.action_size - 1}, the actions of the game")


def load_recurrent_simulator(path: Path, device: torch.device, starts: Windows | None = None) -> RecurrentSimulator:
    """Read a simulator from its weights file. Raises UserError when the file is damaged or of another kind."""
    return RecurrentSimulator(load_res(path).to(device), starts)


load = load_recurrent_simulator
"""See simulators/families.py."""
