"""Who makes what in experiments with simulators: their paths and config blocks."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from pydantic import Field

from worldmodels.config.acvp import ACVPOptions
from worldmodels.config.atari import AtariShardOptions, OnlineOptions
from worldmodels.config.atari_blocks import agent_file, agent_path, atari_shard_block, atari_shards, game_label
from worldmodels.config.atari_blocks import config_place as atari_place
from worldmodels.config.experiments import Config
from worldmodels.config.load import nearest, simulator_experiment
from worldmodels.config.options import Options
from worldmodels.config.simulator_experiments import (
    AgentPlay,
    SimulatorEntry,
    SimulatorEvaluation,
    SimulatorExperiment,
)
from worldmodels.config.simulators import Kind, TrainSimulatorBlock, network_module
from worldmodels.config.tasks import AtariOptions
from worldmodels.errors import UserError

ERRORS = "horizon.h5"
"""File of a simulator's errors, step by step ahead."""


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


def simulator_entry(config: Config, experiment: str, simulator: str) -> SimulatorEntry:
    """A row of an experiment. Raises UserError with the nearest name when there is none such."""
    entries = simulator_experiment(config, experiment).simulators
    if simulator not in entries:
        hint = nearest(simulator, entries)
        raise UserError(f"experiment '{experiment}' has no simulator '{simulator}'.{hint} It has {', '.join(entries)}.")
    return entries[simulator]


def game_dataset(config: Config, experiment: str, label: str, simulator: str | None = None) -> str:
    """The data set of one game, which folders spell as `label`: that of the test frames, or what `simulator` learns from.

    Raises UserError when the experiment has no such game.
    """
    options = simulator_experiment(config, experiment)
    labels = [game_label(game) for game in options.games]
    if label not in labels:
        raise UserError(
            f"experiment '{experiment}' has no game '{label}'.{nearest(label, labels)} It has {', '.join(labels)}."
        )
    return f"{options.dataset if simulator is None else options.learns_from(simulator)}-{label}"


def kinds_of(options: SimulatorExperiment) -> dict[str, Kind]:
    """The kind of each simulator in an experiment's table."""
    return {name: entry.model.kind for name, entry in options.scored.items()}


def weights_owner(config: Config, experiment: str, simulator: str) -> str:
    """The experiment whose folder holds a simulator: that of `models_from` where all that makes it is the same."""
    options = simulator_experiment(config, experiment)
    if options.models_from is None:
        return experiment
    source = simulator_experiment(config, options.models_from)
    same = (
        simulator in source.simulators
        and _made_of(source, simulator) == _made_of(options, simulator)
        and set(options.games) <= set(source.games)
        and set(options.training_seeds) <= set(source.training_seeds)
    )
    return options.models_from if same else experiment


def errors_owner(config: Config, experiment: str, simulator: str) -> str:
    """The experiment whose folder holds a simulator's errors: that of its weights where they are scored in the same way."""
    owner = weights_owner(config, experiment, simulator)
    scored = (_scored_on(simulator_experiment(config, name)) for name in (owner, experiment))
    return owner if next(scored) == next(scored) else experiment


def _made_of(options: SimulatorExperiment, simulator: str) -> tuple[Any, ...]:
    """What a simulator's weights depend on, but for game and seed."""
    chain = [(name, options.learns_from(name), options.simulators[name].training) for name in options.chain(simulator)]
    return options.online, chain


def _scored_on(options: SimulatorExperiment) -> tuple[Any, ...]:
    """What errors depend on beside weights, game and seed."""
    return options.dataset, options.evaluation.model_dump(exclude={"speed_batches", "speed_seconds", "speed_in_table"})


def simulator_folder(config: Config, experiment: str, game: str, seed: int | str, simulator: str) -> str:
    """Folder of one trained simulator."""
    return _folder(weights_owner(config, experiment, simulator), game, seed, simulator)


def _folder(owner: str, game: str, seed: int | str, simulator: str) -> str:
    return f"results/{owner}/{game_label(game)}/seed-{seed}/simulators/{simulator}"


def scored_weights(config: Config, place: Mapping[str, str]) -> str:
    """The weights that evaluate_simulator scores. place: the rule's wildcards."""
    folder = simulator_folder(config, place["experiment"], place["game"], place["seed"], place["simulator"])
    return f"{folder}/weights.safetensors"


def simulator_files(
    config: Config, experiment: str, name: str, game: str | None = None, only_first: bool = False, stages: bool = False
) -> list[str]:
    """One file of every simulator, in the table's order: game by game, simulator by simulator, seed by seed.

    game: only of this one. only_first: only of the first training seed. stages: of the stages of curricula too.
    """
    options = simulator_experiment(config, experiment)
    simulators = options.simulators if stages else options.scored
    games = [one for one in options.games if game in (None, game_label(one))]
    seeds = options.training_seeds[:1] if only_first else options.training_seeds
    owner = errors_owner if name == ERRORS else weights_owner
    return [
        f"{_folder(owner(config, experiment, simulator), one, seed, simulator)}/{name}"
        for one in games
        for simulator in simulators
        for seed in seeds
    ]


