"""Options of the real environments. The field `name` is also the module under `worldmodels.envs` that plays it."""

from typing import Annotated, Literal

from pydantic import Field

from worldmodels.config.options import Options

Preprocessing = Literal["resize", "released"]
PREPROCESSING = (
    "How a screen becomes a frame: resized; or as the released code did, on which the published weights were "
    "trained (stretched to the full range, resized by Pillow, lowered by one level with black turned to 255)"
)


class TakeCoverOptions(Options):
    """Doom Take Cover under the protocol of Ha & Schmidhuber 2018 (section 4.1 and the released environment)."""

    name: Literal["take_cover"] = "take_cover"
    screen_resolution: Literal["160x120", "320x240", "640x480"] = Field(
        "640x480", description="What the engine renders, in pixels; 640x480 is the paper's, smaller is faster"
    )
    skill: int = Field(4, ge=1, le=5, description="Doom's skill level; the paper's environment effectively ran 4")
    max_steps: int = Field(2100, ge=1, description="Tics after which an episode is cut off (not a death)")
    start_tic: int = Field(14, ge=1, description="Tic at which control begins")
    preprocessing: Preprocessing = Field("resize", description=PREPROCESSING)
    frame_size: int = Field(64, ge=64, le=64, description="Height and width of a frame, in pixels")


class CarRacingOptions(Options):
    """CarRacing-v3 under the protocol of Ha & Schmidhuber 2018 (section 3.1 and the released environment)."""

    name: Literal["car_racing"] = "car_racing"
    backend: Literal["envpool", "gymnasium"] = Field(
        "envpool", description="Who plays it: EnvPool's C++ (fast) or gymnasium itself (the one that scores count in)"
    )
    max_steps: int = Field(1000, ge=1, le=1000, description="Steps after which an episode is cut off")
    preprocessing: Preprocessing = Field("resize", description=PREPROCESSING)
    frame_size: int = Field(64, ge=64, le=64, description="Height and width of a frame, in pixels")


TaskOptions = Annotated[TakeCoverOptions | CarRacingOptions, Field(discriminator="name")]
"""The union of all tasks, told apart by `name`; it grows with each environment."""
