"""Where in config.yaml a key of a job's block is said, for messages that tell what changed."""

from collections.abc import Callable, Mapping

from worldmodels.config import atari_blocks, dag, simulator_blocks
from worldmodels.config.datasets import AgentPolicy
from worldmodels.config.experiments import Config
from worldmodels.config.job import Job

BLOCK_SOURCES = {
    "train_vae": {"training": "vae"},
    "encode_latents": {"precision": "vae.precision"},
    "train_mdn_rnn": {"training": "mdn_rnn"},
    "initialise_vae": {"model": "vae.model"},
    "initialise_mdn_rnn": {"model": "mdn_rnn.model"},
    "import_published_weights": {"vae": "vae.model", "mdn_rnn": "mdn_rnn.model", "controller": "evolution.controller"},
}
"""Entries of an experiment that the keys of a stage's block come from, where their names differ."""


OTHER_PLACES: dict[str, Callable[[Config, str, Mapping[str, str], str], str]] = {
    "collect_rollouts": lambda _config, _stage, place, key: f"datasets.{place['dataset']}.{key}",
    **dict.fromkeys(("collect_atari", "train_agent"), atari_blocks.config_place),
    **dict.fromkeys(simulator_blocks.SIMULATOR_STAGES, simulator_blocks.config_place),
}
"""Where the keys of blocks are said that belong to no World Models experiment, by stage."""


def config_key(config: Config, job: Job, key: str) -> str:
    """Where in config.yaml a key of a job's block is said: 'training.epochs' of doom's V is experiments.doom.vae.epochs."""
    head, _, rest = key.partition(".")
    if job.stage in OTHER_PLACES:
        return OTHER_PLACES[job.stage](config, job.stage, job.place, key)
    experiment = f"experiments.{job.owner}"
    own = _own_key(config, job, key)
    if own is not None:
        return f"{experiment}.{own}"
    agent_plays = isinstance(config.datasets[config.experiments[job.owner].dataset].policy, AgentPolicy)
    if head == "policy" and agent_plays and "variant" in job.place:  # of the random row
        key = f"policy.random_policy.{rest}".rstrip(".")
    if head in ("task", "policy"):
        named = ".name" if job.stage == "import_published_weights" else ""
        return f"datasets.{config.experiments[job.owner].dataset}.{key}{named}"
    if head == "experiment":
        return f"{experiment}.{rest}"
    source = BLOCK_SOURCES.get(job.stage, {}).get(head, head)
    return ".".join(part for part in (experiment, source, rest) if part)


def _own_key(config: Config, job: Job, key: str) -> str | None:
    """The key's place where the variant or the evaluation says what else the experiment or the data set would."""
    if job.stage in ("evaluate_controller", "evaluate_batch", "film"):
        if key == "task.backend":
            return "evaluation.car_racing_backend"
        if key == "task.screen_resolution" and config.experiments[job.owner].evaluation.take_cover_resolution:
            return "evaluation.take_cover_resolution"
    if key == "dropout" and job.stage == "film":
        return f"variants.{dag.film_variant(config, job.owner)}.dropout"
    if "variant" not in job.place:
        return None
    options, entry = config.experiments[job.owner].variants[job.place["variant"]], f"variants.{job.place['variant']}"
    moved = {"variant": entry}
    if options.random_policy is not None:
        moved["policy"] = f"{entry}.random_policy"
    if options.controller is not None:
        moved["evolution.controller"] = f"{entry}.controller"
    for prefix, place in moved.items():
        if key == prefix or key.startswith(f"{prefix}."):
            return place + key.removeprefix(prefix)
    return None
