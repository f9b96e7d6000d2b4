"""Play a learned simulator with the keyboard: `python -m worldmodels play EXPERIMENT [--real] [--film FILE.mp4]`.

Arrows and space are the controls; r begins another episode, - and + change the temperature, p pauses, esc ends. With --real
the real game is played beside it by the same keys; a dream of Doom or of car racing then begins where the game stands.
"""

import argparse
import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from worldmodels.config.load import load_config
from worldmodels.errors import UserError
from worldmodels.figures.videos import write_mp4
from worldmodels.play.sources import Request, playable
from worldmodels.play.views import DreamView
from worldmodels.play.window import HELP, Window
from worldmodels.runtime.device import set_threads
from worldmodels.runtime.processor import available_cores


def main(arguments: list[str]) -> int:
    """Command line."""
    options = _parser().parse_args(arguments)
    _check(options)
    set_threads(available_cores())
    wanted = {name: getattr(options, name) for name in Request.__dataclass_fields__ if name != "experiment"}
    request = Request(Path(options.experiment).name, **wanted)
    with ExitStack() as closing:
        found = playable(load_config(Path("config.yaml")), request, closing)
        window = Window(found.views, found.keyboard, options.rate or found.rate, found.title, options.seed)
        closing.callback(window.close)
        print(f"{found.title}. {HELP}", flush=True)
        pictures = window.play(options.steps)
        if options.film is None:
            _finish(pictures)
        else:
            write_mp4(options.film, even(pictures), round(options.rate or found.rate))
        last = window.measured
    for view in found.views:
        earned = "" if view.total is None else f", reward {view.total:.1f}"
        dreamt = f" at temperature {view.temperature:.2f}" if isinstance(view, DreamView) else ""
        print(f"{view.name}: {view.steps} steps{dreamt}{earned}{', over' if view.over else ''}")
    print(f"{last:.0f} steps a second at the end")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raise UserError for a number that nothing can be played with, and for a film that is none."""
    for name, lowest in (("temperature", 0.0), ("rate", 0.0), ("steps", 0.0), ("training_seed", 0.0), ("seed", -1.0)):
        value = getattr(options, name)
        if value is not None and not lowest < value < math.inf:
            words = "0 or more" if lowest < 0 else "above 0"
            raise UserError(f"--{name.replace('_', '-')} is {value}, but it must be a finite number {words}.")
    if options.film is not None and options.film.suffix != ".mp4":
        raise UserError(f"--film is {options.film}, but it must be a file *.mp4.")


def _finish(pictures: Iterable[np.ndarray]) -> None:
    for _ in pictures:
        pass


def even(pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Pictures cut to an even height and width, which H.264 wants."""
    for picture in pictures:
        yield np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worldmodels play", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", help="An experiment of config.yaml that is built, such as doom-laptop")
    parser.add_argument("--simulator", help="Which row of an Atari experiment's table; its first by default")
    parser.add_argument("--game", help="Which of its games; its first by default")
    parser.add_argument("--training-seed", type=int, default=1)
    parser.add_argument("--temperature", type=float, help="Of the dream; that of its agent by default")
    parser.add_argument("--real", action="store_true", help="Play the real game beside it")
    parser.add_argument("--seed", type=int, default=1, help="Of the first episode")
    parser.add_argument("--rate", type=float, help="Steps a second; those of the real game by default")
    parser.add_argument("--steps", type=int, help="End after so many")
    parser.add_argument("--film", type=Path, help="Write what the window shows to this MP4 file")
    return parser
