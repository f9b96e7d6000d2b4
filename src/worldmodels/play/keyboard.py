"""What pressed keys mean in each game. Keys have pygame's names: left, right, up, down, space."""

from collections.abc import Callable, Collection, Sequence

import numpy as np

Keys = Collection[str]
Keyboard = Callable[[Keys], np.ndarray]
"""Keys that are down -> an action (A,) as the game takes it: an Atari game's is the index of an action in its set."""

JOYSTICK = ("", "s", "u", "r", "l", "d", "ur", "ul", "dr", "dl", "us", "rs", "ls", "ds", "urs", "uls", "drs", "dls")
"""ALE's 18 actions in its order: the directions up, down, right and left, and space for fire."""
BRAKE = 0.8
"""A full brake blocks the wheels."""


def take_cover_action(keys: Keys) -> np.ndarray:
    """Run left or right, or stand still: (1,) float32."""
    return np.array([_axis(keys, "left", "right")], np.float32)


def car_racing_action(keys: Keys) -> np.ndarray:
    """Steering, gas (up) and brake (down), (3,) float32."""
    return np.array([_axis(keys, "left", "right"), "up" in keys, BRAKE * ("down" in keys)], np.float32)


def atari_keyboard(codes: Sequence[int]) -> Keyboard:
    """The keyboard of a game with these actions, by ALE's numbers.

    Where the set lacks a combination, the vertical direction is left out, then the horizontal one, then fire.
    """
    known = {frozenset(JOYSTICK[code]): index for index, code in enumerate(codes)}

    def action(keys: Keys) -> np.ndarray:
        across, along = _axis(keys, "left", "right"), _axis(keys, "down", "up")
        horizontal = {-1.0: "l", 0.0: "", 1.0: "r"}[across]
        vertical = {-1.0: "d", 0.0: "", 1.0: "u"}[along]
        fire = "s" if "space" in keys else ""
        for wanted in (
            horizontal + vertical + fire,
            horizontal + fire,
            vertical + fire,
            fire,
            horizontal + vertical,
            horizontal,
        ):
            if frozenset(wanted) in known:
                return np.array([known[frozenset(wanted)]], np.float32)
        return np.array([known.get(frozenset(), 0)], np.float32)

    return action


def _axis(keys: Keys, negative: str, positive: str) -> float:
    return float(positive in keys) - float(negative in keys)
