"""What people look at in experiments with simulators, and what each table, figure and film is made from."""

from functools import partial

from worldmodels.config.acvp import ACVPOptions
from worldmodels.config.atari_blocks import game_label
from worldmodels.config.experiments import Config
from worldmodels.config.load import simulator_experiment
from worldmodels.config.simulator_experiments import (
    SimulatorEntry,
)
from worldmodels.config.simulator_files import (
    ERRORS,
    acting_agent,
    agent_score_files,
    played_files,
    simulator_files,
    test_shards,
)
from worldmodels.errors import UserError


def figure_names(config: Config, experiment: str) -> list[str]:
    """Figures of an experiment: curves of all games, and a strip of frames for each; where actions have factors, how alike.

    Where an agent sees predicted frames, what it looks at. Rows that differ in one thing alone have a figure of it: how training mixes frames, how long it was, or which
    stage of a curriculum they are.
    """
    options = simulator_experiment(config, experiment)
    factored = any(has_action_factors(entry) for entry in options.scored.values())
    watched = options.agent_play is not None and max(options.agent_play.chain_periods) > 1
    kinds = ("strip", *(("actions",) if factored else ()), *(("saliency",) if watched else ()))
    asked = {
        "schemes": options.schemes,
        "frames": options.budgets,
        "stages": options.stages,
        "agent": options.agent_play,
    }
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
        "error": lambda: {"errors": errors(options.pictured)},
        "speed": lambda: {"errors": errors(options.pictured), "speed": speed},
        "schemes": lambda: {"errors": errors(options.schemes)},
        "stages": lambda: {"errors": errors(options.stages)},
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


def _of_rows(
    config: Config, experiment: str, name: str, rows: list[str], game: str | None = None, only_first: bool = False
) -> list[str]:
    """One file of some rows of the table; game, only_first: see simulator_files."""
    files = simulator_files(config, experiment, name, game, only_first)
    return [path for path in files if path.split("/")[-2] in rows]


def pictured_weights(config: Config, experiment: str, game: str) -> list[str]:
    """The simulators of one game and of the first training seed that pictures show."""
    rows = simulator_experiment(config, experiment).pictured
    return _of_rows(config, experiment, "weights.safetensors", rows, game, only_first=True)


def factored_weights(config: Config, experiment: str, game: str) -> list[str]:
    """Those of them whose actions have factors."""
    options = simulator_experiment(config, experiment)
    weights = zip(pictured_weights(config, experiment, game), options.pictured, strict=True)
    return [path for path, name in weights if has_action_factors(options.simulators[name])]


def shown_inputs(config: Config, experiment: str, game: str) -> dict[str, list[str]]:
    """What pictures of one game are made from: its simulators of the first training seed, and held-out frames."""
    return {
        "weights": pictured_weights(config, experiment, game),
        "shards": test_shards(config, experiment, game),
    }
