"""Films: pictures side by side under captions, as H.264 that plays in every browser."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import imageio.v2 as imageio  # type: ignore[import-untyped, unused-ignore]
import imageio_ffmpeg  # type: ignore[import-untyped, unused-ignore]
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from worldmodels.errors import UserError
from worldmodels.figures.wording import Wording
from worldmodels.runtime.files import atomic_path

SCALE = 4
"""A frame of 64 pixels is shown at 256."""
CAPTION_PIXELS = 32


def write_mp4(path: Path, pictures: Iterable[np.ndarray], fps: int = 35) -> None:
    """Write pictures (H, W, 3) uint8, of even height and width, as a film. Atomic.

    Raises UserError when there is no picture, or when ffmpeg left a film that is not whole, as on a full disk.
    """
    options = ["-preset", "medium", "-crf", "30", "-threads", "1", "-map_metadata", "-1", "-movflags", "+faststart"]
    with atomic_path(path) as temporary:
        writer: Any = imageio.get_writer(
            temporary, fps=fps, codec="libx264", pixelformat="yuv420p", macro_block_size=2, output_params=options
        )
        count = 0
        try:
            with writer:
                for picture in pictures:
                    writer.append_data(picture)
                    count += 1
        except OSError as error:  # ffmpeg ended before its last picture; its own words are on stderr
            raise UserError(_broken_film(path, count)) from error
        require_whole_film(temporary, path, count)


def require_whole_film(film: Path, path: Path, count: int) -> None:
    """Raise UserError unless `film`, which is to become `path`, holds `count` pictures, at least one.

    ffmpeg's exit status does not reach us, and a full disk cuts its film short.
    """
    try:
        found = imageio_ffmpeg.count_frames_and_secs(film)[0] if count else 0
    except RuntimeError:  # no film at all
        found = -1
    if not count or found != count:
        raise UserError(_broken_film(path, count) if count else f"{path} would be a film without a picture.")


def _broken_film(path: Path, count: int) -> str:
    return (
        f"ffmpeg did not write {path} to its end (picture {count}). Most often the disk is full, or the process was "
        "killed for memory. Free some and run the same command: only the films are made again."
    )


def compose(frames: Sequence[np.ndarray], captions: Sequence[str], footers: Sequence[str]) -> np.ndarray:
    """Frames (64, 64, 3) uint8 side by side, enlarged, each under its caption; below, a line of text for each or one for all."""
    large = [np.kron(frame, np.ones((SCALE, SCALE, 1), dtype=np.uint8)) for frame in frames]
    height, width = large[0].shape[:2]
    canvas = Image.new("RGB", (width * len(large) + 8 * (len(large) - 1), height + 2 * CAPTION_PIXELS), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(15 if len(footers) < len(large) else 12)
    for index, (picture, caption) in enumerate(zip(large, captions, strict=True)):
        left = index * (width + 8)
        canvas.paste(Image.fromarray(picture), (left, CAPTION_PIXELS))
        draw.text((left + width / 2, CAPTION_PIXELS / 2), caption, "black", font, anchor="mm")
    for index, footer in enumerate(footers):
        draw.text((6 + index * (width + 8), height + 1.5 * CAPTION_PIXELS), footer, "black", font, anchor="lm")
    return np.asarray(canvas)


def real_film(frames: np.ndarray, seen: np.ndarray, actions: np.ndarray, wording: Wording) -> Iterator[np.ndarray]:
    """The agent in the real game beside what V makes of it: frames and seen (T, 64, 64, 3) uint8, actions (T, A)."""
    for step, (frame, reconstruction, action) in enumerate(zip(frames, seen, actions, strict=True)):
        footer = f"{wording.step} {step}   {wording.describe_action(action)}"
        yield compose([frame, reconstruction], [wording.real, "what V sees"], [footer])


class Dreamt(NamedTuple):
    """A dream of T steps to be shown."""

    frames: np.ndarray  # (T, 64, 64, 3) uint8
    actions: np.ndarray  # (T, A)
    deaths: np.ndarray | None  # (T,) probability that the action was fatal; None of an M that does not predict it


def dream_film(dreams: Mapping[float, Dreamt], wording: Wording) -> Iterator[np.ndarray]:
    """The agent in its dreams, side by side, by temperature. One that has ended stays at its last step."""
    captions = [f"dream, tau = {temperature:.2f}" for temperature in dreams]
    for step in range(max(len(dream.actions) for dream in dreams.values())):
        shown = [(dream, min(step, len(dream.actions) - 1)) for dream in dreams.values()]
        yield compose(
            [dream.frames[at] for dream, at in shown], captions, [_told(dream, at, wording) for dream, at in shown]
        )


def _told(dream: Dreamt, step: int, wording: Wording) -> str:
    death = f"  p(death) {dream.deaths[step]:.2f}" if dream.deaths is not None else ""
    return f"{wording.step} {step}  {wording.describe_action(dream.actions[step])}{death}"
