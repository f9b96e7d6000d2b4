"""The emulator's colours: which colour, and which grey, each number on a screen stands for.

The television chip has 128 colours, with even numbers. The table is NTSC's, read off ale-py's own pictures of all its
games; the few European (PAL) games have another, which is learnt from their pictures.
"""

import numpy as np

from worldmodels.envs.atari.emulator import Console

LUMINANCE = np.array([0.299, 0.587, 0.114])
"""ALE's weights of red, green and blue."""
NTSC_RGB = np.frombuffer(
    bytes.fromhex(
        """
    0000004a4a4a6f6f6f8e8e8eaaaaaac0c0c0d6d6d6ececec48480069690f86861da2a22abbbb35d2d240e8e84afcfc54
    7c2c00904811a26221b47a30c3903dd2a44adfb755ecc860901c00a33915b55328c66c3ad5824ae39759f0aa67fcbc74
    940000a71a1ab83232c84848d65c5ce46f6ff08080fc909084006497197aa8308fb846a2c659b3d46cc3e07cd2ec8ce0
    50008468199a7d30ad9246c0a459d0b56ce0c57ceed48cfc140090331aa34e32b56848c67f5cd5956fe3a980f0bc90fc
    000094181aa72d32b84248c8545cd6656fe47580f08490fc001c88183b9d2d57b04272c2548ad265a0e175b5ef84c8fc
    0030641850802d6d984288b054a0c565b7d975cceb84e0fc00403018624e2d8169429e8254b89965d1ae75e7c284fcd4
    0044001a661a32843248a0485cba5c6fd26f80e88090fc90143c00355f18527e2d6e9c4287b7549ed065b4e775c8fc84
    3038005059166d762b88923ea0ab4fb7c25fccd86ee0ec7c482c00694d14866a26a28638bb9f47d2b656e8cc63fce070
        """
    ),
    np.uint8,
).reshape(128, 3)
"""Colour of number 2 n, (128, 3) uint8."""


class Colours:
    """A console's colour table. Numbers that no screen has shown yet may be missing from it."""

    def __init__(self, rgb: np.ndarray, known: bytes) -> None:
        self.rgb, self.known = rgb, known  # (256, 3) uint8; the numbers that it holds

    @classmethod
    def of(cls, console: Console) -> "Colours":
        """NTSC's table where it fits what the console shows now, otherwise one that is to be learnt.

        A black screen fits both, and tells nothing.
        """
        rgb = np.zeros((256, 3), np.uint8)
        rgb[::2] = NTSC_RGB
        screen, picture = read_both(console)
        if screen.any() and np.array_equal(rgb[screen], picture):
            return cls(rgb, bytes(range(0, 256, 2)))
        return cls(np.zeros_like(rgb), b"")

    @property
    def complete(self) -> bool:
        """Whether every number of the chip is known."""
        return len(self.known) == len(NTSC_RGB)

    @property
    def grey(self) -> np.ndarray:
        """Luminance of each number, (256, 1) uint8."""
        return grey_table(self.rgb)

    def learn(self, console: Console, screen: np.ndarray) -> None:
        """Look up what is not known yet of `screen` (h, w), which the console shows now."""
        if self.complete:
            return
        unknown = screen.tobytes().translate(None, self.known)
        if unknown:
            picture = read_both(console)[1]
            for number in set(unknown):
                self.rgb[number] = picture.reshape(-1, 3)[np.argmax(screen == number)]
            self.known = bytes(sorted({*self.known, *unknown}))


def read_both(console: Console) -> tuple[np.ndarray, np.ndarray]:
    """What the console shows: colour numbers (h, w) and colours (h, w, 3), uint8."""
    screen = np.empty(console.screen_shape, np.uint8)
    picture = np.empty((*console.screen_shape, 3), np.uint8)
    console.read_screen(screen)
    console.read_rgb(picture)
    return screen, picture


def grey_table(rgb: np.ndarray) -> np.ndarray:
    """Luminance (256, 1) uint8 of a colour table (256, 3) uint8: to the bit what ALE computes in NTSC games."""
    return np.round(rgb @ LUMINANCE).astype(np.uint8)[:, None]
