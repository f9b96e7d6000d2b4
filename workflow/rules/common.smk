# What the rules ask of the configuration: paths, config blocks, code fingerprints. The logic lives in
# worldmodels.config.dag and worldmodels.config.jobs and is tested there; these functions only fit it to Snakemake.
import fcntl
import functools
import json
import os
from pathlib import Path

from worldmodels.provenance import code_fingerprint


def clear_errors(function):
    """Show the user one sentence instead of a traceback."""

    @functools.wraps(function)
    def wrapped(*arguments):
        try:
            return function(*arguments)
        except UserError as error:
            raise WorkflowError(str(error)) from None

    return wrapped


load_checked_config = clear_errors(load_config)
CONFIG = load_checked_config(config)
HEAD_LOCK = []  # keeps the lock file of this head open as long as the process lives


@clear_errors
def experiment_products(name):
    return dag.products(CONFIG, name)


@clear_errors
def dataset_of(experiment):
    return experiment_options(CONFIG, experiment).dataset


@clear_errors
def dataset_options(name):
    return jobs.dataset_options(CONFIG, name)


def dataset_shards(wildcards):
    name = dataset_of(wildcards.experiment)
    return dag.shard_paths(name, dataset_options(name))


def dataset_folder(wildcards):
    return f"results/data/{dataset_of(wildcards.experiment)}"


def dataset_shard_count(wildcards):
    return dataset_options(dataset_of(wildcards.experiment)).shards


@clear_errors
def models_file(name):
    """Input function: a file of the models that the experiment uses."""

    def path(wildcards):
        return f"{dag.models_folder(CONFIG, wildcards.experiment, wildcards.seed)}/{name}"

    return path


def all_controllers(name, only_evolved=False):
    """Input function: one file of every controller in the experiment's table, variant by variant, seed by seed."""

    @clear_errors
    def paths(wildcards):
        options = experiment_options(CONFIG, wildcards.experiment)
        evolved = dag.evolved_variants(CONFIG, wildcards.experiment)
        return [
            f"{dag.controller_folder(CONFIG, wildcards.experiment, variant, seed)}/{name}"
            for variant in options.variants
            for seed in options.training_seeds
            if variant in evolved or not only_evolved
        ]

    return paths


def all_models(name):
    """Input function: one file of the models of every training seed."""

    @clear_errors
    def paths(wildcards):
        seeds = experiment_options(CONFIG, wildcards.experiment).training_seeds
        return [f"{dag.models_folder(CONFIG, wildcards.experiment, seed)}/{name}" for seed in seeds]

    return paths


def shown_model(name):
    """Input function: a file of the models of the first training seed, for figures of single episodes."""

    @clear_errors
    def path(wildcards):
        seed = experiment_options(CONFIG, wildcards.experiment).training_seeds[0]
        return f"{dag.models_folder(CONFIG, wildcards.experiment, seed)}/{name}"

    return path


def vae_of_untrained(wildcards):
    """Input function: the V whose latents an untrained M sees."""
    vae = dag.UNTRAINED_ON[wildcards.memory]
    return f"results/{wildcards.experiment}/seed-{wildcards.seed}/models/{vae}/weights.safetensors"


@clear_errors
def shown_controller(wildcards):
    seed = experiment_options(CONFIG, wildcards.experiment).training_seeds[0]
    variant = dag.film_variant(CONFIG, wildcards.experiment)
    return f"{dag.controller_folder(CONFIG, wildcards.experiment, variant, seed)}/controller.json"


def first_shard(wildcards):
    return dataset_shards(wildcards)[0]


@clear_errors
def is_random(wildcards):
    return jobs.variant_options(CONFIG, wildcards.experiment, wildcards.variant).policy == "random"


@clear_errors
def agent_models(wildcards):
    """Input function: the V and M of a variant's agent, and the latents where V is trained; nothing for the random policy."""
    if is_random(wildcards):
        return {}
    return dag.agent_models(CONFIG, wildcards.experiment, wildcards.variant, wildcards.seed)


def scored_agent(wildcards):
    """Input function: the agent's models and its controller."""
    if is_random(wildcards):
        return {}
    folder = f"results/{wildcards.experiment}/seed-{wildcards.seed}/controllers/{wildcards.variant}"
    return {**agent_models(wildcards), "controller": f"{folder}/controller.json"}


def agent_options(wildcards, input):
    """Options of a stage that name the agent's files."""
    return " ".join(f"--{name.replace('_', '-')} {path}" for name, path in input.items())


def stage_config(stage):
    """Params function: the one config block that `stage` reads, as canonical JSON."""

    @clear_errors
    def block(wildcards):
        return jobs.stage_block(CONFIG, stage, dict(wildcards.items())).canonical_json()

    return block


def code_of(stage):
    """Params function: the fingerprint of the code that `stage` runs, with its task's where it plays one."""

    @clear_errors
    def fingerprint(wildcards):
        block = jobs.stage_block(CONFIG, stage, dict(wildcards.items()))
        return cached_fingerprint(*jobs.stage_modules(stage, block))

    return fingerprint


@functools.cache
def cached_fingerprint(*modules):
    return str(code_fingerprint(modules))


def gpus_wanted(wildcards):
    """One GPU at the paper's scale, none for experiments that are made for two cores."""
    return int(experiment_options(CONFIG, wildcards.experiment).scale == "paper")


onstart:
    folder = Path("results")
    folder.mkdir(exist_ok=True)
    lock = (folder / ".lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        raise WorkflowError(
            f"another snakemake (process {owner}) is working on {folder.resolve()}. Wait for it, or stop it; two heads "
            "on one results folder would overwrite each other."
        )
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    HEAD_LOCK.append(lock)
