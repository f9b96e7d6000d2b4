"""A job of the workflow: which stage makes which files, from what, with which options and code.

The rules ask here for a job's config block and modules. The paths stand in the rules too, where Snakemake needs them; a test
compares the two with a dry run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from worldmodels.config import atari_blocks, blocks, simulator_blocks, simulator_files
from worldmodels.config.datasets import AgentPolicy, DatasetOptions
from worldmodels.config.experiments import Config, Variant
from worldmodels.config.load import experiment_options
from worldmodels.config.options import Options
from worldmodels.errors import UserError

PLAYING_STAGES = {
    "collect_rollouts": (),
    "evolve_controller": ("evaluation",),
    "evaluate_controller": (),
    "evaluate_batch": (),
    "film": (),
}
"""Stages whose code includes the task's where their block has one, and what else they then run."""


AGENT_POLICY = "agent_policy"
"""What collection runs besides where an agent plays: the code of V, M and C, which other data sets do not depend on."""


class Files(NamedTuple):
    """What one rule writes, as patterns over its wildcards."""

    outputs: tuple[str, ...]
    log: str


def _in_experiment(log: str, *outputs: str) -> Files:
    folder = "results/{experiment}"
    return Files(tuple(f"{folder}/{name}" for name in outputs), f"{folder}/logs/{log}.log")


def _in_seed(log: str, folder: str, *outputs: str) -> Files:
    return _in_experiment(f"seed-{{seed}}/{log}", *(f"seed-{{seed}}/{folder}{name}" for name in outputs))


def _of_simulator(log: str, *outputs: str) -> Files:
    names = (f"{{game}}/seed-{{seed}}/simulators/{{simulator}}/{name}" for name in outputs)
    return _in_experiment(f"{{game}}/seed-{{seed}}/{log}-{{simulator}}", *names)


FILES = {
    "collect_rollouts": Files(("results/data/{dataset}/{shard}.h5",), "results/data/{dataset}/logs/{shard}.log"),
    "collect_atari": Files(
        ("results/data/{dataset}/{split}-{shard}.h5",), "results/data/{dataset}/logs/{split}-{shard}.log"
    ),
    "train_agent": Files(
        tuple(
            f"results/agents/{{agent}}/{{game}}/{name}" for name in ("agent.safetensors", "episodes.csv", "score.json")
        ),
        "results/agents/{agent}/{game}/train_agent.log",
    ),
    "train_simulator": _of_simulator("train_simulator", "weights.safetensors", "metrics.csv"),
    "evaluate_simulator": _of_simulator("evaluate_simulator", simulator_files.ERRORS),
    "tabulate_agents": _in_experiment("tabulate_agents", "agents.csv", "agents.md"),
    "time_simulators": _in_experiment("time_simulators", "speed.csv"),
    "tabulate_simulators": _in_experiment("tabulate_simulators", "table.csv", "table.md", "table.tex"),
    "plot_simulators": _in_experiment("plot_simulators-{figure}", "figures/{figure}.svg", "figures/{figure}.pdf"),
    "film_simulator": _in_experiment("film_simulator-{game}", "videos/{game}.mp4"),
    "play_agent": _in_experiment(
        "{game}/seed-{seed}/play_agent-{simulator}",
        *(f"{{game}}/seed-{{seed}}/agent/{{simulator}}.{suffix}" for suffix in ("csv", "mp4", "h5")),
    ),
    "train_vae": _in_seed("train_vae", "models/vae/", "weights.safetensors", "metrics.csv"),
    "encode_latents": _in_seed("encode_latents", "", "latents.h5"),
    "train_mdn_rnn": _in_seed("train_mdn_rnn", "models/mdn_rnn/", "weights.safetensors", "metrics.csv", "deaths.json"),
    "initialise_vae": _in_seed("initialise_vae", "models/vae-untrained/", "weights.safetensors"),
    "initialise_mdn_rnn": _in_seed("initialise-{memory}", "models/{memory}/", "weights.safetensors"),
    "import_published_weights": _in_seed(
        "import_published_weights",
        "models/",
        *("vae-published/weights.safetensors", "mdn_rnn-published/weights.safetensors"),
        "controller-published/controller.json",
    ),
    "evolve_controller": _in_seed(
        "evolve_controller-{variant}", "controllers/{variant}/", "controller.json", "history.csv"
    ),
    "evaluate_controller": _in_seed("evaluate_controller-{variant}", "controllers/{variant}/", "episodes.csv"),
    "evaluate_batch": _in_seed("evaluate_batch-{variant}-{batch}", "controllers/{variant}/batches/", "{batch}.csv"),
    "gather_episodes": _in_seed("gather_episodes-{variant}", "controllers/{variant}/", "episodes.csv"),
    "tabulate": _in_experiment("tabulate", "table.csv", "table.md", "table.tex"),
    "plot": _in_experiment("plot-{figure}", "figures/{figure}.svg", "figures/{figure}.pdf"),
    "film": _in_experiment("film", "videos/real.mp4", "videos/dream.mp4"),
    "show": _in_experiment("show", "table.html", "videos/real.html", "videos/dream.html"),
}
"""Outputs and log of each stage; the first output names its state folder."""


