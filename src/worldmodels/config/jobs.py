"""All jobs of an experiment, inputs first, for `python -m worldmodels status` and what packs results."""

from collections.abc import Iterator, Mapping

from worldmodels.config import dag
from worldmodels.config.datasets import AgentPolicy
from worldmodels.config.experiments import Config
from worldmodels.config.job import Job, dataset_options, make_job, variant_options
from worldmodels.config.load import experiment_options
from worldmodels.config.simulator_jobs import simulator_jobs


def experiment_jobs(config: Config, experiment: str) -> list[Job]:
    """All jobs behind an experiment's products, its data set's and those it shares with others too, inputs first."""
    if experiment in config.simulator_experiments:
        return list({job.outputs: job for job in simulator_jobs(config, experiment)}.values())
    options = experiment_options(config, experiment)
    owner = dag.models_owner(config, experiment)
    trains = bool(dag.evolved_variants(config, experiment))
    found = list(_collection(config, experiment_options(config, owner).dataset)) if trains else []
    for seed in options.training_seeds:
        found += _world_model(config, owner, str(seed)) if trains else []
        for variant in options.variants:
            found += _controller(config, experiment, variant, str(seed))
    found += _report(config, experiment)
    return list({job.outputs: job for job in found}.values())


def _shards(config: Config, dataset: str) -> tuple[str, ...]:
    return tuple(dag.shard_paths(dataset, dataset_options(config, dataset)))


def _collection(config: Config, dataset: str) -> Iterator[Job]:
    """The shards, after all that makes the agent which plays them, where one does."""
    options = dataset_options(config, dataset)
    if isinstance(options.policy, AgentPolicy):
        agent, seed = options.policy, str(options.policy.training_seed)
        owner = dag.models_owner(config, agent.experiment)
        if variant_options(config, agent.experiment, agent.variant).models == "trained":
            yield from _collection(config, experiment_options(config, owner).dataset)
            yield from _world_model(config, owner, seed)
        yield from _agent(config, agent.experiment, agent.variant, seed)
    inputs = tuple(dag.policy_files(config, options).values())
    for shard in range(options.shards):
        yield make_job(config, "collect_rollouts", inputs, dataset=dataset, shard=f"{shard:03d}")


def _world_model(config: Config, experiment: str, seed: str) -> Iterator[Job]:
    """V, the latents and M of one training seed."""
    place = {"experiment": experiment, "seed": seed}
    shards = _shards(config, experiment_options(config, experiment).dataset)
    vae = make_job(config, "train_vae", shards, **place)
    latents = make_job(config, "encode_latents", (*shards, vae.outputs[0]), **place)
    yield from (vae, latents, make_job(config, "train_mdn_rnn", latents.outputs, **place))


def _controller(config: Config, experiment: str, variant: str, seed: str) -> Iterator[Job]:
    """The agent of one variant and seed: untrained models where it has such, its controller, its episodes."""
    place = {"experiment": dag.episodes_owner(config, experiment, variant), "variant": variant, "seed": seed}
    options = variant_options(config, experiment, variant)
    if options.policy == "random":
        yield from _evaluation(config, (), place)
        return
    yield from _agent(config, place["experiment"], variant, seed)
    models = tuple(dag.agent_models(config, place["experiment"], variant, seed).values())
    controller = dag.agent_controller(config, place["experiment"], variant, seed)
    yield from _evaluation(config, (*models, controller), place)


def _agent(config: Config, experiment: str, variant: str, seed: str) -> Iterator[Job]:
    """What a variant's agent is made of beside trained models: other models, and an evolved controller."""
    yield from _other_models(config, experiment, variant, seed)
    if variant_options(config, experiment, variant).policy == "evolved":
        models = tuple(dag.agent_models(config, experiment, variant, seed).values())
        owner = dag.controller_owner(config, experiment, variant)
        yield make_job(config, "evolve_controller", models, experiment=owner, variant=variant, seed=seed)


