"""Experiments with learned simulators of video: what an entry of `simulator_experiments` may say.

A simulator begins as a named training (`preset`), or as a chain of them (`curriculum`), takes what the experiment's
`training` says for all, then what it says itself. The stages of a chain become entries of their own, one going on from
the other; the last one has the simulator's name.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from worldmodels.config.acvp import CopyLastOptions
from worldmodels.config.acvp_presets import CURRICULA, STEPS, copy_last, mean_frame, stage_of_curriculum
from worldmodels.config.atari import OnlineOptions
from worldmodels.config.merging import merged
from worldmodels.config.options import Options
from worldmodels.config.simulator_presets import PRESETS
from worldmodels.config.simulators import SimulatorTraining
from worldmodels.config.tasks import AtariGame
from worldmodels.config.video import weights_differ

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
Preset = Literal[
    "res",
    "res-independent",
    "res-laptop",
    "res-grey",
    "res-two-class-pong",
    "vae-mdn-rnn-vision",
    "vae-mdn-rnn",
    "copy-last",
    "mean-frame",
]
Curriculum = Literal[
    "acvp-recurrent",
    "acvp-feed-forward",
    "acvp-no-action",
    "acvp-perceptron",
    "acvp-paper",
    "acvp-compression",
    "acvp-recurrent-laptop",
    "acvp-feed-forward-laptop",
    "acvp-no-action-laptop",
    "acvp-perceptron-laptop",
    "acvp-paper-laptop",
    "acvp-compression-laptop",
]
"""Names in acvp_presets.CURRICULA."""
CurriculumStage = Literal["1-step", "3-step", "5-step", "5-step-reward"]
HORIZONS = (1, 5, 10, 50, 100)
"""Steps ahead whose errors the table gives."""
FULL_ACTIONS = 18


class SimulatorEntry(SimulatorTraining):
    """One row of the table: a simulator and its training. What is not said is the preset's."""

    preset: Preset = Field("res", description="The named training whose values it takes where it says nothing")
    curriculum: Curriculum | None = Field(
        None, description="Instead of a preset: the named chain of trainings, each from the last one's weights"
    )
    stage: CurriculumStage = Field("5-step", description="With a curriculum: its last stage that is trained")
    after: Name | None = Field(
        None, description="The simulator of this experiment from whose weights its training goes on"
    )
    dataset: Name | None = Field(
        None,
        description="Entry of `atari_datasets` that it learns from; none is the experiment's, on which all are scored",
    )
    scored: bool = Field(True, description="It is a row of the table; not so the earlier stages of a curriculum")
    score_stages: bool = Field(
        False, description="With a curriculum: the earlier stages, NAME.STAGE, are rows of the table too"
    )

    @model_validator(mode="after")
    def has_stages(self) -> Self:
        """Only a curriculum has earlier stages."""
        if self.score_stages and self.curriculum is None:
            raise ValueError("score_stages: true needs a curriculum: a preset is one training")
        return self

    @property
    def training(self) -> SimulatorTraining:
        """The training that it amounts to."""
        return SimulatorTraining(**self.model_dump(include=set(SimulatorTraining.model_fields)))

    @property
    def learns(self) -> bool:
        """Whether there is anything to train."""
        return self.model.kind != "copy_last"

    @property
    def copies(self) -> bool:
        """Whether it is the copy of the last frame."""
        return isinstance(self.model, CopyLastOptions) and self.model.shows == "last-frame"


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
    speed_in_table: bool = Field(
        False,
        description="Imagined steps a second stand in table.csv and table.md too; another measurement then changes them",
    )


class AgentPlay(Options):
    """An agent that acts on what a simulator imagines; the real game takes the same actions beside it, and keeps the score."""

    agent: str | None = Field(
        None, description="Entry of `atari_agents`, or a trained agent's file; none is the agent of the data set"
    )
    simulators: list[Name] = Field(min_length=1, description="Rows of the table in which it acts")
    chain_periods: list[Annotated[int, Field(ge=1)]] = Field(
        [1, 5, 10, 50, 100],
        min_length=1,
        description="Steps from one real frame to the next, each tried; between them it sees predictions. With 1 all frames "
        "are real. The film is of the longest",
    )
    games: int = Field(10, ge=1, le=64, description="Real games that keep the score, side by side")
    steps: int = Field(1000, ge=2, description="Steps after which a game that is not over is cut off")
    epsilon: float = Field(
        0.05, ge=0, le=1, description="Share of its actions that are uniform instead (Oh et al. 2015)"
    )


