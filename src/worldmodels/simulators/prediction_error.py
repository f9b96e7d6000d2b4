"""How far a simulator's frames are from the real ones, step by step into the future: the same for every Simulator.

A simulator watches the first frames of a held-out window, then imagines on with the actions that were taken there and
never looks again. Horizon k is the k-th imagined frame. Errors are of frames as people see them, bytes over 255, so that
simulators with other preprocessing compare; what a simulator predicts outside of 0 to 255 is cut off first.

Normalisations, by the papers whose figures use them:

    res         squared error summed over rows and columns, mean over channels (Chiappa et al. 2017, appendix B)
    per-number  mean over rows, columns and channels: comparable between resolutions (Oh et al. 2015 call it MSE)
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldmodels.data.windows import Windows
from worldmodels.simulators.noise import RowStreams
from worldmodels.simulators.protocol import AnyState, Simulator

Normalisation = Literal["res", "per-number"]


COLUMNS = ("errors", "copy_last", "reward_errors", "reward_hits", "done_hits", "no_reward", "no_end")
"""What is known of each sequence at each horizon."""


class HorizonErrors(NamedTuple):
    """Errors of N sequences at horizons 1 to K, in the normalisation `per-number`."""

    errors: np.ndarray  # (N, K) float64
    copy_last: np.ndarray  # (N, K) of the last real frame, copied
    reward_errors: (
        np.ndarray | None
    )  # (N, K) squared, of what is predicted: rewards as the game gives them, or their sign
    reward_hits: np.ndarray | None  # (N, K) bool: the nearest whole number is right; None where none are predicted
    done_hits: np.ndarray | None  # (N, K) bool: the end, or none, was foretold
    frame_shape: tuple[int, int, int]  # (H, W, C)
    no_reward: np.ndarray | None = None  # (N, K) bool: what reward_hits would be if it always said that there is none
    no_end: np.ndarray | None = None  # (N, K) bool: the same of done_hits

    def normalised(self, values: np.ndarray, normalisation: Normalisation) -> np.ndarray:
        """`values` (..., K), which are `per-number`, in a paper's normalisation."""
        height, width, _ = self.frame_shape
        return values * (height * width) if normalisation == "res" else values


def horizon_errors(
    simulator: Simulator[AnyState],
    batches: Iterable[Windows],
    warm_up: int,
    horizon: int,
    words: tuple[str | int, ...] = ("horizon_errors",),
    temperature: float = 1.0,
) -> HorizonErrors:
    """Score `simulator` on all windows of `batches`: see `batch_errors`."""
    return joined(list(batch_errors(simulator, batches, warm_up, horizon, words, temperature)))


@torch.no_grad()
def batch_errors(
    simulator: Simulator[AnyState],
    batches: Iterable[Windows],
    warm_up: int,
    horizon: int,
    words: tuple[str | int, ...] = ("horizon_errors",),
    temperature: float = 1.0,
    first: int = 0,
) -> Iterator[HorizonErrors]:
    """Score `simulator` on the windows of each batch, of warm_up + horizon steps or more.

    warm_up: steps that are watched; the frame after them, the last real one, is seen too. words, and the batch's number, which
    begins at `first`: name of the random streams, one a sequence, of simulators that draw. Raises ValueError when a window
    is too short.
    """
    for number, windows in enumerate(batches, first):
        if windows.actions.shape[1] < warm_up + horizon:
            raise ValueError(f"windows of {windows.actions.shape[1]} steps are too short for {warm_up} + {horizon}")
        rows = [(*words, number, row) for row in range(len(windows.actions))]
        noise = RowStreams(rows, simulator.noise_size, simulator.device)
        on_device = Windows(*(part.to(simulator.device) for part in windows))
        columns = dict.fromkeys(COLUMNS) | _score(simulator, on_device, warm_up, horizon, noise, temperature)
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
    simulator: Simulator[AnyState], windows: Windows, warm_up: int, horizon: int, noise: RowStreams, temperature: float
) -> dict[str, np.ndarray]:
    """Columns (B, K) of one batch."""
    state = simulator.observe(windows.frames[:, : warm_up + 1], windows.actions[:, :warm_up], noise)
    last = windows.frames[:, warm_up]
    steps = []
    for step in range(warm_up, warm_up + horizon):
        state = simulator.step(state, windows.actions[:, step], temperature, noise)
        real = windows.frames[:, step + 1]
        scores = {"errors": frame_error(simulator.render(state), real), "copy_last": frame_error(last, real)}
        steps.append(scores | _outcome_scores(simulator, state, windows, step))
    return {name: torch.stack([scores[name] for scores in steps], dim=1).cpu().numpy() for name in steps[0]}


def _outcome_scores(simulator: Any, state: Any, windows: Windows, step: int) -> dict[str, Tensor]:
    """Scores (B,) of the reward and the end, where the simulator predicts them."""
    scores = {}
    if getattr(simulator, "predicts_reward", False):
        reward, real = simulator.reward(state).double(), windows.rewards[:, step].double()
        if getattr(simulator, "reward_target", "value") == "positive":
            real = (real > 0).double()  # it predicts the probability of this
        hits = reward.round() == real
        scores = {"reward_errors": (reward - real).square(), "reward_hits": hits, "no_reward": real == 0}
    if getattr(simulator, "predicts_done", False):
        ended = windows.dones[:, step]
        scores |= {"done_hits": simulator.done(state) == ended, "no_end": ~ended}
    return scores


def frame_error(frames: Tensor, real: Tensor) -> Tensor:
    """Mean squared error (B,) float64 of frames (B, H, W, C) uint8, on a scale of 0 to 1."""
    difference = frames.flatten(1).float() - real.flatten(1).float()
    return difference.div_(255).square_().mean(dim=1, dtype=torch.float64)


def error_rows(errors: HorizonErrors, normalisation: Normalisation) -> list[dict[str, float]]:
    """One row a horizon: mean error with its standard error over sequences, copy-last, and hits where there are any."""
    count = len(errors.errors)
    ours, copied = (errors.normalised(values, normalisation) for values in (errors.errors, errors.copy_last))
    deviations = ours.std(axis=0, ddof=1) if count > 1 else np.full(ours.shape[1], np.nan)
    rows = []
    for index in range(ours.shape[1]):
        row = {
            "horizon": index + 1,
            "error": float(ours[:, index].mean()),
            "standard_error": float(deviations[index] / np.sqrt(count)),
            "copy_last": float(copied[:, index].mean()),
            "sequences": count,
        }
        for name in ("reward_errors", "reward_hits", "done_hits"):
            values = getattr(errors, name)
            if values is not None:
                row[name] = float(values[:, index].mean())
        rows.append(row)
    return rows
