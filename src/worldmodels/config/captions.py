"""What the captions of the report say of an experiment, in words; workflow/report/*.rst stands around them.

Everything comes from the configuration: a caption promises nothing that the run did not do.
"""

import re
from collections.abc import Iterable

from worldmodels.config.atari import RANDOM, AtariDatasetOptions
from worldmodels.config.blocks import hopeless_after, short_episodes
from worldmodels.config.datasets import AgentPolicy, DatasetOptions
from worldmodels.config.experiments import Config, ExperimentOptions
from worldmodels.config.load import experiment_options, simulator_experiment
from worldmodels.config.simulator_experiments import SimulatorExperiment
from worldmodels.config.simulator_files import weights_owner
from worldmodels.config.tasks import RolloutTask

FIGURE_TITLES = {
    "evolution": "Evolution of the controllers",
    "scores": "Scores in the real environment",
    "reconstructions": "What V keeps of a frame",
    "dream": "A dream, step by step",
    "training": "Training of V and M",
    "temperature": "Score against temperature",
}
"""Labels of the figures, by name."""
SIMULATOR_FIGURE_TITLES = {
    "error": "Error of simulators, step by step ahead",
    "training": "Training of simulators",
    "speed": "Error against speed",
    "strip": "A sequence, real and imagined",
    "actions": "How alike the actions are",
    "schemes": "Error by how training mixes real and predicted frames",
    "frames": "Error against frames seen in training",
    "stages": "Error by stage of the curriculum",
    "agent": "Score of an agent inside simulators",
    "saliency": "What the agent looks at",
}
"""Labels of the figures of simulators, by name; behind those of one game stands its name."""
SCALES = {
    "paper": "the paper's scale",
    "laptop": "laptop scale, smaller than the paper's: no number here confirms or refutes the paper",
    "smoke": "smoke test, **its numbers mean nothing**: it only shows that the workflow runs",
}
PAPERS = {
    "world-models-doom": "Ha & Schmidhuber 2018, table 2",
    "world-models-carracing": "Ha & Schmidhuber 2018, table 1",
    "dropouts-dream-land": "Wellmer & Kwok 2021",
}
"""Where the published numbers beside ours stand, by an experiment's `published`."""
SIMULATOR_PAPERS = {
    "recurrent-environment-simulators": "Chiappa et al. 2017",
    "action-conditional-video-prediction": "Oh et al. 2015",
    "compressing-dynamical-systems-atari": "README of loliverhennigh/Compressing-Dynamical-Systems-Atari",
}


def category(config: Config, experiment: str) -> str:
    """The report's category of an experiment: its title, and its name, since two titles may be the same."""
    known = config.simulator_experiments.get(experiment) or experiment_options(config, experiment)
    title = known.title.replace(":", ",")  # a colon ends the name of a link
    return f"{title} ({experiment})" if title else experiment


def figure_title(config: Config, experiment: str, figure: str) -> str:
    """A figure's label in the report: its name, where there is no better one."""
    if experiment not in config.simulator_experiments:
        return FIGURE_TITLES.get(figure, figure)
    kind, _, game = figure.partition("-")
    title = SIMULATOR_FIGURE_TITLES.get(kind, figure)
    return f"{title} ({game})" if game else title


class About(dict[str, str]):
    """Facts for captions; the report lists a job's parameters, where they would only say it all again."""

    def __str__(self) -> str:
        return "(see the description)"


def about(config: Config, experiment: str) -> About:
    """Facts for captions, as reStructuredText: title, paper, score, and the protocol behind every number."""
    options = experiment_options(config, experiment)
    dataset = config.datasets[options.dataset]
    return About(
        title=escape(options.title or experiment),
        paper=PAPERS.get(options.published or "", "no published table"),
        real="real game" if dataset.task.name == "take_cover" else "real environment",
        protocol=" ".join(_protocol(experiment, options, dataset)),
    )


def _protocol(experiment: str, options: ExperimentOptions, dataset: DatasetOptions) -> list[str]:
    seeds = ", ".join(str(seed) for seed in options.training_seeds)
    models = f" V and M are those of ``{options.models_from}``." if options.models_from else ""
    return [
        f"**Scale:** {SCALES[options.scale]}.",
        f"**Training seeds:** {len(options.training_seeds)} ({seeds}).",
        f"**Report episodes:** {options.evaluation.episodes:,} a variant and training seed, none of them seen before.",
        f"**Data:** {dataset.shards * dataset.episodes_per_shard:,} rollouts of {_player(dataset)} "
        f"(``{options.dataset}``).{models}",
        f"**Budget of a controller:** {_budget(options, dataset.task)}.",
        f"**Make it again:** ``snakemake --cores all results/{experiment}/table.csv``.",
    ]


def _player(dataset: DatasetOptions) -> str:
    """Whose rollouts a data set has."""
    policy = dataset.policy
    if not isinstance(policy, AgentPolicy):
        return "a random policy"
    mixed = f" and, in {policy.random_episodes:.1%} of them, of a random policy" if policy.random_episodes else ""
    disturbed = f" with ε = {policy.epsilon:g}" if policy.epsilon else ""
    return f"the agent {policy.variant} of ``{policy.experiment}``{disturbed}{mixed}"