class SimulatorExperiment(Options):
    """An experiment with simulators: frames, games, the simulators that are compared, and how they are scored."""

    extends: Name | None = Field(
        None, description="Simulator experiment whose entries are taken where this one is silent"
    )
    title: str = Field("", description="Heading of its table")
    scale: Literal["paper", "laptop", "smoke"] = Field(
        "paper", description="Only 'paper' earns verdicts; 'smoke' only shows that the machinery runs"
    )
    published: (
        Literal[
            "recurrent-environment-simulators",
            "action-conditional-video-prediction",
            "compressing-dynamical-systems-atari",
        ]
        | None
    ) = Field(None, description="Paper, or open re-implementation, whose claims its table answers")
    dataset: Name = Field(description="Entry of `atari_datasets`; its test shards are what simulators are scored on")
    games: list[AtariGame] = Field(min_length=1, description="Games of the data set, each trained on alone")
    training_seeds: list[Annotated[int, Field(ge=1, le=1_000_000)]] = Field(
        [1], min_length=1, description="Independent repetitions of the training"
    )
    models_from: Name | None = Field(
        None,
        description="Simulator experiment whose simulators are taken over where name, training, frames and scoring are the same",
    )
    online: OnlineOptions | None = Field(
        None, description="Train on games that the data set's agent plays meanwhile, instead of stored frames"
    )
    training: SimulatorEntry = Field(SimulatorEntry(), description="What all simulators share, where they are silent")
    simulators: dict[Name, SimulatorEntry] = Field(min_length=1, description="Rows of the table, by name")
    evaluation: SimulatorEvaluation = SimulatorEvaluation()
    agent_play: AgentPlay | None = Field(None, description="An agent acts inside some of the simulators; not inherited")

    @model_validator(mode="after")
    def nothing_comes_twice(self) -> Self:
        """No game and no training seed may come twice."""
        for name, values in (("games", self.games), ("training_seeds", self.training_seeds)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name} {values} names one twice")
        return self

    @model_validator(mode="after")
    def chains_have_beginnings(self) -> Self:
        """A training that goes on does so from another one's weights, and none from its own."""
        for name, entry in self.simulators.items():
            if entry.after is not None and entry.after not in self.simulators:
                raise ValueError(f"{name} goes on after '{entry.after}', which is no simulator of this experiment")
            if entry.continues != (entry.after is not None):
                raise ValueError(f"{name} has continues: {entry.continues}, but after: {entry.after}: set both or none")
            before = [name]
            while (earlier := self.simulators[before[-1]].after) is not None:
                if earlier in before:
                    raise ValueError(f"{name} goes on after itself: {' after '.join([*before, earlier])}")
                before.append(earlier)
            if entry.after is not None:
                self._check_weights_fit(name, entry.after)
        if not self.scored:
            raise ValueError("no simulator is scored: the table would be empty")
        return self

    @model_validator(mode="after")
    def agent_can_see(self) -> Self:
        """An agent acts in rows of the table whose frames look like those that it learned on, and change with what is seen."""
        for name in self.agent_play.simulators if self.agent_play else ():
            if name not in self.scored:
                raise ValueError(f"agent_play.simulators has '{name}', but the rows are {', '.join(self.scored)}")
            entry = self.simulators[name]
            if not (entry.learns or entry.copies) or entry.model.pixels == "two-class":
                raise ValueError(
                    f"agent_play.simulators has '{name}', which shows no frames that an agent could play by"
                )
        return self

    def _check_weights_fit(self, name: str, after: str) -> None:
        differences = weights_differ(self.simulators[after].model, self.simulators[name].model)
        if differences:
            raise ValueError(
                f"{name} cannot go on from the weights of '{after}' ({', '.join(differences)}): give both the same model options"
            )

    @property
    def scored(self) -> dict[str, SimulatorEntry]:
        """The rows of the table, by name."""
        return {name: entry for name, entry in self.simulators.items() if entry.scored}

    @property
    def pictured(self) -> list[str]:
        """The rows that figures and films show: earlier stages of curricula, which would crowd them, have a figure of their own."""
        return [name for name in self.scored if self._whole_curriculum(name) is None]

    @property
    def stages(self) -> list[str]:
        """The rows of each curriculum whose stages are all scored, first stage first."""
        whole = {self._whole_curriculum(name) for name in self.scored}
        return [name for name in self.scored if name in whole or self._whole_curriculum(name) is not None]

    def _whole_curriculum(self, name: str) -> str | None:
        """The simulator of which this one is an earlier stage."""
        whole, _, stage = name.rpartition(".")
        entry = self.simulators[name]
        same = whole in self.simulators and entry.curriculum == self.simulators[whole].curriculum
        return whole if same and entry.curriculum and entry.stage == stage else None

    @property
    def schemes(self) -> list[str]:
        """The most rows that differ in nothing but how their training mixes real and predicted frames; none where there is one."""
        groups = [self._longest_of_each_scheme(names) for names in self._alike("scheme", "updates")]
        largest = max(groups, key=len)
        return largest if len(largest) > 1 else []

    def _longest_of_each_scheme(self, names: list[str]) -> list[str]:
        longest: dict[str, str] = {}
        for name in sorted(names, key=lambda name: self.simulators[name].updates):
            longest[self.simulators[name].scheme] = name
        return [name for name in names if name in longest.values()]

    @property
    def budgets(self) -> list[list[str]]:
        """Rows that differ in nothing but the number of updates, from few to many, wherever there are two or more."""
        groups = (sorted(names, key=lambda name: self.simulators[name].updates) for names in self._alike("updates"))
        return [names for names in groups if len(names) > 1]

    def _alike(self, *but: str) -> list[list[str]]:
        """The rows that are trained, in groups that differ in nothing but these options of their training."""
        groups: dict[str, list[str]] = {}
        for name, entry in self.scored.items():
            if entry.learns:
                rest = entry.training.model_dump_json(exclude={*but})
                groups.setdefault(f"{entry.after} {entry.dataset} {rest}", []).append(name)
        return list(groups.values()) or [[]]

    def learns_from(self, name: str) -> str:
        """Entry of `atari_datasets` whose frames a simulator learns from."""
        return self.simulators[name].dataset or self.dataset

    @property
    def datasets(self) -> dict[str, list[str]]:
        """Every data set that simulators learn from, with those rows of the table that do; the experiment's own comes first."""
        rows: dict[str, list[str]] = {self.dataset: []}
        for name, entry in self.scored.items():
            if entry.learns:
                rows.setdefault(self.learns_from(name), []).append(name)
        return rows

    def chain(self, name: str) -> list[str]:
        """The simulators whose trainings lead to this one, the first of them first; itself last."""
        earlier = self.simulators[name].after
        return [*([] if earlier is None else self.chain(earlier)), name]


