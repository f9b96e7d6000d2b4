"""What all simulators of video have in common: encoder, transition, decoder, and what is fed back.

Time alignment: a step at time t takes in frame x_t, real or predicted, and the action taken there; its memory is read as
the prediction of x_{t+1}, of the action's reward and of whether it ended the episode. Before any step the memory is 0.

A frame that is fed back makes the simulator prediction-dependent: it must draw each frame to imagine the next. One that
feeds back its hidden state, or nothing, draws only what somebody wants to see.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from worldmodels.data.windows import Windows
from worldmodels.models.video.activations import ACTIVATIONS
from worldmodels.models.video.coders import (
    classes_from_frames,
    frames_from_classes,
    frames_from_observations,
    observations_from_frames,
)

SMALLEST_SHARE = 0.001
"""A pixel that is never of a class counts as if it were this often: its logit stays finite."""

Parts = dict[str, Tensor]
"""What a step takes in, (B, ...) each, as far as it does not depend on the memory."""


class Predictions(NamedTuple):
    """What T steps say about the next frames of B windows."""

    pixels: Tensor  # (B, T, C, H, W), of x_{t+1}: brightness as in observations, or logits of the upper class
    rewards: Tensor | None  # (B, T); None without such a head. A logit where the target is `positive`
    done_logits: Tensor | None  # (B, T), > 0 where the end is more likely than not


class VideoNetwork(nn.Module, ABC):
    """A simulator of video. A subclass makes its encoder and its memory, and then calls `complete` with a decoder."""

    Memory: ClassVar[Any]
    """What it carries from step to step: a NamedTuple of tensors (B, ...)."""
    mean: Tensor  # (C,) or (H, W, C) of the frames, 0 to 255: travels with the weights
    decoder: nn.Module
    reward_head: nn.Module | None
    done_head: nn.Module | None

    def __init__(self, options: Any) -> None:
        super().__init__()
        self.options = options

    def complete(self, decoder: nn.Module, code_size: int) -> None:
        """Add what follows from the code: the decoder and the heads."""
        options = self.options
        self.decoder = decoder
        self.reward_head = self._head(code_size) if options.predict_reward else None
        self.done_head = self._head(code_size) if options.predict_done else None
        whole = (options.height, options.width, options.channels)
        self.register_buffer("mean", torch.zeros(whole if options.subtract == "pixel-mean" else whole[2:]))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @abstractmethod
    def initial_state(self, batch: int) -> Any:
        """The memory of nothing, zeros (B, ...)."""

    @abstractmethod
    def prepare(self, observations: Tensor, actions: Tensor) -> list[Parts]:
        """What each of T steps takes in, from observations (B, T, C, H, W) and one-hot actions (B, T, A), in one batch."""

    @abstractmethod
    def take_in(self, parts: Parts, memory: Any) -> Any:
        """The memory after an observed step."""

    @abstractmethod
    def imagine(self, memory: Any, actions: Tensor, observations: Tensor | None = None) -> Any:
        """The memory after an imagined step with actions (B,). observations: what `draw` made of the memory, if it did."""

    @abstractmethod
    def code(self, memory: Any) -> Tensor:
        """What decoder and heads read, (B, K)."""

    def losses(self, windows: Windows, steps: int, state: Any) -> tuple[dict[str, Tensor], Any] | None:
        """Terms of the loss of so many steps and the memory after them, of a network that learns from something else than
        the frames that it draws; None of the others."""
        return None

    def set_mean(self, frames: Tensor) -> None:
        """Take the mean that observations lack from the first `frames` (N, H, W, C) uint8."""
        if self.options.subtract != "nothing":
            seen = frames if self.options.pixels != "two-class" else 255 * (frames > self.options.threshold)
            mean = seen.float().mean(dim=0)  # (H, W, C)
            self.mean.copy_(mean if self.options.subtract == "pixel-mean" else mean.mean(dim=(0, 1)))

    def observations(self, frames: Tensor) -> Tensor:
        """Frames (..., H, W, C) uint8 as the network sees them, (..., C, H, W)."""
        if self.options.pixels == "two-class":
            return classes_from_frames(frames, self.options.threshold)
        return observations_from_frames(frames, self.mean)

    def frames(self, observations: Tensor) -> Tensor:
        """Observations (..., C, H, W) as people see them, (..., H, W, C) uint8."""
        if self.options.pixels == "two-class":
            return frames_from_classes(observations)
        return frames_from_observations(observations, self.mean)

    def one_hot(self, actions: Tensor) -> Tensor:
        """Actions (...) int64 as (..., A)."""
        return (actions[..., None] == torch.arange(self.options.actions, device=actions.device)).to(self.mean.dtype)

    def pixels(self, codes: Tensor) -> Tensor:
        """What codes (B, K) say of the pixels, (B, C, H, W): brightness, or logits of the upper class."""
        drawn = self.decoder(codes)
        if self._classes_less_mean:
            drawn = drawn + self._upper_share().logit(eps=SMALLEST_SHARE)
        return drawn.tanh() if self.options.pixels == "tanh" else drawn

    def centred(self, observations: Tensor) -> Tensor:
        """What an encoder sees of observations (..., C, H, W): of two classes with subtract: pixel-mean, how they differ
        from each pixel's share of the upper one. Observations of brightness lack their mean already.
        """
        return observations - self._upper_share() if self._classes_less_mean else observations

    @property
    def _classes_less_mean(self) -> bool:
        return self.options.pixels == "two-class" and self.options.subtract == "pixel-mean"

    def _upper_share(self) -> Tensor:
        """How often each pixel is of the upper class, (C, H, W)."""
        return self.mean.movedim(-1, 0) / 255

    def seen(self, pixels: Tensor) -> Tensor:
        """Such pixels as observations: themselves, or probabilities of the upper class."""
        return pixels.sigmoid() if self.options.pixels == "two-class" else pixels

    def draw(self, memory: Any) -> Tensor:
        """Observations (B, C, H, W) that a memory predicts: what is fed back."""
        return self.seen(self.pixels(self.code(memory)))

    def observe(self, observations: Tensor, actions: Tensor, memory: Any) -> Any:
        """Take in T observations (B, T, C, H, W) with their actions (B, T); nothing is drawn."""
        for parts in self.prepare(observations, self.one_hot(actions)) if actions.shape[1] else []:
            memory = self.take_in(parts, memory)
        return memory

    def forward(
        self, observations: Tensor, actions: Tensor, observed: Sequence[bool], memory: Any
    ) -> tuple[Predictions, Any]:
        """Unroll T steps and draw what each predicts.

        observations (B, T, C, H, W) and actions (B, T) of the steps; `observed` says of each whether it takes in its
        observation or what the simulator feeds back. Returns the predictions and the memory after the last step.
        """
        memories, codes, drawn = self._unroll(observations, actions, observed, memory)
        waiting = [step for step in range(len(observed)) if step not in drawn]
        joined = self.code(self.Memory(*map(torch.cat, zip(*(memories[step] for step in waiting), strict=True))))
        codes |= dict(zip(waiting, joined.chunk(len(waiting)), strict=True))
        drawn |= dict(zip(waiting, self.pixels(joined).chunk(len(waiting)), strict=True))
        steps = range(len(observed))
        pixels = torch.stack([drawn[step] for step in steps])  # (T, B, C, H, W)
        code = torch.stack([codes[step] for step in steps], dim=1)  # (B, T, K)
        return Predictions(pixels.transpose(0, 1), *self.heads(code)), memories[-1]

    def heads(self, codes: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Rewards, or their logits, and logits of the end (...) that codes (..., K) predict, where there are such heads."""
        return (
            None if self.reward_head is None else self.reward_head(codes).squeeze(-1),
            None if self.done_head is None else self.done_head(codes).squeeze(-1),
        )

    def _unroll(
        self, observations: Tensor, actions: Tensor, observed: Sequence[bool], memory: Any
    ) -> tuple[list[Any], dict[int, Tensor], dict[int, Tensor]]:
        """Memories after each step; codes and pixels that were drawn on the way, by the step that predicted them."""
        steps = [step for step, real in enumerate(observed) if real]
        one_hot = self.one_hot(actions)
        parts = self.prepare(observations[:, steps], one_hot[:, steps]) if steps else []
        prepared = dict(zip(steps, parts, strict=True))
        memories: list[Any] = []
        codes: dict[int, Tensor] = {}
        drawn: dict[int, Tensor] = {}
        for step, real in enumerate(observed):
            if real:
                memory = self.take_in(prepared[step], memory)
            elif self.options.feedback == "frame" and step > 0:
                codes[step - 1] = self.code(memory)
                drawn[step - 1] = self.pixels(codes[step - 1])
                memory = self.imagine(memory, actions[:, step], self.seen(drawn[step - 1]))
            else:
                memory = self.imagine(memory, actions[:, step])
            memories.append(memory)
        return memories, codes, drawn

    def _head(self, size: int) -> nn.Module:
        """A number of the code: the open two-class implementation of RES reads it from 128 units."""
        units = self.options.head_units
        if not units:
            return nn.Linear(size, 1)
        return nn.Sequential(nn.Linear(size, units), ACTIVATIONS[self.options.activation](), nn.Linear(units, 1))


def outermost(steps: Tensor) -> Tensor:
    """Steps (B, T, ...) as one batch (T * B, ...), time outermost: what is one step's then lies in one piece of memory."""
    return steps.transpose(0, 1).flatten(0, 1)


def step_by_step(parts: Parts, steps: int) -> list[Parts]:
    """Parts (T * B, ...) of T steps as one for each."""
    # Chunks, not indices: the gradient of each index would be as large as the whole.
    pieces = {name: part.chunk(steps) for name, part in parts.items()}
    return [{name: piece[step] for name, piece in pieces.items()} for step in range(steps)]
