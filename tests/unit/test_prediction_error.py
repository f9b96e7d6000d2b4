"""Error by horizon, on a simulator whose error is known by hand."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from moving_dot import SIZE, dot_frames, dot_windows, horizon_errors

from worldmodels.models.world_model import TensorState
from worldmodels.simulators.prediction_error import frame_error


@dataclass(frozen=True)
class DotState(TensorState):
    column: torch.Tensor  # (B,)
    reward_now: torch.Tensor  # (B,)


class KnownDot:
    """The toy emulator itself; with a `drift`, its dot is so many columns off from that horizon on."""

    noise_size, action_size, device = 1, 3, torch.device("cpu")
    predicts_reward = True

    def __init__(self, drift_from=10**9):
        self.drift_from = drift_from

    def observe(self, frames, actions, rng=None):
        self.steps = 0
        assert frames.shape[1] == actions.shape[1] + 1
        column = frames[:, -1, 3, :, 0].float().argmax(dim=1)
        return DotState(column, torch.zeros(len(frames)))

    def step(self, state, action, temperature, rng):
        self.steps += 1
        drift = int(self.steps == self.drift_from)
        return DotState(state.column + action - 1 + drift, (action == 2).float())

    def render(self, state):
        return dot_frames(state.column[:, None])[:, 0]

    def reward(self, state):
        return state.reward_now


def test_true_emulator_makes_no_error_so_actions_and_frames_are_aligned():
    errors = horizon_errors(KnownDot(), [dot_windows(4, 9, "a"), dot_windows(4, 9, "b")], 3, 6)
    assert errors.errors.shape == (8, 6) and not errors.errors.any()
    assert errors.reward_hits.all() and errors.done_hits is None
    assert errors.copy_last.any()


def test_who_always_says_that_there_is_no_reward_is_right_where_there_is_none():
    """The toy rewards going right, and nothing else."""
    windows = dot_windows(4, 9, "a")
    errors = horizon_errors(KnownDot(), [windows], 3, 6)
    assert np.array_equal(errors.no_reward, (windows.actions[:, 3:] != 2).numpy())
    assert 0 < errors.no_reward.mean() < 1 and errors.no_end is None
    assert np.array_equal(errors.rewarded, ~errors.no_reward) and np.array_equal(errors.reward_scores, errors.rewarded)


def test_errors_are_those_worked_out_by_hand():
    """A dot in the wrong column: 8 pixels are off by 200 of 255. From horizon 3 on only."""
    errors = horizon_errors(KnownDot(drift_from=3), [dot_windows(4, 9, "a")], 3, 6)
    wrong = 8 * (200 / 255) ** 2
    expected = np.array([0, 0, wrong, wrong, wrong, wrong]) / SIZE**2
    np.testing.assert_allclose(errors.errors, np.tile(expected, (4, 1)), rtol=1e-6)


def test_papers_normalisation_is_a_mean_over_channels_of_sums_over_pixels():
    """1/3 of the squared distance: for frames that differ by 255 everywhere, the number of pixels."""
    black, white = torch.zeros(1, 5, 7, 3, dtype=torch.uint8), torch.full((1, 5, 7, 3), 255, dtype=torch.uint8)
    assert frame_error(black, white).item() == 1
    squared_distance = ((black.float() - white.float()) / 255).square().sum().item()
    assert frame_error(black, white).item() * 5 * 7 == squared_distance / 3


def test_copy_last_is_right_while_nothing_moves():
    still = dot_windows(3, 9, "still", actions=torch.ones(3, 9, dtype=torch.long))
    assert not horizon_errors(KnownDot(), [still], 3, 6).copy_last.any()


def test_windows_that_are_too_short_are_refused():
    with pytest.raises(ValueError, match="too short for 3"):
        horizon_errors(KnownDot(), [dot_windows(3, 8, "short")], 3, 6)
