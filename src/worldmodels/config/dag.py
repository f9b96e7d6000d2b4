"""Who makes what: the paths of the workflow, and which experiment owns a model or a controller.

An experiment with `models_from` uses another's models. It also takes over that experiment's controllers where variant,
evolution and evaluation are the same to the letter, so that no agent is evolved twice.
"""

from worldmodels.config.blocks import evaluate_block, evolve_block
from worldmodels.config.datasets import DatasetOptions
from worldmodels.config.experiments import Config
from worldmodels.config.load import experiment_options

CURVE_FIGURES = ("evolution", "survival", "reconstructions", "dream", "training")


def shard_paths(name: str, dataset: DatasetOptions) -> list[str]:
    """Paths of all shards of a data set."""
    return [f"results/data/{name}/{shard:03d}.h5" for shard in range(dataset.shards)]


def models_owner(config: Config, experiment: str) -> str:
    """The experiment whose folder holds the models that `experiment` uses."""
    return experiment_options(config, experiment).models_from or experiment


def models_folder(config: Config, experiment: str, seed: int | str) -> str:
    """Folder of the models of one training seed, with its latents."""
    return f"results/{models_owner(config, experiment)}/seed-{seed}"


def controller_owner(config: Config, experiment: str, variant: str) -> str:
    """The experiment whose folder holds the controller of `variant`."""
    options = experiment_options(config, experiment)
    owner = options.models_from
    if owner is None:
        return experiment
    source = experiment_options(config, owner)
    same = (
        variant in source.variants
        and source.dataset == options.dataset
        and evolve_block(config, source, variant) == evolve_block(config, options, variant)
        and evaluate_block(config, source, variant) == evaluate_block(config, options, variant)
    )
    return owner if same else experiment


def controller_folder(config: Config, experiment: str, variant: str, seed: int | str) -> str:
    """Folder of one controller and its episodes."""
    return f"results/{controller_owner(config, experiment, variant)}/seed-{seed}/controllers/{variant}"


def evolved_variants(config: Config, experiment: str) -> list[str]:
    """Names of the variants whose controllers are evolved, in the order of the table."""
    variants = experiment_options(config, experiment).variants
    return [name for name, variant in variants.items() if variant.policy == "evolved"]


def film_variant(config: Config, experiment: str) -> str:
    """The variant that the figures and films of single episodes show: the one nearest to the paper's best, 1.15."""
    variants = experiment_options(config, experiment).variants
    return min(evolved_variants(config, experiment), key=lambda name: abs(variants[name].temperature - 1.15))


def figure_names(config: Config, experiment: str) -> list[str]:
    """Figures of an experiment; score against temperature only where there are several."""
    several = len(evolved_variants(config, experiment)) > 1
    return [*CURVE_FIGURES, *(["temperature"] if several else [])]


def products(config: Config, experiment: str) -> list[str]:
    """Everything that people look at: tables, figures, films."""
    folder = f"results/{experiment}"
    tables = [f"{folder}/table.{suffix}" for suffix in ("csv", "md", "tex")]
    figures = [
        f"{folder}/figures/{name}.{suffix}" for name in figure_names(config, experiment) for suffix in ("svg", "pdf")
    ]
    return [*tables, *figures, f"{folder}/videos/real.mp4", f"{folder}/videos/dream.mp4"]
