# What the rules ask of the configuration: paths, config blocks, code fingerprints. The logic lives in
# worldmodels.config.dag and worldmodels.config.job and is tested there; these functions only fit it to Snakemake.
import functools
import re
import shlex
import sys
from pathlib import Path

from worldmodels.config import captions, memory
from worldmodels.config.published_weights import released_files
from worldmodels.config.targets import check_targets
from worldmodels.provenance import code_fingerprint
from worldmodels.runtime import cluster
from worldmodels.runtime.finished import forget_all
from worldmodels.runtime.head import require_writable, take_lock
from worldmodels.runtime.space import require_disk


def clear_errors(function):
    """Show the user one sentence instead of a traceback."""

    @functools.wraps(function)
    def wrapped(*arguments, **named):
        try:
            return function(*arguments, **named)
        except UserError as error:
            raise WorkflowError(str(error)) from None

    return wrapped


clear_errors(cluster.require_workflow_profile)(sys.argv, Path("profiles"))
CONFIG = clear_errors(load_config)(config)
clear_errors(check_targets)(CONFIG, sys.argv[1:])
clear_errors(require_writable)(Path.cwd(), sys.argv[1:])
SOURCE = Path(workflow.basedir) / "src"
# bash's strict mode is Snakemake's own prefix. The path names the code beside this workflow to jobs whose environment (conda,
# a container) has the libraries alone; Snakemake removes the variable from a conda environment, so it is set inside.
shell.prefix(f"set -euo pipefail; export PYTHONPATH={shlex.quote(str(SOURCE))}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; ")
HEAD_LOCK = []  # keeps the lock file of this head open as long as the process lives


@clear_errors
def experiment_products(name):
    return dag.products(CONFIG, name)


@clear_errors
def dataset_of(experiment):
    return experiment_options(CONFIG, experiment).dataset


