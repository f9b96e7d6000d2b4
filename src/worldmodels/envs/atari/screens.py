"""Screens at the resolutions that models see, made the same way for data sets and for agents that play.

A screen is 210 x 160 colour numbers. Smaller pictures are means over areas, as OpenCV's INTER_AREA makes them, in
integers: so the same on every machine, in every batch. Grey is ALE's luminance.
"""

import math
import re
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldmodels.errors import UserError

CACHED_PLANES = 32
"""Planes that are shrunk together on a CPU: three times as fast as 400, which would leave the processor's cache."""


class Resolution(NamedTuple):
    """How frames are made of screens."""

    grey: bool
    size: int | None  # height and width; None leaves the screen's own

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return 1 if self.grey else 3

    def shape(self, screen: tuple[int, int]) -> tuple[int, int, int]:
        """(H, W, C) of frames made of screens (h, w)."""
        height, width = screen if self.size is None else (self.size, self.size)
        return height, width, self.channels


def parse_resolution(name: str) -> Resolution:
    """'native', 'grey84', 'rgb96', 'grey': colour or grey, and the size if it is not the screen's own."""
    found = re.fullmatch(r"(rgb|grey)([1-9]\d{0,2})?|native", name)
    if found is None:
        raise UserError(f"there is no resolution '{name}'. Say native, grey84, rgb96, or another size of rgb or grey.")
    return Resolution(found[1] == "grey", int(found[2]) if found[2] else None)


def resolution_of_frames(height: int, width: int, channels: int) -> str:
    """Name of the resolution with such frames. Raises UserError when no data set gives them."""
    colour = "grey" if channels == 1 else "rgb"
    if (height, width) == (210, 160):
        return "grey" if colour == "grey" else "native"
    if height != width:
        raise UserError(
            f"no frames of {height}x{width} can be made of Atari's screens: set model.height and model.width to 210 and "
            "160, or to one size."
        )
    return f"{colour}{height}"


class GameFacts(NamedTuple):
    """A game, as a data set stores it or an emulator plays it, at a simulator's resolution."""

    name: str  # ALE's
    actions: int  # in the set
    frame_shape: tuple[int, ...]  # (H, W, C)


def look_up(screens: np.ndarray, table: np.ndarray) -> Tensor:
    """Screens (N, h, w) uint8 with each number replaced by its entry in `table` (256, C): (N, C, h, w) uint8.

    By Python's own bytes.translate, the fastest table look-up on a CPU: 3 times that of numpy's or torch's indexing.
    """
    content = screens.tobytes()
    planes = [np.frombuffer(content.translate(column.tobytes()), np.uint8) for column in table.T]
    shape = (len(screens), 1, *screens.shape[1:])
    return torch.from_numpy(np.concatenate([plane.reshape(shape) for plane in planes], axis=1))


def look_up_on_device(screens: Tensor, table: Tensor) -> Tensor:
    """As look_up, of tensors on a GPU: screens (N, h, w) uint8, table (256, C) uint8."""
    return torch.stack([column[screens.int()] for column in table.T], dim=1)


@cache
def area_weights(size: int, smaller: int) -> tuple[Tensor, int]:
    """How much of each pixel lies in each larger one: (short, long) integers for `long` pixels that make `short`.

    `size` pixels are groups of `long`, each group `short` larger pixels; also returns the weights' sum in each row.
    """
    shared = math.gcd(size, smaller)
    long, short = size // shared, smaller // shared  # a pixel is `short` units wide, a larger one `long`
    pixels, larger = np.arange(long) * short, np.arange(short)[:, None] * long
    overlap = np.minimum(pixels + short, larger + long) - np.maximum(pixels, larger)
    return torch.from_numpy(np.maximum(overlap, 0).astype(np.float32)), long


def shrink(planes: Tensor, size: int) -> Tensor:
    """Planes (..., h, w) uint8 as means over areas, (..., size, size) uint8, halves rounded up.

    All numbers are integers below 2^24, so that float32 holds them exactly and no order of sums matters.
    """
    single = planes.reshape(-1, *planes.shape[-2:])
    pieces = single.split(CACHED_PLANES) if planes.device.type == "cpu" else (single,)
    return torch.cat([_shrink(piece, size) for piece in pieces]).reshape(*planes.shape[:-2], size, size)


def _shrink(planes: Tensor, size: int) -> Tensor:
    """As shrink, of planes (N, h, w)."""
    count, height, width = planes.shape
    (rows, tall), (columns, wide) = area_weights(height, size), area_weights(width, size)
    rows, columns = rows.to(planes.device), columns.to(planes.device)
    lines = rows @ planes.reshape(-1, tall, width).float()  # (groups of rows, short, w)
    sums = (lines.reshape(-1, wide) @ columns.T).reshape(count, size, size)
    total = tall * wide
    return torch.floor((sums + total // 2) / total).to(torch.uint8)


def make_frames(planes: Tensor, size: int | None) -> Tensor:
    """Planes (N, C, h, w) uint8 as frames (N, H, W, C) uint8: a view whose memory has the channels first."""
    smaller = planes if size is None else shrink(planes, size)
    return smaller.permute(0, 2, 3, 1)
