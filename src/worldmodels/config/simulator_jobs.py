"""The jobs behind an experiment with simulators: frames, agents, trainings, scores, and what people look at."""

from collections.abc import Iterator

from worldmodels.config import atari_blocks, simulator_files, simulator_products
from worldmodels.config.experiments import Config
from worldmodels.config.job import Job, make_job


def simulator_jobs(config: Config, experiment: str) -> Iterator[Job]:
    """Frames of each game, every simulator trained and scored on them, tables, figures and films."""
    options = config.simulator_experiments[experiment]
    games = [atari_blocks.game_label(game) for game in options.games]
    for game in games:
        test = tuple(simulator_files.test_shards(config, experiment, game))
        yield from _atari_frames(config, experiment, game)
        for simulator in options.simulators:
            for seed in options.training_seeds:
                place = {"game": game, "simulator": simulator, "seed": str(seed)}
                owner = simulator_files.weights_owner(config, experiment, simulator)
                read = simulator_files.training_inputs(config, {"experiment": owner, **place})
                inputs = tuple(path for paths in read.values() for path in paths)
                trained = make_job(config, "train_simulator", inputs, experiment=owner, **place)
                yield trained
                if simulator in options.scored:
                    owner = simulator_files.errors_owner(config, experiment, simulator)
                    yield make_job(config, "evaluate_simulator", (trained.outputs[0], *test), experiment=owner, **place)
    yield from _agent_inside(config, experiment)
    yield from _simulator_report(config, experiment, games)


def _atari_frames(config: Config, experiment: str, game: str) -> Iterator[Job]:
    """The shards of a game that an experiment reads, after the agents that play them where the workflow trains those."""
    options = config.simulator_experiments[experiment]
    learned = [simulator_files.train_shards(config, experiment, game, name) for name in options.simulators]
    tested = simulator_files.test_shards(config, experiment, game)
    for dataset in options.datasets:
        agent = atari_blocks.agent_file(config, f"{dataset}-{game}")
        yield from _trained_agent(config, agent) if agent is not None else ()
    for path in dict.fromkeys([path for paths in (*learned, tested) for path in paths]):
        dataset, name = path.removesuffix(".h5").split("/")[2:]
        split, shard = name.split("-")
        agent = atari_blocks.agent_file(config, dataset)
        inputs = () if agent is None else (agent,)
        yield make_job(config, "collect_atari", inputs, dataset=dataset, split=split, shard=shard)


def _trained_agent(config: Config, path: str) -> Iterator[Job]:
    """The training of an agent, where its file is one that the workflow makes."""
    if not path.startswith("results/agents/"):
        return
    name, game = path.split("/")[2:4]
    start = config.atari_agents[name].start_from
    yield make_job(config, "train_agent", () if start is None else (start,), agent=name, game=game)


def _simulator_report(config: Config, experiment: str, games: list[str]) -> Iterator[Job]:
    tabulated = simulator_products.table_inputs(config, experiment)
    paths = tuple(path for group in tabulated.values() for path in group)
    yield make_job(config, "tabulate_simulators", paths, experiment=experiment)
    scores = [simulator_files.agent_score_files(config, experiment, name) for name in ("score.json", "episodes.csv")]
    if scores[0]:
        yield make_job(config, "tabulate_agents", (*scores[0], *scores[1]), experiment=experiment)
    timed = simulator_files.timed_weights(config, experiment)
    yield make_job(config, "time_simulators", tuple(timed), experiment=experiment)
    for figure in simulator_products.figure_names(config, experiment):
        drawn = simulator_products.figure_inputs(config, experiment, figure)
        paths = tuple(path for group in drawn.values() for path in group)
        yield make_job(config, "plot_simulators", paths, experiment=experiment, figure=figure)
    for game in games:
        shown = simulator_products.shown_inputs(config, experiment, game)
        paths = tuple(path for group in shown.values() for path in group)
        yield make_job(config, "film_simulator", paths, experiment=experiment, game=game)


def _agent_inside(config: Config, experiment: str) -> Iterator[Job]:
    """An agent acts inside simulators, if the experiment says so."""
    for game, seed, simulator in simulator_files.played(config, experiment):
        yield from _trained_agent(config, simulator_files.acting_agent(config, experiment, game))
        place = {"experiment": experiment, "game": game, "seed": str(seed), "simulator": simulator}
        yield make_job(config, "play_agent", tuple(simulator_files.play_inputs(config, place).values()), **place)
