"""What keys mean in each game."""

import pytest

from worldmodels.play.keyboard import atari_keyboard, car_racing_action, take_cover_action

PONG = (0, 1, 3, 4, 11, 12)  # ALE's numbers: nothing, fire, right, left, and both with fire


@pytest.mark.parametrize("keys, action", [((), 0), (("left",), -1), (("right", "up"), 1), (("left", "right"), 0)])
def test_take_cover(keys, action):
    assert take_cover_action(keys).tolist() == [action]


def test_car():
    assert car_racing_action({"left", "up"}).tolist() == [-1, 1, 0]
    assert car_racing_action({"right", "down"}).tolist() == pytest.approx([1, 0, 0.8])


@pytest.mark.parametrize(
    "keys, code",
    [
        ((), 0),
        (("space",), 1),
        (("up",), 2),
        (("down", "left"), 9),
        (("up", "right", "space"), 14),
        (("down", "left", "space"), 17),
        (("left", "right", "down"), 5),
    ],
)
def test_joystick_with_all_actions(keys, code):
    assert atari_keyboard(range(18))(keys).tolist() == [code]


@pytest.mark.parametrize(
    "keys, code", [((), 0), (("right", "up"), 3), (("left", "space"), 12), (("up", "space"), 1), (("up",), 0)]
)
def test_joystick_of_a_game_with_few_actions(keys, code):
    assert PONG[int(atari_keyboard(PONG)(keys)[0])] == code
