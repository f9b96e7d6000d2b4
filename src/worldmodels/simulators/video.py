"""A simulator of video (RES, action-conditional video prediction, copy-last) as a `Simulator`: what it shows, rewards and ends, for B games at once.

Time alignment: a state is at frame x_t. Its memory holds what came before x_t; `step` takes in x_t with the action taken
there and leads to t + 1, whose frame, reward and end are what the memory then predicts. So the first step after
`observe` looks at the last real frame. From then on, a simulator that feeds frames back draws each of them, and the others draw
when asked.

Predictions are means: nothing is random but where `start` begins, and the temperature changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from worldmodels.config.models import ControllerOptions
from worldmodels.data.windows import Windows
from worldmodels.models.video.network import VideoNetwork
from worldmodels.models.world_model import RowNoise
from worldmodels.simulators.protocol import Origin


@dataclass(frozen=True)
class VideoState:
    """Where B games are."""

    memory: Any  # the network's NamedTuple of tensors (B, ...)
    observations: Tensor  # (B, C, H, W) of x_t; without rendering, of the last frame that was real
    real: Tensor  # (B,) bool: x_t is a real frame, which the memory has not taken in yet
    reward: Tensor  # (B,) of the last action, or the probability that it is positive; 0 without a reward head
    done_logit: Tensor  # (B,) that the last action ended the episode; > 0 is an end

    def select(self, rows: Tensor) -> Self:
        """The state of some rows: indices, or a mask (B,)."""
        return self._made_of(lambda own: own[rows])

    def merge(self, rows: Tensor, other: Self) -> Self:
        """This state, with the rows of mask (B,) taken from `other`."""
        return self._made_of(lambda own, new: where_rows(rows, new, own), other)

    def _made_of(self, combine: Callable[..., Tensor], *others: Self) -> Self:
        """A state whose every tensor is `combine` of this one's and the others'."""
        states: list[Self] = [self, *others]
        memories = zip(*(one.memory for one in states), strict=True)
        names = ("observations", "real", "reward", "done_logit")
        rest = {name: combine(*(getattr(one, name) for one in states)) for name in names}
        return type(self)(type(self.memory)(*(combine(*parts) for parts in memories)), **rest)


def where_rows(rows: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """`one` in the rows of mask (B,), and `other` in the rest: (B, ...)."""
    return torch.where(rows.view(-1, *[1] * (one.ndim - 1)), one, other)


class VideoSimulator:
    """A network in use: random slopes are their means.

    network: the trained simulator. starts: windows on whose first frames `start` begins, if it is used. origin: the file that it
    was read from.
    """

    noise_size = 1  # which of the windows a dream starts on
    discrete = True

    def __init__(self, network: VideoNetwork, starts: Windows | None = None, origin: Origin | None = None) -> None:
        self.network, self.starts, self.origin = network.eval(), starts, origin
        self.options = network.options
        self.action_size = self.options.actions
        self.renders_each_step = self.options.feedback == "frame"
        self.reward_target = self.options.reward_target
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
        if self.options.pixels != "two-class":
            return frames
        return self.network.frames(self.network.observations(frames))

    @torch.no_grad()
    def start(self, rng: RowNoise) -> VideoState:
        """Begin on the real frames of a random window in each row of `rng`. Takes one draw."""
        if self.starts is None:
            raise ValueError("this simulator was made without windows to start from")
        rows = (rng.draw()[0][:, 0] * len(self.starts.actions)).long().cpu()
        frames, actions = self.starts.frames[rows], self.starts.actions[rows]
        return self.observe(frames.to(self.device), actions.to(self.device))

    @torch.no_grad()
    def observe(self, frames: Tensor, actions: Tensor, rng: RowNoise | None = None) -> VideoState:
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
    def step(self, state: VideoState, action: Tensor, temperature: float, rng: RowNoise) -> VideoState:
        """Imagine one step with actions (B,) int64. Takes one draw, and has no use for it."""
        rng.draw()
        return self.advance(state, action)

    @torch.no_grad()
    def advance(self, state: VideoState, action: Tensor) -> VideoState:
        """`step` without a random stream."""
        self._check(action)
        memory = self._remember(state, action)
        real = torch.zeros_like(state.real)
        return self._state(memory, None if self.renders_each_step else state.observations, real)

    @torch.no_grad()
    def render(self, state: VideoState) -> Tensor:
        """Frames (B, H, W, C) uint8: the last real one after `observe`, drawn ones after steps."""
        return self.network.frames(self.predict(state))

    @torch.no_grad()
    def predict(self, state: VideoState) -> Tensor:
        """Frames before they are cut to bytes, (B, C, H, W): brightness less the mean, over 255, or probabilities."""
        if self.renders_each_step or bool(state.real.all()):
            return state.observations
        return where_rows(state.real, state.observations, self.network.draw(state.memory))

    def reward(self, state: VideoState) -> Tensor:
        """Reward (B,) of the last action, or with the target `positive` the probability that it is above 0.

        Raises ValueError when the simulator predicts none.
        """
        if self.network.reward_head is None:
            raise ValueError("this simulator was trained without predict_reward: it knows no rewards")
        return state.reward

    def done(self, state: VideoState) -> Tensor:
        """Whether the last action ended the episode, (B,) bool; never, where the simulator does not predict it."""
        return state.done_logit > 0

    @torch.no_grad()
    def features(self, state: VideoState, inputs: ControllerOptions) -> Tensor:
        """What a controller sees, (B, F): the code that frames are drawn from, with `z-c-h` after the cell state."""
        code = self.network.code(state.memory)
        if inputs.inputs != "z-c-h":
            return code
        if not hasattr(state.memory, "cell"):
            raise ValueError("this simulator has no cell state: use a controller with inputs z or z-h")
        return torch.cat([state.memory.cell, code], dim=1)

    def _remember(self, state: VideoState, action: Tensor) -> Any:
        """Take in what each row has: a frame, real or fed back, or nothing."""
        network, memory = self.network, state.memory
        shown = state.observations if self.renders_each_step else None
        if self.renders_each_step and getattr(network, "imagining", None) is None:
            return network.imagine(memory, action, shown)
        if not bool(state.real.any()):
            return network.imagine(memory, action, shown)
        seen = network.observe(state.observations[:, None], action[:, None], memory)
        if bool(state.real.all()):
            return seen
        imagined = network.imagine(memory, action, shown)
        return type(memory)(*(where_rows(state.real, *pair) for pair in zip(seen, imagined, strict=True)))

    def _state(self, memory: Any, observations: Tensor | None, real: Tensor) -> VideoState:
        """The state with this memory; without observations, they are drawn."""
        network = self.network
        none = real.to(network.mean.dtype) * 0
        reward = done_logit = None
        if observations is None or self.predicts_reward or self.predicts_done:
            code = network.code(memory)
            reward, done_logit = network.heads(code)
            observations = network.seen(network.pixels(code)) if observations is None else observations
        if reward is not None and self.reward_target == "positive":
            reward = reward.sigmoid()
        return VideoState(
            memory,
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
