"""The jobs of the workflow: which stage makes which files of an experiment, from what, with which options and code.

The rules ask here for a job's config block and modules, and `python -m worldmodels status` for whole lists of jobs. The
paths stand in the rules too, where Snakemake needs them; a test compares the two with a dry run.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from worldmodels.config import atari_blocks, blocks, dag, simulator_blocks, simulator_files, simulator_products
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


def experiment_jobs(config: Config, experiment: str) -> list[Job]:
    """All jobs behind an experiment's products, its data set's and those it shares with others too, inputs first."""
    if experiment in config.simulator_experiments:
        return list({job.outputs: job for job in _simulators(config, experiment)}.values())
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


def _job(config: Config, stage: str, inputs: tuple[str, ...], **place: str) -> Job:
    block = stage_block(config, stage, place)
    outputs = tuple(path.format(**place) for path in FILES[stage].outputs)
    log = FILES[stage].log.format(**place)
    return Job(stage, place, inputs, outputs, log, block, tuple(stage_modules(stage, block)))


def _simulators(config: Config, experiment: str) -> Iterator[Job]:
    """Frames of each game, every simulator trained and scored on them, tables, figures and films."""
    options = config.simulator_experiments[experiment]
    games = [atari_blocks.game_label(game) for game in options.games]
    for game in games:
        test = tuple(simulator_files.test_shards(config, experiment, game))
        yield from _atari_frames(config, experiment, game)
        for simulator in options.simulators:
            for seed in options.training_seeds:
                place = {"game": game, "simulator": simulator, "seed": str(seed)}
                owner = simulator_files.weights_owner(config, experiment, simulator)
                read = simulator_files.training_inputs(config, {"experiment": owner, **place})
                inputs = tuple(path for paths in read.values() for path in paths)
                trained = _job(config, "train_simulator", inputs, experiment=owner, **place)
                yield trained
                if simulator in options.scored:
                    owner = simulator_files.errors_owner(config, experiment, simulator)
                    yield _job(config, "evaluate_simulator", (trained.outputs[0], *test), experiment=owner, **place)
    yield from _agent_inside(config, experiment)
    yield from _simulator_report(config, experiment, games)


def _atari_frames(config: Config, experiment: str, game: str) -> Iterator[Job]:
    """The shards of a game that an experiment reads, after the agents that play them where the workflow trains those."""
    options = config.simulator_experiments[experiment]
    learned = [simulator_files.train_shards(config, experiment, game, name) for name in options.simulators]
    tested = simulator_files.test_shards(config, experiment, game)
    for dataset in options.datasets:
        agent = atari_blocks.agent_file(config, f"{dataset}-{game}")
        yield from _trained_agent(config, agent) if agent is not None else ()
    for path in dict.fromkeys([path for paths in (*learned, tested) for path in paths]):
        dataset, name = path.removesuffix(".h5").split("/")[2:]
        split, shard = name.split("-")
        agent = atari_blocks.agent_file(config, dataset)
        inputs = () if agent is None else (agent,)
        yield _job(config, "collect_atari", inputs, dataset=dataset, split=split, shard=shard)


def _trained_agent(config: Config, path: str) -> Iterator[Job]:
    """The training of an agent, where its file is one that the workflow makes."""
    if not path.startswith("results/agents/"):
        return
    name, game = path.split("/")[2:4]
    start = config.atari_agents[name].start_from
    yield _job(config, "train_agent", () if start is None else (start,), agent=name, game=game)


def _simulator_report(config: Config, experiment: str, games: list[str]) -> Iterator[Job]:
    tabulated = simulator_products.table_inputs(config, experiment)
    paths = tuple(path for group in tabulated.values() for path in group)
    yield _job(config, "tabulate_simulators", paths, experiment=experiment)
    scores = [simulator_files.agent_score_files(config, experiment, name) for name in ("score.json", "episodes.csv")]
    if scores[0]:
        yield _job(config, "tabulate_agents", (*scores[0], *scores[1]), experiment=experiment)
    timed = simulator_files.timed_weights(config, experiment)
    yield _job(config, "time_simulators", tuple(timed), experiment=experiment)
    for figure in simulator_products.figure_names(config, experiment):
        drawn = simulator_products.figure_inputs(config, experiment, figure)
        paths = tuple(path for group in drawn.values() for path in group)
        yield _job(config, "plot_simulators", paths, experiment=experiment, figure=figure)
    for game in games:
        shown = simulator_products.shown_inputs(config, experiment, game)
        paths = tuple(path for group in shown.values() for path in group)
        yield _job(config, "film_simulator", paths, experiment=experiment, game=game)


def _agent_inside(config: Config, experiment: str) -> Iterator[Job]:
    """An agent acts inside simulators, if the experiment says so."""
    for game, seed, simulator in simulator_files.played(config, experiment):
        yield from _trained_agent(config, simulator_files.acting_agent(config, experiment, game))
        place = {"experiment": experiment, "game": game, "seed": str(seed), "simulator": simulator}
        yield _job(config, "play_agent", tuple(simulator_files.play_inputs(config, place).values()), **place)


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
        yield _job(config, "collect_rollouts", inputs, dataset=dataset, shard=f"{shard:03d}")


def _world_model(config: Config, experiment: str, seed: str) -> Iterator[Job]:
    """V, the latents and M of one training seed."""
    place = {"experiment": experiment, "seed": seed}
    shards = _shards(config, experiment_options(config, experiment).dataset)
    vae = _job(config, "train_vae", shards, **place)
    latents = _job(config, "encode_latents", (*shards, vae.outputs[0]), **place)
    yield from (vae, latents, _job(config, "train_mdn_rnn", latents.outputs, **place))


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
        yield _job(config, "evolve_controller", models, experiment=owner, variant=variant, seed=seed)


def _evaluation(config: Config, inputs: tuple[str, ...], place: Mapping[str, str]) -> Iterator[Job]:
    """The episodes of an agent: one job, or as many as share them and one that joins them."""
    count = experiment_options(config, place["experiment"]).evaluation.batches
    if count == 1:
        yield _job(config, "evaluate_controller", inputs, **place)
        return
    batches = [_job(config, "evaluate_batch", inputs, batch=name, **place) for name in dag.batch_names(count)]
    yield from batches
    yield _job(config, "gather_episodes", tuple(job.outputs[0] for job in batches), **place)


def _other_models(config: Config, experiment: str, variant: str, seed: str) -> Iterator[Job]:
    """V and M of a variant where they are not trained: of fresh weights, or the authors'."""
    models = variant_options(config, experiment, variant).models
    if models == "published":
        folder = experiment_options(config, experiment).published_weights
        files = tuple(f"{folder}/{name}.json" for name in ("vae", "rnn", "controller"))
        yield _job(config, "import_published_weights", files, experiment=experiment, seed=seed)
    elif models != "trained":
        yield from _untrained_models(config, dag.models_owner(config, experiment), models, seed)


