"""Config blocks of the stages of experiments with simulators."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from worldmodels.config.atari import AtariShardOptions, OnlineOptions
from worldmodels.config.atari_blocks import atari_shard_block
from worldmodels.config.atari_blocks import config_place as atari_place
from worldmodels.config.experiments import Config
from worldmodels.config.load import simulator_experiment
from worldmodels.config.options import Options
from worldmodels.config.simulator_experiments import (
    SimulatorEvaluation,
    SimulatorExperiment,
)
from worldmodels.config.simulator_files import (
    agent_play_of,
    game_dataset,
    simulator_entry,
)
from worldmodels.config.simulators import Kind, TrainSimulatorBlock, network_module
from worldmodels.config.tasks import AtariOptions


class EvaluateSimulatorBlock(Options):
    """Block of evaluate_simulator. warm_up, horizon, ...: see SimulatorEvaluation."""

    kind: Kind
    sequences: int
    horizon: int
    warm_up: int
    batch_size: int


class TimeSimulatorsBlock(Options):
    """Block of time_simulators."""

    kinds: dict[str, Kind] = Field(description="By simulator")
    speed_batches: list[int]
    speed_seconds: float
    warm_up: int


class TabulateSimulatorsBlock(Options):
    """Block of tabulate_simulators: the experiment as a whole."""

    experiment: SimulatorExperiment


class TabulateAgentsBlock(Options):
    """Block of tabulate_agents."""

    title: str
    scale: Literal["paper", "laptop", "smoke"]


class PlotSimulatorsBlock(TabulateSimulatorsBlock):
    """Block of plot_simulators: simulators draw the strips."""

    kinds: dict[str, Kind] = Field(description="By simulator")


class FilmSimulatorBlock(Options):
    """Block of film_simulator."""

    title: str
    kinds: dict[str, Kind] = Field(description="By simulator")
    warm_up: int
    horizon: int


class PlayAgentBlock(Options):
    """Block of play_agent. chain_periods, games, ...: see AgentPlay."""

    kind: Kind
    task: AtariOptions
    warm_up: int
    chain_periods: list[int]
    games: int
    steps: int
    epsilon: float


def kinds_of(options: SimulatorExperiment) -> dict[str, Kind]:
    """The kind of each simulator in an experiment's table."""
    return {name: entry.model.kind for name, entry in options.scored.items()}


def train_block(config: Config, experiment: str, simulator: str, game: str) -> TrainSimulatorBlock:
    """Block of train_simulator."""
    options = simulator_experiment(config, experiment)
    training = simulator_entry(config, experiment, simulator).training
    online: OnlineOptions | None = options.online
    if online is None:
        return TrainSimulatorBlock(training=training)
    shard = atari_shard_block(config, game_dataset(config, experiment, game, simulator))
    return TrainSimulatorBlock(training=training, play=AtariShardOptions(**shard.model_dump()), online=online)


def evaluate_block(config: Config, experiment: str, simulator: str, _game: str) -> EvaluateSimulatorBlock:
    """Block of evaluate_simulator."""
    kind = simulator_entry(config, experiment, simulator).model.kind
    evaluation = simulator_experiment(config, experiment).evaluation
    return EvaluateSimulatorBlock(
        kind=kind, **evaluation.model_dump(include={"sequences", "horizon", "warm_up", "batch_size"})
    )


def play_block(config: Config, experiment: str, simulator: str, game: str) -> PlayAgentBlock:
    """Block of play_agent."""
    task = atari_shard_block(config, game_dataset(config, experiment, game)).task
    options = agent_play_of(config, experiment).model_dump(exclude={"agent", "simulators"})
    warm_up = simulator_experiment(config, experiment).evaluation.warm_up
    kind = simulator_entry(config, experiment, simulator).model.kind
    return PlayAgentBlock(kind=kind, task=task, warm_up=warm_up, **options)


def simulator_block(config: Config, stage: str, place: Mapping[str, str]) -> Options:
    """The config block of a stage of an experiment with simulators. place: the rule's wildcards."""
    name = place["experiment"]
    options = simulator_experiment(config, name)
    evaluation: SimulatorEvaluation = options.evaluation
    window = {"warm_up": evaluation.warm_up, "horizon": evaluation.horizon}
    of_one = {"train_simulator": train_block, "evaluate_simulator": evaluate_block, "play_agent": play_block}
    if stage in of_one:
        return of_one[stage](config, name, place["simulator"], place["game"])
    if stage == "time_simulators":
        speed = evaluation.model_dump(include={"speed_batches", "speed_seconds", "warm_up"})
        return TimeSimulatorsBlock(kinds=kinds_of(options), **speed)
    if stage == "film_simulator":
        return FilmSimulatorBlock(title=options.title, kinds=kinds_of(options), **window)
    if stage == "plot_simulators":
        return PlotSimulatorsBlock(experiment=options, kinds=kinds_of(options))
    if stage == "tabulate_agents":
        return TabulateAgentsBlock(title=options.title, scale=options.scale)
    return TabulateSimulatorsBlock(experiment=options)


SIMULATOR_STAGES = (
    *("train_simulator", "evaluate_simulator", "time_simulators"),
    *("tabulate_simulators", "plot_simulators", "film_simulator", "play_agent", "tabulate_agents"),
)


def simulator_modules(block: Options) -> list[str]:
    """Modules of the networks that a stage runs: those of its block's kinds of simulators."""
    if isinstance(block, TrainSimulatorBlock):
        kinds = {block.training.model.kind}
    elif isinstance(block, EvaluateSimulatorBlock | PlayAgentBlock):
        kinds = {block.kind}
    else:
        kinds = set(getattr(block, "kinds", {}).values())
    return [network_module(kind) for kind in sorted(kinds)]


GROUPS = {
    **dict.fromkeys(("sequences", "horizon", "warm_up", "batch_size", "speed_batches", "speed_seconds"), "evaluation"),
    **dict.fromkeys(("chain_periods", "games", "steps", "epsilon"), "agent_play"),
}
"""Where an experiment says keys that blocks hold bare."""


def config_place(config: Config, stage: str, place: Mapping[str, str], key: str) -> str:
    """Where in config.yaml a key of a stage's block is said."""
    experiment = f"simulator_experiments.{place['experiment']}"
    head, _, rest = key.partition(".")
    if head in GROUPS:
        return f"{experiment}.{GROUPS[head]}.{key}"
    if head == "training":
        return f"{experiment}.simulators.{place['simulator']}.{rest}"
    if head == "experiment":
        return f"{experiment}.{rest}"
    if head in ("play", "task"):
        dataset = game_dataset(config, place["experiment"], place["game"])
        return atari_place(config, "collect_atari", {"dataset": dataset}, rest if head == "play" else key)
    return f"{experiment}.simulators" if head in ("kind", "kinds") else f"{experiment}.{key}"
