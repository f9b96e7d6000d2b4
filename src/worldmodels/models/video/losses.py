"""What a simulator of video is trained to make small (Chiappa et al. 2017, section 3; equation 7 of its first draft)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodels.config.simulators import SimulatorTraining
from worldmodels.data.windows import Windows
from worldmodels.errors import UserError
from worldmodels.models.video.coders import class_error, squared_error
from worldmodels.models.video.network import VideoNetwork


def warmed_up(network: VideoNetwork, windows: Windows, steps: int, gradient_steps: int) -> Any:
    """The state after the first `steps` real frames; gradients reach the last `gradient_steps` of them."""
    state = network.initial_state(len(windows.actions))
    blind = steps - gradient_steps
    with torch.no_grad():
        state = _observe(network, windows, 0, blind, state)
    return _observe(network, windows, blind, steps, state)


def _observe(network: VideoNetwork, windows: Windows, first: int, last: int, state: Any) -> Any:
    return network.observe(network.observations(windows.frames[:, first:last]), windows.actions[:, first:last], state)


def simulator_losses(
    network: VideoNetwork, windows: Windows, flags: Sequence[bool], state: Any, training: SimulatorTraining
) -> tuple[dict[str, Tensor], Any]:
    """Terms of the loss of a subsequence, and the state after it.

    windows: T steps or more, of which the first len(flags) are used. `frames` is the error summed over a frame's pixels,
    mean over batch and time; `reward` and `done`, where they are predicted, come with their weights.
    """
    steps = len(flags)
    own = network.losses(windows, steps, state)
    if own is not None:
        return own
    observations = network.observations(windows.frames[:, : steps + 1])  # (B, T + 1, C, H, W)
    predictions, state = network(observations[:, :-1], windows.actions[:, :steps], flags, state)
    error = class_error if network.options.pixels == "two-class" else squared_error
    weight = 0.5 if training.halve_error else 1.0  # Oh et al.: 1 / (2 K) of the sum over K steps
    losses = {"frames": weight * error(predictions.pixels.flatten(0, 1), observations[:, 1:].flatten(0, 1))}
    if predictions.rewards is not None:
        rewards = windows.rewards[:, :steps]
        losses["reward"] = training.reward_weight * reward_error(
            predictions.rewards.float(), rewards, network.options.reward_target
        )
    if predictions.done_logits is not None:
        ends = windows.dones[:, :steps].float()
        entropy = F.binary_cross_entropy_with_logits(predictions.done_logits.float(), ends)
        losses["done"] = training.done_weight * entropy
    return losses, state


def reward_error(predicted: Tensor, rewards: Tensor, target: str) -> Tensor:
    """Mean squared error of rewards (B, T); or, with the target `positive`, mean cross-entropy of their signs, in nats.

    Raises UserError when a reward is not finite.
    """
    if not bool(rewards.isfinite().all()):
        found = rewards[~rewards.isfinite()][0].item()
        raise UserError(
            f"a reward in the training frames is {found}, which no reward head can learn. Collect that data set again, or set "
            "model.predict_reward: false."
        )
    if target == "value":
        return F.mse_loss(predicted, rewards)
    return F.binary_cross_entropy_with_logits(predicted, (rewards > 0).float())
