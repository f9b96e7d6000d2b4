"""The one config block that each stage reads: exactly what its output depends on, and nothing else.

Snakemake reruns a stage when its block changes, so a value belongs in a block if and only if the stage's output
depends on it. Blocks travel as canonical JSON on the stage's command line.
"""

import json
import textwrap
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from worldmodels.config.datasets import AgentPolicy, DatasetOptions, PolicyOptions, ShardOptions
from worldmodels.config.experiments import Config, ExperimentOptions, Variant
from worldmodels.config.models import ControllerOptions, MDNRNNOptions, VAEOptions
from worldmodels.config.options import Options
from worldmodels.config.tasks import CarRacingOptions, RolloutTask, TakeCoverOptions
from worldmodels.config.training import (
    EvaluationOptions,
    EvolutionOptions,
    MDNRNNTraining,
    PlayOptions,
    ShortEpisodeOptions,
    VAETraining,
)
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


class InitialiseVAEBlock(Options):
    """Block of initialise_vae."""

    model: VAEOptions


class InitialiseMDNRNNBlock(Options):
    """Block of initialise_mdn_rnn."""

    model: MDNRNNOptions


class ImportPublishedWeightsBlock(Options):
    """Block of import_published_weights: the sizes that the files must have."""

    task: str
    vae: VAEOptions
    mdn_rnn: MDNRNNOptions
    controller: ControllerOptions


class EvolveControllerBlock(Options):
    """Block of evolve_controller. `task` and `evaluation` are set only where the real game is used.

    Of the evaluation it has what evolution reads: more report episodes evolve nothing again.
    """

    variant: Variant
    evolution: EvolutionOptions
    task: RolloutTask | None
    evaluation: PlayOptions | None


class EvaluateControllerBlock(Options):
    """Block of evaluate_controller. `evolution` sizes the dreams behind the virtual score of an evolved controller."""

    variant: Variant
    task: RolloutTask
    evaluation: EvaluationOptions
    evolution: EvolutionOptions | None
    policy: PolicyOptions | None


class ReportBlock(Options):
    """Block of tabulate and plot: the experiment as a whole. policy: the agent that played its data, where one did."""

    experiment: ExperimentOptions
    task: RolloutTask
    policy: AgentPolicy | None


class ShowBlock(Options):
    """Block of show."""

    title: str


class FilmBlock(Options):
    """Block of film. `dropout`: of the dreams that the filmed controller evolved in. film_temperatures: of further dreams."""

    task: RolloutTask
    evaluation: EvaluationOptions
    evolution: EvolutionOptions
    dropout: float
    film_temperatures: list[float]


def shard_block(dataset: DatasetOptions) -> CollectRolloutsBlock:
    """What one shard depends on: everything but the number of shards."""
    return CollectRolloutsBlock(**dataset.model_dump(exclude={"shards"}))


def film_variant(experiment: ExperimentOptions) -> str:
    """The variant that the figures and films of single episodes show: of the evolved ones, the nearest to the paper's best.

    That is a temperature of 1.15 in Doom, and a dropout of 0.1 in Wellmer & Kwok's car racing; where controllers differ,
    the one that sees z and h of trained models.
    """
    inputs = {"z": 2, "z-h": 0, "z-c-h": 0}
    best_dropout = 0.1 if experiment.published == "dropouts-dream-land" else 0.0

    def distance(name: str) -> tuple[bool, int, float, float]:
        variant = experiment.variants[name]
        controller = variant.controller or experiment.evolution.controller
        farness = abs(variant.temperature - 1.15), abs(variant.dropout - best_dropout)
        return variant.models != "trained", inputs[controller.inputs], *farness

    return min((name for name, variant in experiment.variants.items() if variant.policy == "evolved"), key=distance)


def report_block(experiment: ExperimentOptions, dataset: DatasetOptions) -> ReportBlock:
    """What tables and figures say of an experiment and its data."""
    policy = dataset.policy if isinstance(dataset.policy, AgentPolicy) else None
    return ReportBlock(experiment=experiment, task=dataset.task, policy=policy)


