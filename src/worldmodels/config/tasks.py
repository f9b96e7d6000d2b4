"""Options of the real environments. The field `name` is also the module under `worldmodels.envs` that plays it."""

import difflib
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from worldmodels.config.atari_games import ATARI_GAMES
from worldmodels.config.options import Options

ScreenResolution = Literal["160x120", "320x240", "640x480"]
Preprocessing = Literal["resize", "released"]
PREPROCESSING = (
    "How a screen becomes a frame: resized; or as the released code did, on which the published weights were "
    "trained (stretched to the full range, resized by Pillow, lowered by one level with black turned to 255)"
)


class TakeCoverOptions(Options):
    """Doom Take Cover under the protocol of Ha & Schmidhuber 2018 (section 4.1 and the released environment)."""

    name: Literal["take_cover"] = "take_cover"
    screen_resolution: ScreenResolution = Field(
        "640x480", description="What the engine renders, in pixels; 640x480 is the paper's, smaller is faster"
    )
    skill: int = Field(4, ge=1, le=5, description="Doom's skill level; the paper's environment effectively ran 4")
    max_steps: int = Field(2100, ge=1, description="Tics after which an episode is cut off (not a death)")
    start_tic: int = Field(14, ge=1, description="Tic at which control begins")
    preprocessing: Preprocessing = Field("resize", description=PREPROCESSING)
    frame_size: int = Field(64, ge=64, le=64, description="Height and width of a frame, in pixels")
    action_size: ClassVar[int] = 1  # run left or right
    stored_frame_bytes: ClassVar[int] = 7_300  # measured at 160x120
    stored_episode_bytes: ClassVar[int] = 4_000_000  # of the sweeping policy: 495 frames


class CarRacingOptions(Options):
    """CarRacing-v3 under the protocol of Ha & Schmidhuber 2018 (section 3.1 and the released environment)."""

    name: Literal["car_racing"] = "car_racing"
    backend: Literal["envpool", "gymnasium"] = Field(
        "envpool", description="Who plays it: EnvPool's C++ (fast) or gymnasium itself (the one that scores count in)"
    )
    max_steps: int = Field(1000, ge=1, le=1000, description="Steps after which an episode is cut off")
    preprocessing: Preprocessing = Field("resize", description=PREPROCESSING)
    frame_size: int = Field(64, ge=64, le=64, description="Height and width of a frame, in pixels")
    action_size: ClassVar[int] = 3  # steering, gas, brake
    stored_frame_bytes: ClassVar[int] = 4_800  # of an agent, at most: 3,900 to 4,200 with a quarter of random episodes
    stored_episode_bytes: ClassVar[int] = 3_200_000  # of 1,000 frames of random driving; measured 671 on average


def known_game(name: str) -> str:
    """Check that ale-py has the game."""
    if name in ATARI_GAMES:
        return name
    close = difflib.get_close_matches(name, ATARI_GAMES, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"ale-py has {', '.join(ATARI_GAMES)}"
    raise PydanticCustomError("unknown_game", "there is no such game; {hint}", {"hint": hint})


AtariGame = Annotated[str, AfterValidator(known_game)]
"""A game's name as ale-py spells its ROM: ms_pacman."""


class AtariRules(Options):
    """How Atari games are played: as in RES (Chiappa et al. 2017, appendix A), rewards as the game gives them."""

    actions: Literal["minimal", "full"] = Field("full", description="The actions that matter in the game, or all 18")
    frame_repeat: int = Field(
        4, ge=1, description="Emulator frames that an action lasts; only the last is seen, without maximum over two"
    )
    noop_max: int = Field(
        30,
        ge=0,
        description="An episode begins after 1 to this many emulator frames of no action, drawn for each; 0 off",
    )
    fire_on_reset: bool = Field(False, description="Press fire once before an episode begins, where the game has it")
    life_loss_ends: bool = Field(False, description="Whether a lost life ends the episode")
    max_frames: int = Field(
        108_000, ge=1, description="Emulator frames (30 minutes) after which an episode is cut off, not ended"
    )


class AtariOptions(AtariRules):
    """One Atari game on ale-py, no sticky actions."""

    name: Literal["atari"] = "atari"
    game: AtariGame = Field("pong", description="The game, as ale-py names its ROM: ms_pacman")
    frame_size: int = Field(
        64, ge=64, le=64, description="Height and width of a frame where games play as a batch, in pixels"
    )
    action_size: ClassVar[int] = 1  # the number of a joystick's position

    @property
    def max_steps(self) -> int:
        """Steps after which an episode is cut off."""
        return -(-self.max_frames // self.frame_repeat)


RolloutTask = Annotated[TakeCoverOptions | CarRacingOptions, Field(discriminator="name")]
"""The tasks of data sets of rollouts, told apart by `name`; Atari's frames have data sets of their own."""
TaskOptions = Annotated[TakeCoverOptions | CarRacingOptions | AtariOptions, Field(discriminator="name")]
"""The union of all tasks; it grows with each environment."""
