"""What a recurrent simulator is trained to make small (Chiappa et al. 2017, section 3; equation 7 of its first draft)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodels.config.simulators import SimulatorTraining
from worldmodels.data.windows import Windows
from worldmodels.models.res.coders import class_error, squared_error
from worldmodels.models.res.network import RES
from worldmodels.models.res.transition import LSTMState


def warmed_up(network: RES, windows: Windows, steps: int, gradient_steps: int) -> LSTMState:
    """The state after the first `steps` real frames; gradients reach the last `gradient_steps` of them."""
    state = network.initial_state(len(windows.actions))
    blind = steps - gradient_steps
    with torch.no_grad():
        state = _observe(network, windows, 0, blind, state)
    return _observe(network, windows, blind, steps, state)


def _observe(network: RES, windows: Windows, first: int, last: int, state: LSTMState) -> LSTMState:
    return network.observe(network.observations(windows.frames[:, first:last]), windows.actions[:, first:last], state)


def simulator_losses(
    network: RES, windows: Windows, flags: Sequence[bool], state: LSTMState, training: SimulatorTraining
) -> tuple[dict[str, Tensor], LSTMState]:
    """Terms of the loss of a subsequence, and the state after it.

    windows: T steps or more, of which the first len(flags) are used. `frames` is the error summed over a frame's pixels,
    mean over batch and time; `reward` and `done`, where they are predicted, come with their weights.
    """
    steps = len(flags)
    observations = network.observations(windows.frames[:, : steps + 1])  # (B, T + 1, C, H, W)
    predictions, state = network(observations[:, :-1], windows.actions[:, :steps], flags, state)
    error = class_error if network.options.pixels == "two-class" else squared_error
    losses = {"frames": error(predictions.pixels.flatten(0, 1), observations[:, 1:].flatten(0, 1))}
    if predictions.rewards is not None:
        rewards = windows.rewards[:, :steps]
        losses["reward"] = training.reward_weight * F.mse_loss(predictions.rewards.float(), rewards)
    if predictions.done_logits is not None:
        ends = windows.dones[:, :steps].float()
        entropy = F.binary_cross_entropy_with_logits(predictions.done_logits.float(), ends)
        losses["done"] = training.done_weight * entropy
    return losses, state