def _untrained_models(config: Config, experiment: str, models: str, seed: str) -> Iterator[Job]:
    place = {"experiment": experiment, "seed": seed}
    vae, memory = dag.MODEL_FILES[models]
    if models == "untrained":
        yield _job(config, "initialise_vae", (), **place)
    weights = f"results/{experiment}/seed-{seed}/models/{vae}/weights.safetensors"
    yield _job(config, "initialise_mdn_rnn", (weights,), memory=memory, **place)


def _report(config: Config, experiment: str) -> Iterator[Job]:
    """The table and, where agents are evolved, figures and films."""
    variants = list(experiment_options(config, experiment).variants)
    evolved = dag.evolved_variants(config, experiment)
    episodes = _of_controllers(config, experiment, "episodes.csv", variants)
    controllers = _of_controllers(config, experiment, "controller.json", evolved)
    table = _job(config, "tabulate", (*episodes, *controllers), experiment=experiment)
    yield table
    if not evolved:
        return
    shown = _shown(config, experiment)
    histories = _of_controllers(config, experiment, "history.csv", evolved)
    drawn = (table.outputs[0], *episodes, *histories, *_training_histories(config, experiment), *shown)
    shard = _shards(config, experiment_options(config, experiment).dataset)[0]
    for figure in dag.figure_names(config, experiment):
        yield _job(config, "plot", (*drawn, shard), experiment=experiment, figure=figure)
    film = _job(config, "film", shown, experiment=experiment)
    yield from (film, _job(config, "show", (table.outputs[1], *film.outputs), experiment=experiment))


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
