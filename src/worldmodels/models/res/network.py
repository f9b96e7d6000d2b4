"""Recurrent environment simulators (Chiappa et al. 2017): encoder, transition, decoder, and what is fed back.

Time alignment: a step at time t takes in frame x_t, real or predicted, and the action taken there; its state is read as
the prediction of x_{t+1}, of the action's reward and of whether it ended the episode. Before any step the state is 0.

A frame that is fed back makes the simulator prediction-dependent: it must draw each frame to imagine the next. One that
feeds back its hidden state, or nothing, draws only what somebody wants to see.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from worldmodels.config.simulators import RESOptions
from worldmodels.models.res.activations import ACTIVATIONS
from worldmodels.models.res.coders import (
    FrameDecoder,
    FrameEncoder,
    classes_from_frames,
    frames_from_classes,
    frames_from_observations,
    observations_from_frames,
)
from worldmodels.models.res.transition import ActionTransition, LSTMState, Parts


class Predictions(NamedTuple):
    """What T steps say about the next frames of B windows."""

    pixels: Tensor  # (B, T, C, H, W), of x_{t+1}: brightness as in observations, or logits of the upper class
    rewards: Tensor | None  # (B, T); None without such a head
    done_logits: Tensor | None  # (B, T), > 0 where the end is more likely than not


class RES(nn.Module):
    """A recurrent environment simulator."""

    mean: Tensor  # (C,) or (H, W, C) of the frames, 0 to 255: travels with the weights

    def __init__(self, options: RESOptions) -> None:
        super().__init__()
        self.options = options
        self.encoder = FrameEncoder(options)
        self.observing = ActionTransition(options, options.feature_size)
        self.imagining: ActionTransition | None = None
        if options.separate_weights:
            sizes = {"frame": options.feature_size, "hidden": options.hidden_size, "zero": 0}
            self.imagining = ActionTransition(options, sizes[options.feedback])
        self.decoder = FrameDecoder(options)
        self.reward_head = _head(options) if options.predict_reward else None
        self.done_head = _head(options) if options.predict_done else None
        whole = (options.height, options.width, options.channels)
        self.register_buffer("mean", torch.zeros(whole if options.subtract == "pixel-mean" else whole[2:]))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def set_mean(self, frames: Tensor) -> None:
        """Take the mean that observations lack from the first `frames` (N, H, W, C) uint8."""
        mean = frames.float().mean(dim=0)  # (H, W, C)
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

    def initial_state(self, batch: int) -> LSTMState:
        """The state of no memory, zeros (B, H)."""
        zeros = self.mean.new_zeros(batch, self.options.hidden_size)
        return LSTMState(zeros, zeros.clone())

    def draw(self, hidden: Tensor) -> Tensor:
        """Observations (B, C, H, W) that hidden states (B, H) predict: what is fed back."""
        return self.seen(self.decoder(hidden))

    def seen(self, pixels: Tensor) -> Tensor:
        """The decoder's pixels as observations: themselves, or probabilities of the upper class."""
        return pixels.sigmoid() if self.options.pixels == "two-class" else pixels

    def observe(self, observations: Tensor, actions: Tensor, state: LSTMState) -> LSTMState:
        """Take in T observations (B, T, C, H, W) with their actions (B, T); nothing is drawn."""
        if actions.shape[1] == 0:
            return state
        for parts in self._prepare(observations, self.one_hot(actions)):
            state = self.observing(parts, state)
        return state

    def imagine(self, state: LSTMState, actions: Tensor, observations: Tensor | None = None) -> LSTMState:
        """Take one imagined step with actions (B,). observations: what `draw` made of the state, if it did already."""
        encoded = self.one_hot(actions)
        features = None
        if self.options.feedback == "frame":
            features = self.encoder(self.draw(state.hidden) if observations is None else observations, encoded)
        elif self.options.feedback == "hidden":
            features = state.hidden
        transition = self.imagining or self.observing
        return transition(transition.prepare(features, encoded), state)

    def forward(
        self, observations: Tensor, actions: Tensor, observed: Sequence[bool], state: LSTMState
    ) -> tuple[Predictions, LSTMState]:
        """Unroll T steps and draw what each predicts.

        observations (B, T, C, H, W) and actions (B, T) of the steps; `observed` says of each whether it takes in its
        observation or what the simulator feeds back. Returns the predictions and the state after the last step.
        """
        states, drawn = self._unroll(observations, actions, observed, state)
        hidden = torch.stack([one.hidden for one in states])  # (T, B, H)
        waiting = [step for step in range(len(observed)) if step not in drawn]
        rest = self.decoder(hidden[waiting].flatten(0, 1)).chunk(len(waiting))
        drawn |= dict(zip(waiting, rest, strict=True))
        pixels = torch.stack([drawn[step] for step in range(len(states))])  # (T, B, C, H, W)
        return Predictions(pixels.transpose(0, 1), *self.heads(hidden.transpose(0, 1))), states[-1]

    def heads(self, hidden: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Rewards and logits of the end (...) that hidden states (..., H) predict, where there are such heads."""
        return (
            None if self.reward_head is None else self.reward_head(hidden).squeeze(-1),
            None if self.done_head is None else self.done_head(hidden).squeeze(-1),
        )

    def _unroll(
        self, observations: Tensor, actions: Tensor, observed: Sequence[bool], state: LSTMState
    ) -> tuple[list[LSTMState], dict[int, Tensor]]:
        """States after each step, and the pixels that had to be drawn on the way, by the step that predicted them."""
        steps = [step for step, real in enumerate(observed) if real]
        prepared = dict(zip(steps, self._prepare(observations[:, steps], self.one_hot(actions[:, steps])), strict=True))
        states: list[LSTMState] = []
        drawn: dict[int, Tensor] = {}
        for step, real in enumerate(observed):
            if real:
                state = self.observing(prepared[step], state)
            elif self.options.feedback == "frame" and step > 0:
                drawn[step - 1] = self.decoder(state.hidden)
                state = self.imagine(state, actions[:, step], self.seen(drawn[step - 1]))
            else:
                state = self.imagine(state, actions[:, step])
            states.append(state)
        return states, drawn

    def _prepare(self, observations: Tensor, actions: Tensor) -> list[Parts]:
        """Encode all observations (B, T, C, H, W) in one batch; returns the parts of each step. actions: (B, T, A)."""
        if actions.shape[1] == 0:
            return []
        # Steps outermost: the parts of one step then lie in one piece of memory.
        flat = actions.transpose(0, 1).flatten(0, 1)  # (T * B, A)
        features = self.encoder(observations.transpose(0, 1).flatten(0, 1), flat)
        parts = self.observing.prepare(features, flat)
        # Chunks, not indices: the gradient of each index would be as large as the whole.
        steps = actions.shape[1]
        pieces = {name: part.chunk(steps) for name, part in parts.items()}
        return [{name: piece[step] for name, piece in pieces.items()} for step in range(steps)]


def _head(options: RESOptions) -> nn.Sequential:
    """A number of the hidden state: the open two-class implementation reads it from 128 units."""
    hidden, units = options.hidden_size, options.head_units
    return nn.Sequential(nn.Linear(hidden, units), ACTIVATIONS[options.activation](), nn.Linear(units, 1))
