"""Windows: what every simulator of video is trained on, a batch of short unbroken pieces of episodes.

Time is aligned thus: frames[:, t] is observed, actions[:, t] is taken there, rewards[:, t] and dones[:, t] follow it,
and frames[:, t + 1] is its result. A window never crosses an episode's end, so only its last step can be an end.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Windows(NamedTuple):
    """B windows of T steps: T + 1 frames and the T actions between them."""

    frames: Tensor  # (B, T + 1, H, W, C) uint8; C is 3 for colour, 1 for grey
    actions: Tensor  # (B, T) int64, indices into the data set's action set
    rewards: Tensor  # (B, T) float32, as the game gives them
    dones: Tensor  # (B, T) bool, true where the episode ended with this step
