"""The one config block that each stage reads: exactly what its output depends on, and nothing else.

Snakemake reruns a stage when its block changes, so a value belongs in a block if and only if the stage's output
depends on it. Blocks travel as canonical JSON on the stage's command line.
"""

import json
from typing import TypeVar

from pydantic import ValidationError

from worldmodels.config.datasets import DatasetOptions, ShardOptions
from worldmodels.config.experiments import Config, ExperimentOptions, Variant
from worldmodels.config.options import Options
from worldmodels.config.tasks import TaskOptions
from worldmodels.config.training import EvaluationOptions, EvolutionOptions, MDNRNNTraining, VAETraining
from worldmodels.errors import UserError

Block = TypeVar("Block", bound=Options)


class CollectRolloutsBlock(ShardOptions):
    """Block of collect_rollouts."""


class TrainVAEBlock(Options):
    """Block of train_vae."""

    training: VAETraining


class EncodeLatentsBlock(Options):
    """Block of encode_latents: V comes with its own sizes, so only the arithmetic is left to say."""

    precision: str


class TrainMDNRNNBlock(Options):
    """Block of train_mdn_rnn."""

    training: MDNRNNTraining


class EvolveControllerBlock(Options):
    """Block of evolve_controller. `task` and `evaluation` are set only where selection uses the real game."""

    variant: Variant
    evolution: EvolutionOptions
    task: TaskOptions | None
    evaluation: EvaluationOptions | None


class EvaluateControllerBlock(Options):
    """Block of evaluate_controller. `evolution` sizes the dreams behind the virtual score."""

    variant: Variant
    task: TaskOptions
    evaluation: EvaluationOptions
    evolution: EvolutionOptions | None
    policy: dict | None


class ReportBlock(Options):
    """Block of tabulate and plot: the experiment as a whole."""

    experiment: ExperimentOptions
    task: TaskOptions


class FilmBlock(Options):
    """Block of film."""

    task: TaskOptions
    evaluation: EvaluationOptions
    evolution: EvolutionOptions


def shard_block(dataset: DatasetOptions) -> CollectRolloutsBlock:
    """What one shard depends on: everything but the number of shards."""
    return CollectRolloutsBlock(**dataset.model_dump(exclude={"shards"}))


def simple_block(stage: str, config: Config, experiment: ExperimentOptions) -> Options:
    """Block of a stage that works for the experiment as a whole, not for one variant."""
    task = config.datasets[experiment.dataset].task
    match stage:
        case "train_vae":
            return TrainVAEBlock(training=experiment.vae)
        case "encode_latents":
            return EncodeLatentsBlock(precision=experiment.vae.precision)
        case "train_mdn_rnn":
            return TrainMDNRNNBlock(training=experiment.mdn_rnn)
        case "tabulate" | "plot":
            return ReportBlock(experiment=experiment, task=task)
        case "film":
            return FilmBlock(task=task, evaluation=experiment.evaluation, evolution=experiment.evolution)
    raise ValueError(f"stage {stage} has no block of its own")


def evolve_block(config: Config, experiment: ExperimentOptions, variant: str) -> EvolveControllerBlock:
    """Block of evolve_controller for one variant."""
    options = experiment.variants[variant]
    real = options.selection == "validation"
    return EvolveControllerBlock(
        variant=options,
        evolution=experiment.evolution,
        task=config.datasets[experiment.dataset].task if real else None,
        evaluation=experiment.evaluation if real else None,
    )


def evaluate_block(config: Config, experiment: ExperimentOptions, variant: str) -> EvaluateControllerBlock:
    """Block of evaluate_controller for one variant."""
    options = experiment.variants[variant]
    dataset = config.datasets[experiment.dataset]
    random = options.policy == "random"
    return EvaluateControllerBlock(
        variant=options,
        task=dataset.task,
        evaluation=experiment.evaluation,
        evolution=None if random else experiment.evolution,
        policy=(options.random_policy or dataset.policy).model_dump() if random else None,
    )


def parse_block(kind: type[Block], text: str) -> Block:
    """Read a block from the JSON of a command line. Raises UserError naming the first problem."""
    try:
        return kind.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise UserError(
            f"--config is not valid JSON ({error}). Copy it whole from Snakemake's printed command."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"--config: {where}: {first['msg']} (got {first.get('input')!r}).") from None