def training_inputs(config: Config, place: Mapping[str, str]) -> dict[str, list[str]]:
    """What a training reads: the shards of its game, or the agent that plays it meanwhile; and what it goes on from.

    place: the wildcards of train_simulator.
    """
    experiment, game = place["experiment"], place["game"]
    earlier = simulator_entry(config, experiment, place["simulator"]).after
    started = {}
    if earlier is not None:
        folder = simulator_folder(config, experiment, game, place["seed"], earlier)
        started = {"start_from": [f"{folder}/weights.safetensors"]}
    if simulator_experiment(config, experiment).online is None:
        return {"shards": train_shards(config, experiment, game, place["simulator"]), **started}
    path = agent_file(config, game_dataset(config, experiment, game, place["simulator"]))
    return started if path is None else {"agent": [path], **started}


def train_shards(config: Config, experiment: str, game: str, simulator: str) -> list[str]:
    """The stored shards of a game that a simulator learns from; none where the game goes on meanwhile."""
    if simulator_experiment(config, experiment).online is not None:
        return []
    return atari_shards(config, game_dataset(config, experiment, game, simulator), "train")


def test_shards(config: Config, experiment: str, game: str) -> list[str]:
    """The shards of a game that simulators are scored on, of episodes that none learned from."""
    return atari_shards(config, game_dataset(config, experiment, game), "test")


def timed_weights(config: Config, experiment: str) -> list[str]:
    """The simulators that are timed: of the first game and training seed, since speed depends on neither."""
    game = game_label(simulator_experiment(config, experiment).games[0])
    return simulator_files(config, experiment, "weights.safetensors", game, only_first=True)


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


def agent_play_of(config: Config, experiment: str) -> AgentPlay:
    """How an agent acts inside an experiment's simulators. Raises UserError where none does."""
    options = simulator_experiment(config, experiment).agent_play
    if options is None:
        raise UserError(f"no agent acts inside the simulators of '{experiment}': say agent_play in config.yaml.")
    return options


def acting_agent(config: Config, experiment: str, game: str) -> str:
    """The file of the agent that acts inside the simulators of a game: the one named, or the data set's."""
    agent = agent_play_of(config, experiment).agent
    path = agent_path(agent, game) if agent else agent_file(config, game_dataset(config, experiment, game))
    assert path is not None, "the configuration's check"
    return path


def play_block(config: Config, experiment: str, simulator: str, game: str) -> PlayAgentBlock:
    """Block of play_agent."""
    task = atari_shard_block(config, game_dataset(config, experiment, game)).task
    options = agent_play_of(config, experiment).model_dump(exclude={"agent", "simulators"})
    warm_up = simulator_experiment(config, experiment).evaluation.warm_up
    kind = simulator_entry(config, experiment, simulator).model.kind
    return PlayAgentBlock(kind=kind, task=task, warm_up=warm_up, **options)


def play_inputs(config: Config, place: Mapping[str, str]) -> dict[str, str]:
    """What play_agent reads: a simulator, and the agent. place: the rule's wildcards."""
    experiment, game = place["experiment"], place["game"]
    folder = simulator_folder(config, experiment, game, place["seed"], place["simulator"])
    return {"weights": f"{folder}/weights.safetensors", "agent": acting_agent(config, experiment, game)}


def played(config: Config, experiment: str) -> list[tuple[str, int, str]]:
    """(game's label, training seed, simulator) of everything that an agent acts in, in the table's order."""
    options = simulator_experiment(config, experiment)
    names = [name for name in options.scored if options.agent_play and name in options.agent_play.simulators]
    games = [game_label(game) for game in options.games]
    return [(game, seed, name) for game in games for name in names for seed in options.training_seeds]


def played_files(config: Config, experiment: str, suffix: str) -> list[str]:
    """Scores ('csv'), films ('mp4') or what it saw ('h5') of the agent inside simulators."""
    folder = f"results/{experiment}"
    return [f"{folder}/{game}/seed-{seed}/agent/{name}.{suffix}" for game, seed, name in played(config, experiment)]


def agent_score_files(config: Config, experiment: str, name: str) -> list[str]:
    """One file of every agent that the workflow trains for an experiment: to play its frames, or inside its simulators."""
    options = simulator_experiment(config, experiment)
    paths: dict[str, None] = {}
    for game in map(game_label, options.games):
        for dataset in options.datasets:
            paths[agent_file(config, f"{dataset}-{game}") or ""] = None
        paths[acting_agent(config, experiment, game) if options.agent_play else ""] = None
    return [f"{path.rsplit('/', 1)[0]}/{name}" for path in paths if path.startswith("results/agents/")]


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


