"""Action-conditional video prediction (Oh et al. 2015): networks with an LSTM, and networks that see the last few frames.

Time alignment: see `models.video.network`. A step's action is kept in the memory, because in Oh's networks it acts only when
the memory is read: h after frames up to x_t, with a_t, is the code of x_{t+1}. In the open re-implementation's it comes before
the LSTM.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from worldmodels.config.acvp import ACVPOptions
from worldmodels.models.acvp.action import AppendedAction, FactoredTransform, GatedFeatures, NoAction
from worldmodels.models.acvp.coders import decoder_of, encoder_of
from worldmodels.models.acvp.initialisation import initialise
from worldmodels.models.acvp.lstm import ClippedLSTM
from worldmodels.models.video.network import Parts, VideoNetwork, outermost, step_by_step


class LSTMMemory(NamedTuple):
    """What a network with an LSTM carries."""

    hidden: Tensor  # (B, H)
    cell: Tensor  # (B, H)
    action: Tensor  # (B, A) one-hot, of the last step


class FrameMemory(NamedTuple):
    """What a network without one carries."""

    frames: Tensor  # (B, S * C, H, W), the last S observations, the newest last
    action: Tensor  # (B, A) one-hot, of the last step


def action_layer(options: ACVPOptions) -> nn.Module | None:
    """What joins memory (B, H) and action (B, A) into the code; None where the action came before the memory."""
    size, actions = options.memory_size, options.actions
    if options.action == "after":
        return FactoredTransform(size, actions, options.factors)
    if options.action == "appended":
        return AppendedAction(size, actions, options.activation)
    return NoAction(size) if options.action == "none" else None


class RecurrentACVP(VideoNetwork):
    """Oh's recurrent network, and the open re-implementation's two."""

    Memory = LSTMMemory

    def __init__(self, options: ACVPOptions) -> None:
        super().__init__(options)
        self.encoder = encoder_of(options)
        units = options.encoder_units
        self.gating: GatedFeatures | None = None
        if options.action == "before":
            self.gating = GatedFeatures(units, options.actions, options.factors, options.activation)
            units = options.factors
        self.lstm = ClippedLSTM(units, options.hidden_size, options.gate_gradient_clip)
        self.transform = action_layer(options)
        self.complete(decoder_of(options), options.memory_size)
        initialise(self, options)

    def initial_state(self, batch: int) -> LSTMMemory:
        """Zeros."""
        zeros = self.mean.new_zeros(batch, self.options.hidden_size)
        return LSTMMemory(zeros, zeros.clone(), self.mean.new_zeros(batch, self.options.actions))

    def prepare(self, observations: Tensor, actions: Tensor) -> list[Parts]:
        """See VideoNetwork."""
        flat = outermost(actions)  # (T * B, A)
        features = self.encoder(outermost(observations), flat)
        return step_by_step(self._parts(features, flat), actions.shape[1])

    def _parts(self, features: Tensor, actions: Tensor) -> Parts:
        """What the LSTM takes in. features: (B, Y), the encoder's or in their place the LSTM's own."""
        inputs = features if self.gating is None else self.gating(features, actions)
        return {"gates": self.lstm.inputs(inputs), "action": actions}

    def take_in(self, parts: Parts, memory: LSTMMemory) -> LSTMMemory:
        """See VideoNetwork."""
        hidden, cell = self.lstm(parts["gates"], memory.hidden, memory.cell)
        return LSTMMemory(hidden, cell, parts["action"])

    def imagine(self, memory: LSTMMemory, actions: Tensor, observations: Tensor | None = None) -> LSTMMemory:
        """See VideoNetwork."""
        encoded = self.one_hot(actions)
        if self.options.feedback == "hidden":
            return self.take_in(self._parts(memory.hidden, encoded), memory)
        seen = self.draw(memory) if observations is None else observations
        return self.take_in(self._parts(self.encoder(seen, encoded), encoded), memory)

    def code(self, memory: LSTMMemory) -> Tensor:
        """See VideoNetwork."""
        return memory.hidden if self.transform is None else self.transform(memory.hidden, memory.action)


class FeedForwardACVP(VideoNetwork):
    """Oh's feed-forward network and the baselines: all is computed when the memory, which is frames, is read."""

    Memory = FrameMemory

    def __init__(self, options: ACVPOptions) -> None:
        super().__init__(options)
        self.encoder = encoder_of(options)
        self.transform = action_layer(options)
        self.complete(decoder_of(options), options.memory_size)
        initialise(self, options)

    def initial_state(self, batch: int) -> FrameMemory:
        """Zeros: frames of nothing but the mean."""
        options = self.options
        frames = self.mean.new_zeros(batch, options.depth * options.channels, options.height, options.width)
        return FrameMemory(frames, self.mean.new_zeros(batch, options.actions))

    def prepare(self, observations: Tensor, actions: Tensor) -> list[Parts]:
        """See VideoNetwork."""
        pairs = zip(observations.unbind(1), actions.unbind(1), strict=True)
        return [{"frame": frame, "action": action} for frame, action in pairs]

    def take_in(self, parts: Parts, memory: FrameMemory) -> FrameMemory:
        """See VideoNetwork."""
        older = memory.frames[:, self.options.channels :]
        return FrameMemory(torch.cat([older, parts["frame"].to(older)], dim=1), parts["action"])

    def imagine(self, memory: FrameMemory, actions: Tensor, observations: Tensor | None = None) -> FrameMemory:
        """See VideoNetwork."""
        seen = self.draw(memory) if observations is None else observations
        return self.take_in({"frame": seen, "action": self.one_hot(actions)}, memory)

    def code(self, memory: FrameMemory) -> Tensor:
        """See VideoNetwork."""
        features = self.encoder(memory.frames, memory.action)
        assert self.transform is not None, "the options' check refuses actions before a memory that is frames"
        return self.transform(features, memory.action)


def build(options: ACVPOptions) -> VideoNetwork:
    """A new network of these sizes."""
    return RecurrentACVP(options) if options.memory == "lstm" else FeedForwardACVP(options)
