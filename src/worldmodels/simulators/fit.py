"""Whether a simulator was made for a game: its actions, its frames, and the game that it learned from."""

from pathlib import Path

from worldmodels.envs.atari.screens import GameFacts
from worldmodels.errors import UserError
from worldmodels.runtime.weights import read_record
from worldmodels.simulators.protocol import Origin


def origin_of(path: Path) -> Origin:
    """What a weights file says of its training. Raises UserError when the file is damaged."""
    return Origin(path, read_record(path).get("training", {}).get("game"))


def require_fit(game: GameFacts, actions: int, frame_shape: tuple[int, ...], origin: Origin | None = None) -> None:
    """Raise UserError unless a simulator of so many actions and such frames (H, W, C) is one of `game`.

    Nearly all games have the same 18 actions: only the weights' own word tells those apart.
    """
    if game.actions != actions:
        raise UserError(
            f"{game.name} has {game.actions} actions here, but the simulator has {actions}. Set model.actions and train it "
            "again, or collect with the other action set."
        )
    if tuple(game.frame_shape) != tuple(frame_shape):
        sizes = ["x".join(map(str, shape)) for shape in (game.frame_shape, frame_shape)]
        told = "set model.height and model.width to one size, such as 84, to which every game's screen is resized"
        if tuple(game.frame_shape[:2]) == tuple(frame_shape[:2]):
            told = "set model.channels, 1 for grey and 3 for colour, and train it again"
        raise UserError(f"the game's frames are {sizes[0]}, but the simulator's {sizes[1]}: {told}.")
    if origin is not None and origin.game not in (None, game.name):
        raise UserError(
            f"{origin.path} was trained on {origin.game}, not on {game.name}. Name the weights of that game."
        )