@clear_errors
def dataset_options(name):
    return job_parts.dataset_options(CONFIG, name)


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
    """Input function: one file of every agent in the experiment's table, variant by variant, seed by seed."""

    @clear_errors
    def paths(wildcards):
        options = experiment_options(CONFIG, wildcards.experiment)
        evolved = dag.evolved_variants(CONFIG, wildcards.experiment)
        folder = dag.episodes_folder if name == "episodes.csv" else dag.controller_folder
        return [
            f"{folder(CONFIG, wildcards.experiment, variant, seed)}/{name}"
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
    return job_parts.variant_options(CONFIG, wildcards.experiment, wildcards.variant).policy == "random"


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
    controller = dag.agent_controller(CONFIG, wildcards.experiment, wildcards.variant, wildcards.seed)
    return {**agent_models(wildcards), "controller": controller}


@clear_errors
def playing_agent(wildcards):
    """Input function: the agent that plays a data set; nothing where its policy sees nothing."""
    return dag.policy_files(CONFIG, dataset_options(wildcards.dataset))


# Experiments whose agents' episodes are played by several jobs; the others' by one.
SPREAD_EXPERIMENT = "|".join(map(re.escape, dag.spread_experiments(CONFIG))) or "(?!)"


def episode_batches(wildcards):
    """Input function: the episodes of each of those jobs."""
    names = dag.batch_names(experiment_options(CONFIG, wildcards.experiment).evaluation.batches)
    folder = f"results/{wildcards.experiment}/seed-{wildcards.seed}/controllers/{wildcards.variant}"
    return [f"{folder}/batches/{name}.csv" for name in names]


@clear_errors
def published_folder(wildcards):
    """Where the user put the weights that the authors released."""
    folder = experiment_options(CONFIG, wildcards.experiment).published_weights
    if folder is None:
        raise UserError(f"experiments.{wildcards.experiment} does not say in which folder its published_weights are.")
    return folder


@clear_errors
def published_files(wildcards):
    """Input function: those weights. A missing file is said here, with where to get it, before anything starts."""
    task = dataset_options(dataset_of(wildcards.experiment)).task.name
    return list(map(str, released_files(Path(published_folder(wildcards)), task).values()))


def controllers_option(wildcards, input):
    """The option of tabulate that names the evolved controllers, where there are any."""
    return f"--controllers {' '.join(input.controllers)}" if input.controllers else ""


def agent_options(wildcards, input):
    """Options of a stage that name the agent's files."""
    return " ".join(f"--{name.replace('_', '-')} {shlex.quote(str(path))}" for name, path in input.items())


def stage_config(stage):
    """Params function: the one config block that `stage` reads, as canonical JSON."""

    @clear_errors
    def block(wildcards):
        return job_parts.stage_block(CONFIG, stage, dict(wildcards.items())).canonical_json()

    return block


def report_category(wildcards):
    return captions.category(CONFIG, wildcards.experiment)


def figure_labels(form):
    """Labels of a figure in the report; two forms become a switch there."""

    def labels(wildcards):
        return {"figure": captions.figure_title(CONFIG, wildcards.experiment, wildcards.figure), "form": form}

    return labels


def about_experiment(wildcards, input):
    """Params function: words for captions. It takes `input` so that Snakemake does not compare it: words rerun nothing."""
    return captions.about(CONFIG, wildcards.experiment)


def code_of(stage):
    """Params function: the fingerprint of the code that `stage` runs, with its task's where it plays one."""

    @clear_errors
    def fingerprint(wildcards):
        block = job_parts.stage_block(CONFIG, stage, dict(wildcards.items()))
        return cached_fingerprint(*job_parts.stage_modules(stage, block))

    return fingerprint


@functools.cache
def cached_fingerprint(*modules):
    return str(code_fingerprint(modules))


def gpus_wanted(wildcards):
    """One GPU at the paper's scale, none for experiments that are made for two cores."""
    return int(experiment_options(CONFIG, wildcards.experiment).scale == "paper")


@clear_errors
def collection_memory(wildcards):
    return memory.collection_memory(CONFIG, wildcards.dataset)


@clear_errors
def evolution_memory(wildcards, threads):
    return memory.controller_memory(CONFIG, wildcards.experiment, wildcards.variant, threads, evolves=True)


@clear_errors
def evaluation_memory(wildcards, threads):
    return memory.controller_memory(CONFIG, wildcards.experiment, wildcards.variant, threads, evolves=False)


def submits_to_slurm():
    return type(workflow.executor_settings).__module__.startswith("snakemake_executor_plugin_slurm")


def prepare_slurm():
    """Stop what SLURM would never start, and ask squeue where there is no accounting to ask."""
    from snakemake_executor_plugin_slurm.partitions import read_partition_file

    settings = workflow.executor_settings
    partitions = read_partition_file(Path(settings.partition_config)) if settings.partition_config else []
    limits = {partition.name: partition.limits.max_runtime for partition in partitions}
    jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    cluster.require_slurm(limits, max((job.threads for job in jobs), default=1))
    for job in jobs:
        cluster.require_place(job, partitions)
    if not cluster.keeps_accounting():
        settings.status_command = "squeue"
    for job in cluster.cancel_orphans(Path.cwd()):
        logger.info(f"Cancelled SLURM job {job}, left by a head that is gone; its stage goes on from its checkpoint.")


def require_room():
    """Stop before the first job where the data sets that are to be collected do not fit on the disk."""
    collecting = ("collect_rollouts", "collect_atari")
    wanted = [job for job in workflow.dag.needrun_jobs() if job.rule.name in collecting]
    needed = sum(
        job_parts.stage_block(CONFIG, job.rule.name, dict(job.wildcards.items())).stored_bytes for job in wanted
    )
    require_disk(Path("results"), needed, f"collecting {len(wanted)} shards")


@clear_errors
def start_head():
    """Take the results folder for this head alone."""
    lock = take_lock(Path("results"))
    HEAD_LOCK.append(lock)
    require_room()
    if submits_to_slurm():
        prepare_slurm()


onstart:
    start_head()


onsuccess:
    forget_all(Path("results"))


onerror:
    forget_all(Path("results"))
