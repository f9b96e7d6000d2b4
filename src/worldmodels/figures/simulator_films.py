"""Frames of simulators for people: real and predicted ones in a grid, at one size, in colour."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PICTURE_HEIGHT = 252
"""3 times 84."""
GAP, CAPTION = 8, 28
MOST_IN_A_ROW = 5


def in_colour(frames: np.ndarray) -> np.ndarray:
    """Frames (..., H, W, 1 or 3) uint8 as (..., H, W, 3)."""
    return np.repeat(frames, 3, axis=-1) if frames.shape[-1] == 1 else frames


def enlarged(frame: np.ndarray, height: int = PICTURE_HEIGHT) -> Image.Image:
    """A frame (H, W, C) uint8 at a height, without smoothing, in the proportions of Atari's 210 rows and 160 columns."""
    return Image.fromarray(in_colour(frame)).resize((round(height * 160 / 210), height), Image.Resampling.NEAREST)


def in_grid(frames: Sequence[np.ndarray], captions: Sequence[str], footer: str) -> np.ndarray:
    """Frames of any sizes in rows of equal length, each under its caption, over a line of text: (H, W, 3) uint8, even sizes."""
    pictures = [enlarged(frame) for frame in frames]
    rows = math.ceil(len(pictures) / MOST_IN_A_ROW)
    columns = math.ceil(len(pictures) / rows)
    width, height = pictures[0].width, PICTURE_HEIGHT + CAPTION
    total = (width + GAP) * columns - GAP
    canvas = Image.new("RGB", (total + total % 2, height * rows + CAPTION), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        row, column = divmod(index, columns)
        left, top = column * (width + GAP), row * height
        canvas.paste(picture, (left, top + CAPTION))
        draw.text((left + width / 2, top + CAPTION / 2), caption, "black", font, anchor="mm")
    draw.text((4, height * rows + CAPTION / 2), footer, "black", font, anchor="lm")
    return np.asarray(canvas)


def prediction_film(
    real: Sequence[np.ndarray], predicted: Sequence[np.ndarray], names: Sequence[str], warm_up: int
) -> Iterator[np.ndarray]:
    """A film: the real game, and after it what each simulator sees and then imagines.

    real: for each simulator (T, H, W, C), all frames of one sequence at its resolution. predicted: (T - warm_up - 1, ...),
    the frames after the last real one that it saw.
    """
    for step in range(len(real[0])):
        ahead = step - warm_up
        shown = [own[step] if ahead < 1 else dream[ahead - 1] for own, dream in zip(real, predicted, strict=True)]
        footer = "watching the real game" if ahead < 1 else f"{ahead} step{'s' if ahead > 1 else ''} ahead"
        yield in_grid([real[0][step], *shown], ["real", *names], footer)


def agent_film(
    moments: Sequence[tuple[np.ndarray, np.ndarray, int, float]], name: str, chain_period: int
) -> Iterator[np.ndarray]:
    """A film: the real game beside what an agent sees of it, which a simulator imagines between real frames.

    moments: what is real and what the agent sees, (H, W, C) uint8; steps since the last real frame; and the score so far.
    """
    for real, seen, ahead, total in moments:
        footer = f"predicted, {ahead} of {chain_period - 1}" if ahead else "a real frame"
        yield in_grid([real, seen], ["real", f"seen: {name}"], f"{footer}, score {total:g}")
