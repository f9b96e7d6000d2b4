"""How far a simulator's frames are from the real ones, step by step into the future: the same for every Simulator.

A simulator watches the first frames of a held-out window, then imagines on with the actions that were taken there and
never looks again. Horizon k is the k-th imagined frame. Errors are of frames as people see them, bytes over 255, so that
simulators with other preprocessing compare; what a simulator predicts outside of 0 to 255 is cut off first.

They are `per-number`: squared, and the mean over rows, columns and channels, so that resolutions compare (Oh et al. 2015 call
it MSE). Times rows and columns, they are those of Chiappa et al. 2017 (appendix B).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldmodels.data.windows import Windows
from worldmodels.simulators.noise import RowStreams
from worldmodels.simulators.protocol import AnyState, Simulator

COLUMNS = ("errors", "copy_last", "reward_hits", "done_hits", "no_reward", "no_end", "reward_scores", "rewarded")
"""What is known of each sequence at each horizon."""


class HorizonErrors(NamedTuple):
    """Errors of N sequences at horizons 1 to K, `per-number`, and what was foretold."""

    errors: np.ndarray  # (N, K) float64
    copy_last: np.ndarray  # (N, K) of the last real frame, copied
    reward_hits: np.ndarray | None  # (N, K) bool: the nearest whole number is right; None where none are predicted
    done_hits: np.ndarray | None  # (N, K) bool: the end, or none, was foretold
    frame_shape: tuple[int, int, int]  # (H, W, C)
    no_reward: np.ndarray | None = None  # (N, K) bool: what reward_hits would be if it always said that there is none
    no_end: np.ndarray | None = None  # (N, K) bool: the same of done_hits
    reward_scores: np.ndarray | None = None  # (N, K) float32: the predicted reward, or probability of one above 0
    rewarded: np.ndarray | None = None  # (N, K) bool: the reward was above 0


@torch.no_grad()
def batch_errors(
    simulator: Simulator[AnyState],
    batches: Iterable[Windows],
    warm_up: int,
    horizon: int,
    first: int = 0,
) -> Iterator[HorizonErrors]:
    """Score `simulator` on the windows of each batch, of warm_up + horizon steps or more.

    warm_up: steps that are watched; the frame after them, the last real one, is seen too. first: the first batch's number, which
    is in the name of the random streams, one a sequence, of simulators that draw. Raises ValueError when a window is too short.
    """
    for number, windows in enumerate(batches, first):
        if windows.actions.shape[1] < warm_up + horizon:
            raise ValueError(f"windows of {windows.actions.shape[1]} steps are too short for {warm_up} + {horizon}")
        rows = [("horizon_errors", number, row) for row in range(len(windows.actions))]
        noise = RowStreams(rows, simulator.noise_size, simulator.device)
        on_device = Windows(*(part.to(simulator.device) for part in windows))
        columns = dict.fromkeys(COLUMNS) | _score(simulator, on_device, warm_up, horizon, noise)
        height, width, channels = windows.frames.shape[2:]
        yield HorizonErrors(**columns, frame_shape=(height, width, channels))  # type: ignore[arg-type]


def joined(parts: Sequence[HorizonErrors]) -> HorizonErrors:
    """The errors of all parts' sequences, in their order."""
    columns = {
        name: None if getattr(parts[0], name) is None else np.concatenate([getattr(part, name) for part in parts])
        for name in COLUMNS
    }
    return HorizonErrors(**columns, frame_shape=parts[0].frame_shape)  # type: ignore[arg-type]


def _score(
    simulator: Simulator[AnyState], windows: Windows, warm_up: int, horizon: int, noise: RowStreams
) -> dict[str, np.ndarray]:
    """Columns (B, K) of one batch."""
    state = simulator.observe(windows.frames[:, : warm_up + 1], windows.actions[:, :warm_up], noise)
    last = windows.frames[:, warm_up]
    steps = []
    for step in range(warm_up, warm_up + horizon):
        state = simulator.step(state, windows.actions[:, step], 1.0, noise)
        real = windows.frames[:, step + 1]
        scores = {"errors": frame_error(simulator.render(state), real), "copy_last": frame_error(last, real)}
        steps.append(scores | _outcome_scores(simulator, state, windows, step))
    return {name: torch.stack([scores[name] for scores in steps], dim=1).cpu().numpy() for name in steps[0]}


def _outcome_scores(simulator: Any, state: Any, windows: Windows, step: int) -> dict[str, Tensor]:
    """Scores (B,) of the reward and the end, where the simulator predicts them."""
    scores: dict[str, Tensor] = {}
    if getattr(simulator, "predicts_reward", False):
        reward, real = simulator.reward(state).double(), windows.rewards[:, step].double()
        scores = {"reward_scores": reward.float(), "rewarded": real > 0}
        if getattr(simulator, "reward_target", "value") == "positive":
            real = (real > 0).double()  # it predicts the probability of this
        scores |= {"reward_hits": reward.round() == real, "no_reward": real == 0}
    if getattr(simulator, "predicts_done", False):
        ended = windows.dones[:, step]
        scores |= {"done_hits": simulator.done(state) == ended, "no_end": ~ended}
    return scores


def frame_error(frames: Tensor, real: Tensor) -> Tensor:
    """Mean squared error (B,) float64 of frames (B, H, W, C) uint8, on a scale of 0 to 1."""
    difference = frames.flatten(1).float() - real.flatten(1).float()
    return difference.div_(255).square_().mean(dim=1, dtype=torch.float64)
