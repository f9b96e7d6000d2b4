"""Who makes what: the paths of the workflow, and which experiment owns a model or a controller.

An experiment with `models_from` uses another's models. It also takes over that experiment's controllers where variant
and evolution are the same to the letter, and their episodes where the evaluation is too: no agent is evolved twice, and
one that is scored in another way is still the same agent.
"""

from collections.abc import Callable
from typing import Any

from worldmodels.config import blocks
from worldmodels.config.blocks import evaluate_block, evolve_block
from worldmodels.config.datasets import AgentPolicy, DatasetOptions
from worldmodels.config.experiments import Config, ExperimentOptions
from worldmodels.config.load import experiment_options
from worldmodels.errors import UserError

CURVE_FIGURES = ("evolution", "scores", "reconstructions", "dream", "training")


def shard_paths(name: str, dataset: DatasetOptions) -> list[str]:
    """Paths of all shards of a data set."""
    return [f"results/data/{name}/{shard:03d}.h5" for shard in range(dataset.shards)]


def policy_files(config: Config, dataset: DatasetOptions) -> dict[str, str]:
    """Paths of V, M and C of the agent that plays a data set; none where its policy sees nothing."""
    policy = dataset.policy
    if not isinstance(policy, AgentPolicy):
        return {}
    agent = (config, policy.experiment, policy.variant, policy.training_seed)
    models = agent_models(*agent)
    return {"vae": models["vae"], "mdn_rnn": models["mdn_rnn"], "controller": agent_controller(*agent)}


def models_owner(config: Config, experiment: str) -> str:
    """The experiment whose folder holds the models that `experiment` uses."""
    return experiment_options(config, experiment).models_from or experiment


def models_folder(config: Config, experiment: str, seed: int | str) -> str:
    """Folder of the models of one training seed, with its latents."""
    return f"results/{models_owner(config, experiment)}/seed-{seed}"


MODEL_FILES = {
    "trained": ("vae", "mdn_rnn"),
    "untrained-m": ("vae", "mdn_rnn-untrained"),
    "untrained": ("vae-untrained", "mdn_rnn-on-untrained"),
    "published": ("vae-published", "mdn_rnn-published"),
}
"""Folders of V and M under models/, by a variant's `models`."""
UNTRAINED_ON = {mdn_rnn: vae for name, (vae, mdn_rnn) in MODEL_FILES.items() if name.startswith("untrained")}
"""The V, by folder, whose latents an untrained M in its folder sees."""


def agent_models(config: Config, experiment: str, variant: str, seed: int | str) -> dict[str, str]:
    """Paths of the V and the M that a variant's agent has, and of the latents of a trained V."""
    options = experiment_options(config, experiment).variants[variant]
    published = options.models == "published"
    folder = f"results/{experiment}/seed-{seed}" if published else models_folder(config, experiment, seed)
    vae, mdn_rnn = MODEL_FILES[options.models]
    paths = {
        "vae": f"{folder}/models/{vae}/weights.safetensors",
        "mdn_rnn": f"{folder}/models/{mdn_rnn}/weights.safetensors",
    }
    without_latents = options.models in ("untrained", "published")
    return paths if without_latents else {**paths, "latents": f"{folder}/latents.h5"}


def agent_controller(config: Config, experiment: str, variant: str, seed: int | str) -> str:
    """Path of the controller that a variant's agent has: evolved, or the authors'."""
    if experiment_options(config, experiment).variants[variant].policy == "published":
        return f"results/{experiment}/seed-{seed}/models/controller-published/controller.json"
    return f"{controller_folder(config, experiment, variant, seed)}/controller.json"


def controller_owner(config: Config, experiment: str, variant: str) -> str:
    """The experiment whose folder holds the controller of `variant`: another's, where that evolves the same one."""
    return _owner(config, experiment, variant, evolve_block)


def episodes_owner(config: Config, experiment: str, variant: str) -> str:
    """The experiment whose folder holds the scored episodes of `variant`: the same agent, scored in the same way."""
    return _owner(config, experiment, variant, _scored_agent)


def _scored_agent(config: Config, options: ExperimentOptions, variant: str) -> tuple[Any, ...]:
    """All that decides a variant's episodes; how others evolve does not matter to a policy that nobody evolves."""
    evolved = options.variants[variant].policy == "evolved"
    return (evolve_block(config, options, variant) if evolved else None, evaluate_block(config, options, variant))


def _owner(
    config: Config, experiment: str, variant: str, needs: Callable[[Config, ExperimentOptions, str], Any]
) -> str:
    """The experiment that `experiment` has its models from, if `variant` needs the same there; else itself."""
    options = experiment_options(config, experiment)
    if options.models_from is None:
        return experiment
    source = experiment_options(config, options.models_from)
    same = (
        variant in source.variants
        and source.dataset == options.dataset
        and source.published_weights == options.published_weights
        and needs(config, source, variant) == needs(config, options, variant)
    )
    return options.models_from if same else experiment


def controller_folder(config: Config, experiment: str, variant: str, seed: int | str) -> str:
    """Folder of one controller and its history."""
    return f"results/{controller_owner(config, experiment, variant)}/seed-{seed}/controllers/{variant}"


def episodes_folder(config: Config, experiment: str, variant: str, seed: int | str) -> str:
    """Folder of the scored episodes of one variant."""
    return f"results/{episodes_owner(config, experiment, variant)}/seed-{seed}/controllers/{variant}"


def evolved_variants(config: Config, experiment: str) -> list[str]:
    """Names of the variants whose controllers are evolved, in the order of the table."""
    variants = experiment_options(config, experiment).variants
    return [name for name, variant in variants.items() if variant.policy == "evolved"]


def film_variant(config: Config, experiment: str) -> str:
    """The variant that the figures and films of single episodes show. Raises UserError where none is evolved."""
    if not evolved_variants(config, experiment):
        raise UserError(f"{experiment} evolves no controller to draw or film; ask for results/{experiment}/table.csv.")
    return blocks.film_variant(experiment_options(config, experiment))


def figure_names(config: Config, experiment: str) -> list[str]:
    """Figures of an experiment; score against temperature only where there are several."""
    variants = experiment_options(config, experiment).variants.values()
    temperatures = {one.temperature for one in variants if one.policy == "evolved" and one.environment == "dream"}
    return [*CURVE_FIGURES, *(["temperature"] if len(temperatures) > 1 else [])]


def products(config: Config, experiment: str) -> list[str]:
    """Everything that people look at: tables, figures, films."""
    folder = f"results/{experiment}"
    tables = [f"{folder}/table.{suffix}" for suffix in ("csv", "md", "tex", "html")]
    figures = [
        f"{folder}/figures/{name}.{suffix}" for name in figure_names(config, experiment) for suffix in ("svg", "pdf")
    ]
    films = [f"{folder}/videos/{name}.{suffix}" for name in ("real", "dream") for suffix in ("mp4", "html")]
    return [*tables, *figures, *films]


def batch_names(count: int) -> list[str]:
    """Names of the shares of an agent's episodes, where several jobs play them."""
    return [f"{number:03d}" for number in range(count)]


def spread_experiments(config: Config) -> list[str]:
    """Experiments whose agents' episodes are played by several jobs."""
    return [name for name, options in config.experiments.items() if options.evaluation.batches > 1]