@dataclass(frozen=True)
class Job:
    """One run of one stage."""

    stage: str
    place: Mapping[str, str]  # the rule's wildcards
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    log: str
    block: Options
    modules: tuple[str, ...]

    @property
    def owner(self) -> str:
        """The experiment, the data set or the agent that it works for."""
        return next(self.place[name] for name in ("experiment", "dataset", "agent") if name in self.place)

    @property
    def what(self) -> str:
        """Which of the owner's jobs of this stage it is: 'tau-1.15, seed 2'; empty where there is one."""
        kinds = ("game", "simulator", "variant", "memory", "figure", "split")
        names = [self.place[name] for name in kinds if name in self.place]
        numbers = [f"{name} {self.place[name]}" for name in ("shard", "seed", "batch") if name in self.place]
        return ", ".join([*names, *numbers])


def stage_block(config: Config, stage: str, place: Mapping[str, str]) -> Options:
    """The one config block that a job reads. place: the rule's wildcards."""
    if stage == "collect_rollouts":
        return blocks.shard_block(dataset_options(config, place["dataset"]))
    if stage == "collect_atari":
        return atari_blocks.atari_shard_block(config, place["dataset"])
    if stage == "train_agent":
        return atari_blocks.train_agent_block(config, place["agent"], place["game"])
    if stage in simulator_blocks.SIMULATOR_STAGES:
        return simulator_blocks.simulator_block(config, stage, place)
    options = experiment_options(config, place["experiment"])
    if stage in blocks.VARIANT_BLOCKS:
        variant_options(config, place["experiment"], place["variant"])
        return blocks.VARIANT_BLOCKS[stage](config, options, place["variant"])
    return blocks.simple_block(stage, config, options)


def stage_modules(stage: str, block: Options) -> list[str]:
    """Modules whose code a job's result depends on: the stage's, and its task's or its simulators'."""
    if stage in simulator_blocks.SIMULATOR_STAGES:
        return [f"stages.{stage}", *simulator_blocks.simulator_modules(block)]
    task = getattr(block, "task", None)
    if stage not in PLAYING_STAGES or task is None:
        return [f"stages.{stage}"]
    seeing = [AGENT_POLICY] if isinstance(getattr(block, "policy", None), AgentPolicy) else []
    return [f"stages.{stage}", f"envs.{task.name}", *PLAYING_STAGES[stage], *seeing]


def dataset_options(config: Config, name: str) -> DatasetOptions:
    """A data set by name. Raises UserError when there is none."""
    if name not in config.datasets:
        known = ", ".join(sorted(config.datasets))
        raise UserError(f"there is no data set '{name}'. config.yaml defines: {known}.")
    return config.datasets[name]


def variant_options(config: Config, experiment: str, variant: str) -> Variant:
    """A variant by name. Raises UserError when the experiment has none such."""
    variants = experiment_options(config, experiment).variants
    if variant not in variants:
        raise UserError(f"experiment '{experiment}' has no variant '{variant}'; it has {', '.join(variants)}.")
    return variants[variant]


def make_job(config: Config, stage: str, inputs: tuple[str, ...], **place: str) -> Job:
    """A job of a stage. inputs: what it reads, in the order of the rule's. place: the rule's wildcards."""
    block = stage_block(config, stage, place)
    outputs = tuple(path.format(**place) for path in FILES[stage].outputs)
    log = FILES[stage].log.format(**place)
    return Job(stage, place, inputs, outputs, log, block, tuple(stage_modules(stage, block)))