def with_presets(entry: Any) -> Any:
    """An experiment as written, with `training` and each simulator completed from their presets, and chains written out.

    What is no mapping, or no preset, is left for the types to complain of.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("simulators"), Mapping):
        return entry
    shared = entry.get("training") or {}
    rows: dict[str, Any] = {}
    for name, own in entry["simulators"].items():
        rows |= _stages(name, shared, own or {}, rows)
    return {**entry, "training": _completed({}, shared), "simulators": rows}


def _stages(name: str, shared: Any, own: Any, before: Mapping[str, Any]) -> dict[str, Any]:
    """A simulator and the earlier stages of its curriculum, those that `after` has not been through."""
    if not isinstance(shared, Mapping) or not isinstance(own, Mapping):
        return {name: own}
    written = {**shared, **own}
    last = written.get("stage", "5-step")
    curriculum = written.get("curriculum")
    if not (isinstance(curriculum, str) and isinstance(last, str) and curriculum in CURRICULA and last in STEPS):
        return {name: _completed(shared, own)}
    after, order = own.get("after"), list(STEPS)
    begun = before.get(str(after))
    first = order.index(begun["stage"]) + 1 if isinstance(begun, Mapping) and begun.get("curriculum") else 0
    rows: dict[str, Any] = {}
    for stage in order[first : order.index(last) + 1]:
        label = name if stage == last else f"{name}.{stage}"
        row = written.get("scored", True) if stage == last else written.get("score_stages", False)
        placed = {"stage": stage, "after": after, "scored": row}
        rows[label] = _completed(shared, {**own, **placed})
        after = label
    return rows or {name: _completed(shared, own)}


def _completed(shared: Any, own: Any) -> Any:
    if not isinstance(shared, Mapping) or not isinstance(own, Mapping):
        return own
    written = {**shared, **own}
    begin = _named_training(written)
    if begin is None:
        return own
    own = {**own, "continues": True} if own.get("after") is not None else own
    return merged(merged(begin.model_dump(), shared), own)


def _named_training(written: Mapping[str, Any]) -> SimulatorTraining | None:
    """The curriculum's stage or the preset that an entry names; None when there is no such name."""
    curriculum, stage, preset = (written.get(key) for key in ("curriculum", "stage", "preset"))
    if not all(name is None or isinstance(name, str) for name in (curriculum, stage, preset)):
        return None  # the types are checked later, and say which
    if curriculum is not None:
        known = curriculum in CURRICULA and stage in STEPS
        return stage_of_curriculum(curriculum, str(stage), FULL_ACTIONS) if known else None
    if preset in ("copy-last", "mean-frame"):
        return (copy_last if preset == "copy-last" else mean_frame)(actions=FULL_ACTIONS)
    named = PRESETS.get("res" if preset is None else preset)
    return named(actions=FULL_ACTIONS) if named else None
