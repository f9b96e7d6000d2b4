"""The baselines that nobody reported: the next frame is the last real one, or the mean of all, whatever is done."""

from typing import NamedTuple

from torch import Tensor, nn

from worldmodels.config.acvp import CopyLastOptions
from worldmodels.models.video.network import Parts, VideoNetwork


class LastFrame(NamedTuple):
    """All that it remembers."""

    frame: Tensor  # (B, C, H, W)


class CopyLast(VideoNetwork):
    """A simulator without parameters."""

    Memory = LastFrame

    def __init__(self, options: CopyLastOptions) -> None:
        super().__init__(options)
        self.complete(nn.Identity(), 0)

    def initial_state(self, batch: int) -> LastFrame:
        """Zeros: the mean's frame."""
        options = self.options
        return LastFrame(self.mean.new_zeros(batch, options.channels, options.height, options.width))

    def prepare(self, observations: Tensor, actions: Tensor) -> list[Parts]:
        """See VideoNetwork."""
        return [{"frame": frame} for frame in observations.unbind(1)]

    def take_in(self, parts: Parts, memory: LastFrame) -> LastFrame:
        """See VideoNetwork."""
        return LastFrame(parts["frame"])

    def imagine(self, memory: LastFrame, actions: Tensor, observations: Tensor | None = None) -> LastFrame:
        """See VideoNetwork."""
        return memory if observations is None else LastFrame(observations)

    def code(self, memory: LastFrame) -> Tensor:
        """The frame itself; of the mean, what is left when the mean is taken off: nothing."""
        return memory.frame * 0 if self.options.shows == "mean-frame" else memory.frame


def build(options: CopyLastOptions) -> CopyLast:
    """A new one."""
    return CopyLast(options)