def figure_names(config: Config, experiment: str) -> list[str]:
    """Figures of an experiment: curves of all games, and a strip of frames for each; where actions have factors, how alike.

    Where an agent sees predicted frames, what it looks at. Rows that differ in one thing alone have a figure of it: how training mixes frames, or how long it was.
    """
    options = simulator_experiment(config, experiment)
    factored = any(has_action_factors(entry) for entry in options.scored.values())
    watched = options.agent_play is not None and max(options.agent_play.chain_periods) > 1
    kinds = ("strip", *(("actions",) if factored else ()), *(("saliency",) if watched else ()))
    asked = {"schemes": options.schemes, "frames": options.budgets, "agent": options.agent_play}
    there = [figure for figure, reason in asked.items() if reason]
    return [
        "error",
        "training",
        "speed",
        *there,
        *(f"{kind}-{game_label(game)}" for kind in kinds for game in options.games),
    ]


def has_action_factors(entry: SimulatorEntry) -> bool:
    """Whether a simulator has numbers for each action that multiply what it remembers."""
    return isinstance(entry.model, ACVPOptions) and entry.model.action in ("after", "before")


def simulator_products(config: Config, experiment: str) -> list[str]:
    """Everything that people look at: tables, figures, films."""
    folder = f"results/{experiment}"
    agents = ("agents.csv", "agents.md") if agent_score_files(config, experiment, "score.json") else ()
    tables = [f"{folder}/{name}" for name in ("table.csv", "table.md", "table.tex", "speed.csv", *agents)]
    figures = [
        f"{folder}/figures/{name}.{suffix}" for name in figure_names(config, experiment) for suffix in ("svg", "pdf")
    ]
    films = [f"{folder}/videos/{game_label(game)}.mp4" for game in simulator_experiment(config, experiment).games]
    films += played_files(config, experiment, "mp4")  # the figure of the agents is drawn from the tables beside these
    return [*tables, *figures, *films]


def table_inputs(config: Config, experiment: str) -> dict[str, list[str]]:
    """What a table is made from: every simulator's errors, all weights behind them, and where it has speeds, those."""
    made = {
        "errors": simulator_files(config, experiment, ERRORS),
        "weights": simulator_files(config, experiment, "weights.safetensors", stages=True),
    }
    timed = simulator_experiment(config, experiment).evaluation.speed_in_table
    return {**made, **({"speed": [f"results/{experiment}/speed.csv"]} if timed else {})}


def figure_inputs(config: Config, experiment: str, figure: str) -> dict[str, list[str]]:
    """What a figure is drawn from. Raises UserError when there is no such figure."""
    if figure not in figure_names(config, experiment):
        known = ", ".join(figure_names(config, experiment))
        raise UserError(f"experiment '{experiment}' has no figure '{figure}'; it has {known}.")
    options, speed = simulator_experiment(config, experiment), [f"results/{experiment}/speed.csv"]
    errors = partial(_of_rows, config, experiment, ERRORS)
    budgets = [name for names in options.budgets for name in names]
    of_all_games = {
        "error": lambda: {"errors": errors([*options.scored])},
        "speed": lambda: {"errors": errors([*options.scored]), "speed": speed},
        "schemes": lambda: {"errors": errors(options.schemes)},
        "frames": lambda: {
            "errors": errors(budgets),
            "weights": _of_rows(config, experiment, "weights.safetensors", budgets),
        },
        "training": lambda: {"metrics": simulator_files(config, experiment, "metrics.csv", stages=True)},
        "agent": lambda: {"played": played_files(config, experiment, "csv")},
    }
    if figure in of_all_games:
        return of_all_games[figure]()
    kind, game = figure.split("-", 1)
    if kind == "actions":
        return {"weights": factored_weights(config, experiment, game)}
    if kind == "saliency":
        return {"moments": kept_moments(config, experiment, game), "acting": [acting_agent(config, experiment, game)]}
    return shown_inputs(config, experiment, game)


def kept_moments(config: Config, experiment: str, game: str) -> list[str]:
    """What an agent saw inside the simulators of one game, those of the first training seed."""
    first = f"results/{experiment}/{game}/seed-{simulator_experiment(config, experiment).training_seeds[0]}/"
    return [path for path in played_files(config, experiment, "h5") if path.startswith(first)]


def _of_rows(config: Config, experiment: str, name: str, rows: list[str]) -> list[str]:
    """One file of some rows of the table."""
    return [path for path in simulator_files(config, experiment, name) if path.split("/")[-2] in rows]


def factored_weights(config: Config, experiment: str, game: str) -> list[str]:
    """The simulators of one game and of the first training seed whose actions have factors."""
    files = simulator_files(config, experiment, "weights.safetensors", game, only_first=True)
    entries = simulator_experiment(config, experiment).scored.values()
    return [path for path, entry in zip(files, entries, strict=True) if has_action_factors(entry)]


def shown_inputs(config: Config, experiment: str, game: str) -> dict[str, list[str]]:
    """What pictures of one game are made from: its simulators of the first training seed, and held-out frames."""
    return {
        "weights": simulator_files(config, experiment, "weights.safetensors", game, only_first=True),
        "shards": test_shards(config, experiment, game),
    }


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
