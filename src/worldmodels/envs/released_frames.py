"""Frames as the released code of World Models made them, on which its published weights were trained.

The code divides a screen by 255, gives it to scipy's `imresize`, and takes (1 - x) * 255 of the result as bytes
(carracing/env.py, doomrnn/doomreal.py). `imresize` of floats first stretches the screen from its darkest to its brightest
number over 0 to 255, then resizes with Pillow and returns bytes; so (1 - x) * 255 leaves the range of bytes, and what is
left of it is (x - 1) modulo 256: normal colours one level darker, with black turned into 255.
"""

import numpy as np
from PIL import Image

LEVELS = np.arange(256) / 255.0


def released_frames(screens: np.ndarray, size: int = 64) -> np.ndarray:
    """Screens (N, h, w, 3) uint8, already cut, as the released code's frames (N, size, size, 3) uint8."""
    frames = [stretched(one).resize((size, size), Image.Resampling.BILINEAR) for one in screens]
    return np.stack([np.asarray(frame) for frame in frames]) - np.uint8(1)  # wraps: 0 becomes 255


def stretched(screen: np.ndarray) -> Image.Image:
    """A screen (h, w, 3) uint8 stretched over 0 to 255 as scipy's `bytescale` does; one of a single level becomes 0."""
    darkest, brightest = LEVELS[screen.min()], LEVELS[screen.max()]
    scale = 255.0 / ((brightest - darkest) or 1.0)
    table = (((LEVELS - darkest) * scale).clip(0, 255) + 0.5).astype(np.uint8)
    return Image.fromarray(screen).point(table.tolist() * 3)
