"""The window: pictures side by side, what they earned below, and the keys that are down."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from worldmodels.errors import UserError
from worldmodels.play.keyboard import Keyboard
from worldmodels.play.views import DreamView, View

HEIGHT = 384
"""Pixels of a picture in the window, at least; it is enlarged by a whole number."""
LINE, GAP = 28, 8
TEMPERATURE_STEP = 0.05
HELP = "arrows, space: play   r: another episode   - +: temperature   p: pause   esc: end"
INK, PAPER, DIM = (20, 20, 20), (245, 245, 245), (110, 110, 110)


def import_pygame() -> Any:
    """Load pygame without its greeting. Raises UserError where it is missing or finds no display."""
    import os

    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    try:
        import pygame
    except ImportError as error:
        raise UserError(f"playing needs pygame ({error}): pip install pygame-ce.") from None
    try:
        pygame.display.init()
    except pygame.error as error:
        raise UserError(
            f"there is no display to play on ({error}). On a remote machine: ssh -X, or a virtual one (xvfb-run)."
        ) from None
    driver = pygame.display.get_driver()
    if driver in ("offscreen", "dummy") and os.environ.get("SDL_VIDEODRIVER") != driver:
        raise UserError(
            "there is no display to play on. On a remote machine: ssh -X, or a virtual one (xvfb-run); "
            f"for a film without a window: SDL_VIDEODRIVER={driver}, with --film and --steps."
        )
    return pygame


class Window:
    """Shows `views` and moves them by the keyboard, `rate` steps a second. Use `play`."""

    def __init__(self, views: Sequence[View], keyboard: Keyboard, rate: float, title: str, seed: int) -> None:
        self._pygame = import_pygame()
        self.views, self.keyboard, self.rate, self.seed = views, keyboard, rate, seed
        self._pygame.font.init()
        self._pygame.display.set_caption(title)
        self._font = self._pygame.font.Font(None, 22)
        self.paused = False
        self.measured = 0.0  # steps a second, lately
        self._reset()
        sizes = [self._size(view) for view in views]
        width = max(sum(size[0] for size in sizes) + GAP * (len(sizes) - 1), 560)
        self._surface = self._pygame.display.set_mode((width, max(size[1] for size in sizes) + 3 * LINE))

    def play(self, steps: int | None = None) -> Iterator[np.ndarray]:
        """Play until the window is closed, or for so many steps; yields each picture of the window, (H, W, 3) uint8."""
        done = 0
        due = time.perf_counter()
        while (steps is None or done < steps) and self._listen():
            begin = time.perf_counter()
            if not self.paused:
                action = self.keyboard(self._keys_down())
                for view in self.views:
                    view.step(action)
                done += 1
            self._draw()
            yield self._pygame.surfarray.array3d(self._surface).swapaxes(0, 1)
            due = max(due + 1 / self.rate, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))
            self.measured += 0.1 * (1 / (time.perf_counter() - begin) - self.measured)

    def close(self) -> None:
        """Close it."""
        self._pygame.quit()

    def _reset(self) -> None:
        for view in reversed(self.views):  # a dream may begin where the real game stands
            view.reset(self.seed)

    def _listen(self) -> bool:
        """Obey the keys that are no actions; False when the player ends it."""
        pygame = self._pygame
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                return False
            if event.type != pygame.KEYDOWN:
                continue
            match pygame.key.name(event.key):
                case "escape" | "q":
                    return False
                case "r" | "return":
                    self.seed += 1
                    self._reset()
                case "p":
                    self.paused = not self.paused
                case "-" | "[-]":
                    self._warm(-TEMPERATURE_STEP)
                case "+" | "=" | "[+]":
                    self._warm(TEMPERATURE_STEP)
        return True

    def _warm(self, change: float) -> None:
        for view in self.views:
            if isinstance(view, DreamView):
                view.temperature = round(max(TEMPERATURE_STEP, view.temperature + change), 2)

    def _keys_down(self) -> set[str]:
        pygame = self._pygame
        pressed = pygame.key.get_pressed()
        names = {"left": pygame.K_LEFT, "right": pygame.K_RIGHT, "up": pygame.K_UP, "down": pygame.K_DOWN}
        return {name for name, code in {**names, "space": pygame.K_SPACE}.items() if pressed[code]}

    @staticmethod
    def _size(view: View) -> tuple[int, int]:
        height, width = view.picture.shape[:2]
        factor = max(1, -(-HEIGHT // height))
        return width * factor, height * factor

    def _draw(self) -> None:
        pygame, surface = self._pygame, self._surface
        surface.fill(PAPER)
        left = 0
        bottom = surface.get_height() - 2 * LINE
        for view in self.views:
            picture = pygame.surfarray.make_surface(view.picture.swapaxes(0, 1))
            size = self._size(view)
            surface.blit(pygame.transform.scale(picture, size), (left, LINE))
            self._write(self._heading(view), left + 6, 6, INK)
            self._write(self._standing(view), left + 6, bottom + 6, INK)
            left += size[0] + GAP
        self._write(f"{HELP}   {self.measured:.0f}/s", 6, bottom + LINE + 4, DIM)
        pygame.display.flip()

    def _heading(self, view: View) -> str:
        return f"{view.name}, temperature {view.temperature:.2f}" if isinstance(view, DreamView) else view.name

    def _standing(self, view: View) -> str:
        words = f"step {view.steps}"
        if view.total is not None:
            words += f"   reward {view.total:.1f}"
        return words + ("   over: press r" if view.over else "")

    def _write(self, words: str, x: int, y: int, ink: tuple[int, int, int]) -> None:
        self._surface.blit(self._font.render(words, True, ink), (x, y))