def _evaluation(config: Config, inputs: tuple[str, ...], place: Mapping[str, str]) -> Iterator[Job]:
    """The episodes of an agent: one job, or as many as share them and one that joins them."""
    count = experiment_options(config, place["experiment"]).evaluation.batches
    if count == 1:
        yield make_job(config, "evaluate_controller", inputs, **place)
        return
    batches = [make_job(config, "evaluate_batch", inputs, batch=name, **place) for name in dag.batch_names(count)]
    yield from batches
    yield make_job(config, "gather_episodes", tuple(job.outputs[0] for job in batches), **place)


def _other_models(config: Config, experiment: str, variant: str, seed: str) -> Iterator[Job]:
    """V and M of a variant where they are not trained: of fresh weights, or the authors'."""
    models = variant_options(config, experiment, variant).models
    if models == "published":
        folder = experiment_options(config, experiment).published_weights
        files = tuple(f"{folder}/{name}.json" for name in ("vae", "rnn", "controller"))
        yield make_job(config, "import_published_weights", files, experiment=experiment, seed=seed)
    elif models != "trained":
        yield from _untrained_models(config, dag.models_owner(config, experiment), models, seed)


def _untrained_models(config: Config, experiment: str, models: str, seed: str) -> Iterator[Job]:
    place = {"experiment": experiment, "seed": seed}
    vae, memory = dag.MODEL_FILES[models]
    if models == "untrained":
        yield make_job(config, "initialise_vae", (), **place)
    weights = f"results/{experiment}/seed-{seed}/models/{vae}/weights.safetensors"
    yield make_job(config, "initialise_mdn_rnn", (weights,), memory=memory, **place)


def _report(config: Config, experiment: str) -> Iterator[Job]:
    """The table and, where agents are evolved, figures and films."""
    variants = list(experiment_options(config, experiment).variants)
    evolved = dag.evolved_variants(config, experiment)
    episodes = _of_controllers(config, experiment, "episodes.csv", variants)
    controllers = _of_controllers(config, experiment, "controller.json", evolved)
    table = make_job(config, "tabulate", (*episodes, *controllers), experiment=experiment)
    yield table
    if not evolved:
        return
    shown = _shown(config, experiment)
    histories = _of_controllers(config, experiment, "history.csv", evolved)
    drawn = (table.outputs[0], *episodes, *histories, *_training_histories(config, experiment), *shown)
    shard = _shards(config, experiment_options(config, experiment).dataset)[0]
    for figure in dag.figure_names(config, experiment):
        yield make_job(config, "plot", (*drawn, shard), experiment=experiment, figure=figure)
    film = make_job(config, "film", shown, experiment=experiment)
    yield from (film, make_job(config, "show", (table.outputs[1], *film.outputs), experiment=experiment))


def _of_controllers(config: Config, experiment: str, name: str, variants: list[str]) -> list[str]:
    folder = dag.episodes_folder if name == "episodes.csv" else dag.controller_folder
    return [
        f"{folder(config, experiment, variant, seed)}/{name}"
        for variant in variants
        for seed in experiment_options(config, experiment).training_seeds
    ]


def _training_histories(config: Config, experiment: str) -> list[str]:
    folders = [
        dag.models_folder(config, experiment, seed) for seed in experiment_options(config, experiment).training_seeds
    ]
    return [f"{folder}/models/{model}/metrics.csv" for model in ("vae", "mdn_rnn") for folder in folders]


def _shown(config: Config, experiment: str) -> tuple[str, ...]:
    """The agent of figures and films of single episodes: V, M, latents and controller of the first training seed."""
    seed = experiment_options(config, experiment).training_seeds[0]
    models = dag.models_folder(config, experiment, seed)
    controller = dag.controller_folder(config, experiment, dag.film_variant(config, experiment), seed)
    weights = (f"{models}/models/{name}/weights.safetensors" for name in ("vae", "mdn_rnn"))
    return (*weights, f"{models}/latents.h5", f"{controller}/controller.json")
