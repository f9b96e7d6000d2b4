"""Experiments with learned simulators of video: what an entry of `simulator_experiments` may say.

A simulator begins as a named training (`preset`), takes what the experiment's `training` says for all, then what it says itself.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from worldmodels.config.atari import OnlineOptions
from worldmodels.config.merging import merged
from worldmodels.config.options import Options
from worldmodels.config.simulator_presets import PRESETS
from worldmodels.config.simulators import SimulatorTraining
from worldmodels.config.tasks import AtariGame

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
Preset = Literal["res", "res-independent", "res-laptop", "res-grey", "res-two-class-pong"]
HORIZONS = (1, 5, 10, 50, 100)
"""Steps ahead whose errors the table gives."""
FULL_ACTIONS = 18


class SimulatorEntry(SimulatorTraining):
    """One row of the table: a simulator and its training. What is not said is the preset's."""

    preset: Preset = Field("res", description="The named training whose values it takes where it says nothing")

    @property
    def training(self) -> SimulatorTraining:
        """The training that it amounts to."""
        return SimulatorTraining(**self.model_dump(exclude={"preset"}))


class SimulatorEvaluation(Options):
    """How simulators are scored: on held-out sequences, all of them on the same ones."""

    sequences: int = Field(10_000, ge=2, description="Held-out sequences, with the actions that were taken there")
    horizon: int = Field(100, ge=1, le=1000, description="Steps that are predicted without seeing a frame")
    warm_up: int = Field(10, ge=1, description="Steps that are watched before; the frame after them is seen too")
    batch_size: int = Field(50, ge=1, description="Sequences that are predicted together")
    speed_batches: list[Annotated[int, Field(ge=1)]] = Field(
        [1, 64], min_length=1, description="Games imagined at once when speed is measured"
    )
    speed_seconds: float = Field(5.0, gt=0, description="Time spent on each measurement of speed, seconds")


class SimulatorExperiment(Options):
    """An experiment with simulators: frames, games, the simulators that are compared, and how they are scored."""

    extends: Name | None = Field(
        None, description="Simulator experiment whose entries are taken where this one is silent"
    )
    title: str = Field("", description="Heading of its table")
    scale: Literal["paper", "laptop", "smoke"] = Field(
        "paper", description="Only 'paper' earns verdicts; 'smoke' only shows that the machinery runs"
    )
    published: Literal["recurrent-environment-simulators"] | None = Field(
        None, description="Paper whose claims its table answers"
    )
    dataset: Name = Field(description="Entry of `atari_datasets`; its test shards are what simulators are scored on")
    games: list[AtariGame] = Field(min_length=1, description="Games of the data set, each trained on alone")
    training_seeds: list[Annotated[int, Field(ge=1, le=1_000_000)]] = Field(
        [1], min_length=1, description="Independent repetitions of the training"
    )
    online: OnlineOptions | None = Field(
        None, description="Train on games that the data set's agent plays meanwhile, instead of stored frames"
    )
    training: SimulatorEntry = Field(SimulatorEntry(), description="What all simulators share, where they are silent")
    simulators: dict[Name, SimulatorEntry] = Field(min_length=1, description="Rows of the table, by name")
    evaluation: SimulatorEvaluation = SimulatorEvaluation()

    @model_validator(mode="after")
    def nothing_comes_twice(self) -> Self:
        """No game and no training seed may come twice."""
        for name, values in (("games", self.games), ("training_seeds", self.training_seeds)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name} {values} names one twice")
        return self


def with_presets(entry: Any) -> Any:
    """An experiment as written, with `training` and each simulator completed from their presets.

    What is no mapping, or no preset, is left for the types to complain of.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("simulators"), Mapping):
        return entry
    shared = entry.get("training") or {}
    rows = {name: _completed(shared, own or {}) for name, own in entry["simulators"].items()}
    return {**entry, "training": _completed({}, shared), "simulators": rows}


def _completed(shared: Any, own: Any) -> Any:
    if not isinstance(shared, Mapping) or not isinstance(own, Mapping):
        return own
    preset = own.get("preset", shared.get("preset", "res"))
    if preset not in PRESETS:
        return own
    written = PRESETS[preset](actions=FULL_ACTIONS).model_dump()
    return merged(merged({**written, "preset": preset}, shared), own) | {"preset": preset}