SIMPLE_BLOCKS: dict[str, Callable[[ExperimentOptions, DatasetOptions], Options]] = {
    "train_vae": lambda experiment, _: TrainVAEBlock(training=experiment.vae),
    "encode_latents": lambda experiment, _: EncodeLatentsBlock(precision=experiment.vae.precision),
    "train_mdn_rnn": lambda experiment, _: TrainMDNRNNBlock(training=experiment.mdn_rnn),
    "initialise_vae": lambda experiment, _: InitialiseVAEBlock(model=experiment.vae.model),
    "initialise_mdn_rnn": lambda experiment, _: InitialiseMDNRNNBlock(model=experiment.mdn_rnn.model),
    "import_published_weights": lambda experiment, dataset: ImportPublishedWeightsBlock(
        task=dataset.task.name,
        vae=experiment.vae.model,
        mdn_rnn=experiment.mdn_rnn.model,
        controller=experiment.evolution.controller,
    ),
    "gather_episodes": lambda _, __: Options(),
    "tabulate": report_block,
    "plot": report_block,
    "show": lambda experiment, _: ShowBlock(title=experiment.title),
    "film": lambda experiment, dataset: FilmBlock(
        task=scored_task(dataset.task, experiment.evaluation),
        evaluation=experiment.evaluation,
        evolution=experiment.evolution,
        dropout=experiment.variants[film_variant(experiment)].dropout,
        film_temperatures=experiment.film_temperatures,
    ),
}
"""Blocks of stages that work for the experiment as a whole, not for one variant."""


def simple_block(stage: str, config: Config, experiment: ExperimentOptions) -> Options:
    """Block of a stage that works for the experiment as a whole."""
    return SIMPLE_BLOCKS[stage](experiment, config.datasets[experiment.dataset])


def evolution_options(experiment: ExperimentOptions, variant: Variant) -> EvolutionOptions:
    """How the controller of a variant is evolved: the experiment's way, with the variant's controller."""
    if variant.controller is None:
        return experiment.evolution
    return experiment.evolution.model_copy(update={"controller": variant.controller})


def plays_real_game(variant: Variant) -> bool:
    """Whether evolve_controller plays the real game: to evolve in it, or to select in it."""
    return variant.policy == "evolved" and (variant.environment == "real" or variant.selection == "validation")


def hopeless_after(experiment: ExperimentOptions) -> int:
    """Steps without a reward after which real episodes end while controllers evolve or are selected; 0: they never do."""
    plays = any(plays_real_game(variant) for variant in experiment.variants.values())
    return experiment.evolution.hopeless_after if plays else 0


def short_episodes(experiment: ExperimentOptions) -> ShortEpisodeOptions | None:
    """How episodes that score the first generations are cut off; None where all are whole, or controllers evolve in dreams."""
    plays = any(one.policy == "evolved" and one.environment == "real" for one in experiment.variants.values())
    return experiment.evolution.short_episodes if plays else None


def scored_task(task: RolloutTask, evaluation: EvaluationOptions) -> RolloutTask:
    """The task that reported scores come from: a faster backend or a smaller screen may train, but not report."""
    if isinstance(task, CarRacingOptions):
        return task.model_copy(update={"backend": evaluation.car_racing_backend})
    if isinstance(task, TakeCoverOptions) and evaluation.take_cover_resolution is not None:
        return task.model_copy(update={"screen_resolution": evaluation.take_cover_resolution})
    return task


def evolve_block(config: Config, experiment: ExperimentOptions, variant: str) -> EvolveControllerBlock:
    """Block of evolve_controller for one variant."""
    options = experiment.variants[variant]
    real = plays_real_game(options)
    return EvolveControllerBlock(
        variant=options,
        evolution=evolution_options(experiment, options),
        task=config.datasets[experiment.dataset].task if real else None,
        evaluation=PlayOptions(**experiment.evaluation.model_dump(include=set(PlayOptions.model_fields)))
        if real
        else None,
    )


def evaluate_block(config: Config, experiment: ExperimentOptions, variant: str) -> EvaluateControllerBlock:
    """Block of evaluate_controller for one variant."""
    options = experiment.variants[variant]
    dataset = config.datasets[experiment.dataset]
    random = options.policy == "random"
    return EvaluateControllerBlock(
        variant=options,
        task=scored_task(dataset.task, experiment.evaluation),
        evaluation=experiment.evaluation,
        evolution=evolution_options(experiment, options) if options.policy == "evolved" else None,
        policy=(options.random_policy or dataset.random_policy) if random else None,
    )


VARIANT_BLOCKS: dict[str, Callable[[Config, ExperimentOptions, str], Options]] = {
    "evolve_controller": evolve_block,
    "evaluate_controller": evaluate_block,
    "evaluate_batch": evaluate_block,
}
"""Blocks of stages that work for one variant."""


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
        value = textwrap.shorten(repr(first.get("input")), 120, placeholder=" …")  # of a whole section, its beginning
        raise UserError(f"--config: {where}: {first['msg']} (got {value}).") from None
