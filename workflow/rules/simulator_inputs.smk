# What the simulator rules ask of the configuration; the logic lives in worldmodels.config.simulator_files and simulator_products.
import re

from worldmodels.config import simulator_files
from worldmodels.config import simulator_products as products

# Names of experiments with simulators; the other rules' experiments are all that these are not.
SIMULATOR_EXPERIMENT = "|".join(map(re.escape, CONFIG.simulator_experiments)) or "(?!)"
ANY_NAME = r"[a-z0-9][a-z0-9.-]*"


@clear_errors
def simulator_products(name):
    return products.simulator_products(CONFIG, name)


@clear_errors
def training_frames(wildcards):
    """Input function: the shards to train on, or the agent that plays meanwhile; and the weights to go on from."""
    return simulator_files.training_inputs(CONFIG, wildcards)


def training_options(wildcards, input):
    """Options of train_simulator that name them: folder and count, since 1,000 paths would overflow a command line."""
    words = []
    if "shards" in input.keys():
        dataset = simulator_files.game_dataset(CONFIG, wildcards.experiment, wildcards.game, wildcards.simulator)
        words.append(f"--dataset results/data/{dataset} --shards {len(input.shards)}")
    words += [f"--agent {input.agent}"] if "agent" in input.keys() else []
    words += [f"--start-from {input.start_from}"] if "start_from" in input.keys() else []
    return " ".join(words)


@clear_errors
def scored_weights(wildcards):
    return simulator_files.scored_weights(CONFIG, wildcards)


@clear_errors
def test_frames(wildcards):
    """Input function: the shards of a game that no simulator learned from."""
    return simulator_files.test_shards(CONFIG, wildcards.experiment, wildcards.game)


def agent_scores(name):
    """Input function: one file of every agent that plays for the experiment."""

    @clear_errors
    def paths(wildcards):
        return simulator_files.agent_score_files(CONFIG, wildcards.experiment, name)

    return paths


@clear_errors
def timed_weights(wildcards):
    return simulator_files.timed_weights(CONFIG, wildcards.experiment)


@clear_errors
def table_inputs(wildcards):
    """Input function: what a table is made from."""
    return products.table_inputs(CONFIG, wildcards.experiment)


@clear_errors
def figure_inputs(wildcards):
    """Input function: what a figure is drawn from."""
    return products.figure_inputs(CONFIG, wildcards.experiment, wildcards.figure)


@clear_errors
def film_inputs(wildcards):
    """Input function: the simulators of a game, of the first training seed, and held-out frames."""
    return products.shown_inputs(CONFIG, wildcards.experiment, wildcards.game)


@clear_errors
def acting_inputs(wildcards):
    """Input function: the simulator in which an agent acts, and the agent."""
    return simulator_files.play_inputs(CONFIG, wildcards)


def file_options(wildcards, input):
    """Options of a stage that name its input files, group by group."""
    return " ".join(f"--{name} {paths}" for name, paths in input.items())


def simulator_gpus(wildcards):
    """One GPU at the paper's scale."""
    return int(CONFIG.simulator_experiments[wildcards.experiment].scale == "paper")


def simulator_threads(wildcards):
    """All cores, but in a smoke test one, so that jobs of seconds run beside each other."""
    return 1 if CONFIG.simulator_experiments[wildcards.experiment].scale == "smoke" else 64


def about_simulators(wildcards, input):
    """Params function: words for captions. It takes `input` so that Snakemake does not compare it: words rerun nothing."""
    return captions.about_simulators(CONFIG, wildcards.experiment)
