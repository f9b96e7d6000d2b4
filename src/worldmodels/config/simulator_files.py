"""Files of experiments with simulators: where each lies, who makes it, and what trainings and scores read."""

from collections.abc import Mapping
from typing import Any

from worldmodels.config.atari_blocks import agent_file, agent_path, atari_shards, game_label
from worldmodels.config.experiments import Config
from worldmodels.config.load import nearest, simulator_experiment
from worldmodels.config.simulator_experiments import (
    AgentPlay,
    SimulatorEntry,
    SimulatorExperiment,
)
from worldmodels.errors import UserError

ERRORS = "horizon.h5"
"""File of a simulator's errors, step by step ahead."""


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
