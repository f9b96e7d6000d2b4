"""Recurrent environment simulators (Chiappa et al. 2017): an action-conditioned LSTM between encoder and decoder.

Time alignment: see `models.video.network`. The decoder reads the hidden state alone.
"""

from torch import Tensor

from worldmodels.config.simulators import RESOptions
from worldmodels.config.video import convolved_sizes
from worldmodels.models.res.transition import ActionTransition, LSTMState
from worldmodels.models.video.coders import FrameDecoder, FrameEncoder
from worldmodels.models.video.first_weights import draw_he_weights
from worldmodels.models.video.network import Parts, VideoNetwork, outermost, step_by_step


class RES(VideoNetwork):
    """A recurrent environment simulator."""

    Memory = LSTMState

    def __init__(self, options: RESOptions) -> None:
        super().__init__(options)
        size, layers = (options.height, options.width), options.convolutions
        planes = options.actions if options.structure == "action-planes" else 0
        self.encoder = FrameEncoder(
            options.channels, size, layers, options.encoder_units, options.activation, planes=planes
        )
        self.observing = ActionTransition(options, options.feature_size)
        self.imagining: ActionTransition | None = None
        if options.separate_weights:
            sizes = {"frame": options.feature_size, "hidden": options.hidden_size, "zero": 0}
            self.imagining = ActionTransition(options, sizes[options.feedback])
        outputs = [options.channels, *(layer.channels for layer in layers[:-1])]
        sizes_of_planes = convolved_sizes(*size, layers)
        decoder = FrameDecoder(options.hidden_size, outputs, layers, sizes_of_planes, options.activation)
        self.complete(decoder, options.hidden_size)
        if options.first_weights == "he":
            draw_he_weights(self)
            for transition in filter(None, (self.observing, self.imagining)):
                transition.draw_he_weights()

    def initial_state(self, batch: int) -> LSTMState:
        """The state of no memory, zeros (B, H)."""
        zeros = self.mean.new_zeros(batch, self.options.hidden_size)
        return LSTMState(zeros, zeros.clone())

    def prepare(self, observations: Tensor, actions: Tensor) -> list[Parts]:
        """See VideoNetwork."""
        flat = outermost(actions)  # (T * B, A)
        features = self.encoder(self.centred(outermost(observations)), flat)
        return step_by_step(self.observing.prepare(features, flat), actions.shape[1])

    def take_in(self, parts: Parts, memory: LSTMState) -> LSTMState:
        """See VideoNetwork."""
        return self.observing(parts, memory)

    def imagine(self, memory: LSTMState, actions: Tensor, observations: Tensor | None = None) -> LSTMState:
        """See VideoNetwork."""
        encoded = self.one_hot(actions)
        features = None
        if self.options.feedback == "frame":
            seen = self.draw(memory) if observations is None else observations
            features = self.encoder(self.centred(seen), encoded)
        elif self.options.feedback == "hidden":
            features = memory.hidden
        transition = self.imagining or self.observing
        return transition(transition.prepare(features, encoded), memory)

    def code(self, memory: LSTMState) -> Tensor:
        """The hidden state, (B, H)."""
        return memory.hidden


def build(options: RESOptions) -> RES:
    """A new network of these sizes."""
    return RES(options)