def about_any(config: Config, experiment: str) -> About:
    """Facts of an experiment of either kind. Raises UserError when there is none such."""
    simulators = experiment in config.simulator_experiments
    return about_simulators(config, experiment) if simulators else about(config, experiment)


def plain(text: str) -> str:
    """The words of a protocol without the marks of reStructuredText."""
    return text.replace("**", "").replace("``", "")


def about_simulators(config: Config, experiment: str) -> About:
    """Facts for captions of an experiment with simulators, as reStructuredText."""
    options = simulator_experiment(config, experiment)
    seeds, evaluation = options.training_seeds, options.evaluation
    shared = [name for name in options.scored if weights_owner(config, experiment, name) != experiment]
    models = f" {', '.join(shared)} are those of ``{options.models_from}``." if shared else ""
    protocol = [
        f"**Scale:** {SCALES[options.scale]}.",
        f"**Training seeds:** {len(seeds)} ({', '.join(map(str, seeds))}).",
        f"**Data:** {_frames(config, options)}.{models}",
        f"**Budget of a simulator:** {_training_budget(options)}.",
        f"**Scored on** {evaluation.sequences:,} held-out sequences, {evaluation.horizon} steps ahead after "
        f"{evaluation.warm_up + 1} real frames, with the actions that were taken there.",
        f"**Make it again:** ``snakemake --cores all results/{experiment}/table.csv``.",
    ]
    paper = SIMULATOR_PAPERS.get(options.published or "", "no published table")
    return About(title=escape(options.title or experiment), paper=paper, protocol=" ".join(protocol))


def _budget(options: ExperimentOptions, task: RolloutTask) -> str:
    """Size of the evolution. Dreams and real episodes are told apart by what the variants ask for."""
    evolution = options.evolution
    places = {one.environment for one in options.variants.values() if one.policy == "evolved"}
    if not places:
        return "none, since nothing is evolved"
    words = {frozenset({"dream"}): "dreams", frozenset({"real"}): "real episodes"}
    episodes = words.get(frozenset(places), "dreams or real episodes")
    steps = _range(evolution.max_steps if place == "dream" else task.max_steps for place in places)
    short = short_episodes(options)
    cut = f", {short.steps:,} in the first {short.generations:,} generations" if short is not None else ""
    idle = hopeless_after(options)
    stop = f", real ones stopped after {idle:,} steps without a reward above 0 (the paper's never are)" if idle else ""
    return (
        f"{evolution.generations:,} generations of {evolution.population} × {evolution.rollouts} {episodes} "
        f"of at most {steps} steps{cut}{stop}"
    )


def _frames(config: Config, options: SimulatorExperiment) -> str:
    """What simulators learn from, of which games, and who plays; where they differ in that, whose it is."""
    learned = {name: rows for name, rows in options.datasets.items() if rows}
    whose = {name: f", for {', '.join(rows)}" if len(learned) > 1 else "" for name, rows in learned.items()}
    told = [_frames_of(name, config.atari_datasets[name], options) + words for name, words in whose.items()]
    unread = "" if options.dataset in learned else f"; test frames of ``{options.dataset}``"
    return "; ".join(told) + unread


def _frames_of(name: str, dataset: AtariDatasetOptions, options: SimulatorExperiment) -> str:
    player = "uniformly random actions"
    if dataset.agent != RANDOM:
        player = f"an agent (``{dataset.agent}``, ε = {dataset.epsilon:g})"
    games = ("each of " if len(options.games) > 1 else "") + ", ".join(options.games)
    if options.online is not None:
        return f"{games}, played meanwhile by {player}, the newest {options.online.memory:,} frames of it"
    return f"{dataset.shards * dataset.frames_per_shard:,} frames of {games}, of {player} (``{name}``)"


def _training_budget(options: SimulatorExperiment) -> str:
    """Updates and windows of the simulators in the table, over all stages of their trainings."""
    chains = [[options.simulators[stage] for stage in options.chain(name)] for name in options.pictured]
    trained = [[one for one in chain if one.learns] for chain in chains]
    stages = [one for chain in trained for one in chain]
    if not stages:
        return "none, since nothing is trained"
    at_most = "at most " if any(one.plateau_updates for one in stages) else ""
    updates = _range(sum(one.updates for one in chain) for chain in trained if chain)
    windows, steps = _range(one.batch_size for one in stages), _range(one.window_steps for one in stages)
    return f"{at_most}{updates} updates of {windows} windows of {steps} steps"


def _range(numbers: Iterable[int]) -> str:
    """One number, or the smallest and the largest."""
    known = sorted(set(numbers))
    return f"{known[0]:,}" if len(known) == 1 else f"{known[0]:,} to {known[-1]:,}"


def escape(text: str) -> str:
    """Text that reStructuredText shows as it is."""
    return re.sub(r"([\\*`|_])", r"\\\1", text)
