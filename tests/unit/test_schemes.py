"""Schemes of observed and predicted steps, against the paper's table; and how windows are cut for them."""

from typing import get_args

import pytest
import torch
from moving_dot import dot_source

from worldmodels.config.simulators import Scheme
from worldmodels.data.schemes import SCHEMES, observed_flags, steps_trained
from worldmodels.data.subsequences import subsequences


def shown(scheme, update, length=15, scale=1.0):
    return "".join("O" if flag else "P" for flag in observed_flags(scheme, update, length, scale))


@pytest.mark.parametrize(
    ("scheme", "update", "flags"),
    [
        ("0%PDT", 0, "O" * 15),
        ("33%PDT", 0, "O" * 10 + "P" * 5),
        ("0%-20%-33%PDT", 9_999, "O" * 15),
        ("0%-20%-33%PDT", 10_000, "O" * 12 + "P" * 3),
        ("0%-20%-33%PDT", 109_999, "O" * 12 + "P" * 3),
        ("0%-20%-33%PDT", 110_000, "O" * 10 + "P" * 5),
        ("46%PDT Alt.", 7, "OPOPOPOPOPOPOPO"),
        ("46%PDT", 7, "O" * 8 + "P" * 7),
        ("67%PDT", 7, "O" * 5 + "P" * 10),
        ("0%-100%PDT", 999, "O" * 15),
        ("0%-100%PDT", 1000, "P" * 15),
        ("100%PDT", 0, "P" * 15),
        ("Oh", 499_999, "O" * 10),
        ("Oh", 500_000, "PPP"),
        ("Oh", 749_999, "PPP"),
        ("Oh", 750_000, "PPPPP"),
    ],
)
def test_flags_are_the_tables(scheme, update, flags):
    assert shown(scheme, update) == flags


def test_open_implementations_flags():
    assert shown("60%PDT", 0, length=25) == "O" * 10 + "P" * 15
    assert shown("46%PDT", 0, length=15) == "O" * 8 + "P" * 7


def test_short_training_shortens_the_phases():
    assert shown("0%-100%PDT", 99, scale=0.1) == "O" * 15 and shown("0%-100%PDT", 100, scale=0.1) == "P" * 15


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("scale", [1.0, 0.000013])
def test_steps_trained_are_those_of_all_updates(scheme, scale):
    """Oh's phases have subsequences of their own."""
    updates = 40
    expected = sum(len(observed_flags(scheme, update, 15, scale)) for update in range(updates))
    assert steps_trained(scheme, updates, 15, scale) == expected
    if scheme == "Oh":
        assert expected == (40 * 10 if scale == 1 else 7 * 10 + 3 * 3 + 30 * 5)


def test_every_scheme_of_the_configuration_is_known():
    assert set(get_args(Scheme)) == set(SCHEMES)


def test_subsequences_cover_the_window_once_in_order_and_can_begin_in_its_middle():
    """Frames and actions stay side by side: a piece's last frame is the next one's first."""
    source = dot_source(2, 3 + 2 * 4, "pieces")
    windows = next(source(5))
    cut = subsequences(source, 3, 4, 2)
    pieces = cut(10)
    first, second = next(pieces), next(pieces)
    assert torch.equal(torch.cat([first.actions, second.actions], dim=1), windows.actions)
    assert torch.equal(torch.cat([first.frames, second.frames[:, 1:]], dim=1), windows.frames)
    assert torch.equal(first.frames[:, -1], second.frames[:, 0])
    late = cut(11)
    assert torch.equal(next(late).frames, second.frames)
    assert torch.equal(next(late).frames, next(pieces).frames)
