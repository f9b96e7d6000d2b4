"""Who makes what of the Atari data sets and agents: their names, paths and config blocks."""

from collections.abc import Iterator, Mapping

from worldmodels.config.atari import (
    AGENT_FILE_SUFFIX,
    RANDOM,
    AgentTraining,
    AtariDatasetOptions,
    AtariShardOptions,
)
from worldmodels.config.atari_games import ATARI_GAMES
from worldmodels.config.experiments import Config
from worldmodels.config.load import nearest
from worldmodels.config.tasks import AtariOptions
from worldmodels.errors import UserError


class CollectAtariBlock(AtariShardOptions):
    """Block of collect_atari."""


class TrainAgentBlock(AgentTraining):
    """Block of train_agent: the training, and the game."""

    game: str


def game_label(game: str) -> str:
    """A game's name in data sets and folders: ms-pacman."""
    return game.replace("_", "-")


def atari_datasets(config: Config) -> Iterator[tuple[str, AtariDatasetOptions, str]]:
    """(name, options, game) of every Atari data set: NAME-GAME for each game of each entry."""
    for name, options, game in _named(config):
        yield f"{name}-{game_label(game)}", options, game


def atari_dataset(config: Config, name: str) -> tuple[AtariDatasetOptions, str]:
    """(options, game) of the Atari data set NAME-GAME. Raises UserError with the nearest name when there is none."""
    for full, options, game in atari_datasets(config):
        if full == name:
            return options, game
    known = sorted(full for full, _, _ in atari_datasets(config))
    raise UserError(
        f"there is no Atari data set '{name}'.{nearest(name, known)} config.yaml defines: {', '.join(known)}."
    )


def atari_shards(config: Config, name: str, split: str) -> list[str]:
    """Paths of the shards to train on ('train') or to test on ('test')."""
    options, _ = atari_dataset(config, name)
    count = {"train": options.shards, "test": options.test_shards}[split]
    return [f"results/data/{name}/{split}-{shard:03d}.h5" for shard in range(count)]


def agent_file(config: Config, name: str) -> str | None:
    """Path of the agent that plays an Atari data set: trained by the workflow, or named by the user; None for random."""
    options, game = atari_dataset(config, name)
    return None if options.agent == RANDOM else agent_path(options.agent, game)


def agent_path(agent: str, game: str) -> str:
    """File of an agent that is an entry of `atari_agents`, or a file already."""
    return (
        agent if agent.endswith(AGENT_FILE_SUFFIX) else f"results/agents/{agent}/{game_label(game)}/agent.safetensors"
    )


def atari_shard_block(config: Config, name: str) -> CollectAtariBlock:
    """What one shard depends on: everything but the number of shards, and the agent, which is a file."""
    options, game = atari_dataset(config, name)
    return CollectAtariBlock(
        task=AtariOptions(game=game, **options.rules.model_dump()),
        epsilon=options.epsilon,
        uses_agent=options.agent != RANDOM,
        frames_per_shard=options.frames_per_shard,
        parallel_games=options.parallel_games,
        seed=options.seed,
    )


def train_agent_block(config: Config, name: str, game: str) -> TrainAgentBlock:
    """Block of train_agent, for an entry of `atari_agents` and a game as folders spell it."""
    if name not in config.atari_agents:
        raise UserError(
            f"there is no Atari agent '{name}'. config.yaml defines: {', '.join(sorted(config.atari_agents))}."
        )
    spelt = game.replace("-", "_")
    if spelt not in ATARI_GAMES:
        raise UserError(f"there is no Atari game '{game}'.{nearest(spelt, ATARI_GAMES)}")
    return TrainAgentBlock(**config.atari_agents[name].model_dump(), game=spelt)


def config_place(config: Config, stage: str, place: Mapping[str, str], key: str) -> str:
    """Where in config.yaml a key of a block of collect_atari or train_agent is said. place: the rule's wildcards."""
    if stage == "train_agent":
        played = (name for name, options, _ in _named(config) if options.agent == place["agent"])
        return f"atari_datasets.{next(played)}.games" if key == "game" else f"atari_agents.{place['agent']}.{key}"
    entry = next(name for name, _, game in _named(config) if f"{name}-{game_label(game)}" == place["dataset"])
    head, _, rest = key.partition(".")
    if key in ("task.game", "task.name", "task.frame_size"):
        return f"atari_datasets.{entry}.games"
    moved = {"task": f"rules.{rest}", "uses_agent": "agent"}
    return f"atari_datasets.{entry}.{moved.get(head, key)}"


def _named(config: Config) -> Iterator[tuple[str, AtariDatasetOptions, str]]:
    """(entry, options, game) of every game of every entry."""
    for name, options in config.atari_datasets.items():
        yield from ((name, options, game) for game in options.games)
