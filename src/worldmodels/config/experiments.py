"""Experiments: what an entry of config.yaml may say, and the whole file."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from worldmodels.config.atari import AGENT_FILE_SUFFIX, RANDOM, AgentTraining, AtariDatasetOptions
from worldmodels.config.datasets import AgentPolicy, CollectionPolicy, DatasetOptions, PolicyOptions
from worldmodels.config.models import ControllerOptions
from worldmodels.config.options import Options
from worldmodels.config.simulator_experiments import FULL_ACTIONS, SimulatorEntry, SimulatorExperiment
from worldmodels.config.training import EvaluationOptions, EvolutionOptions, MDNRNNTraining, VAETraining

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
"""Names become folders and wildcards: lower case, digits, points and hyphens."""


ACTIONS_OF_TASK = {"take_cover": "unit", "car_racing": "steer-gas-brake"}
"""What `actions` of a controller must be, by the task's name."""


class Variant(Options):
    """One row of the table: a policy, and where it learned."""

    policy: Literal["evolved", "random", "published"] = Field(
        "evolved", description="An evolved controller, the random policy, or the controller that the authors released"
    )
    environment: Literal["dream", "real"] = Field(
        "dream", description="Where its controller is evolved: inside M (the paper's Doom), or in the real environment"
    )
    models: Literal["trained", "untrained-m", "untrained", "published"] = Field(
        "trained",
        description="V and M as trained; with an M of fresh weights; both of fresh weights; or those that the authors "
        "released (`published_weights`)",
    )
    controller: ControllerOptions | None = Field(
        None, description="The controller, where it is not the experiment's `evolution.controller`"
    )
    temperature: float = Field(1.0, gt=0, le=5, description="Uncertainty of the dream (tau), evolved in or filmed")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the latent's numbers that M does not see at a step of the dreams that "
        "C evolves in (Wellmer & Kwok 2021); 0 off",
    )
    random_policy: PolicyOptions | None = Field(
        None, description="With policy 'random': which one, where it is not the data set's"
    )
    selection: Literal["mean", "best", "validation"] = Field(
        "mean",
        description="Which controller is kept: the mean of CMA's distribution, its best dream score, or the "
        "distribution mean with the best score on real validation episodes (uses the real game: reported as such)",
    )


class ExperimentOptions(Options):
    """One experiment: data, models, evolution, evaluation, and the rows of its table."""

    extends: Name | None = Field(None, description="Experiment whose entries are taken where this one is silent")
    models_from: Name | None = Field(None, description="Experiment whose trained models (V and M) are used")
    title: str = Field("", description="Heading of its table")
    scale: Literal["paper", "laptop", "smoke"] = Field(
        "paper", description="Only 'paper' earns verdicts; 'smoke' only shows that the machinery runs"
    )
    published: (
        Literal[
            "world-models-doom",
            "world-models-doom-weights",
            "world-models-carracing",
            "world-models-carracing-weights",
            "dropouts-dream-land",
        ]
        | None
    ) = Field(None, description="Published table whose rows stand beside ours")
    published_weights: str | None = Field(
        None, description="Folder of the authors' vae.json, rnn.json and controller.json, for variants that use them"
    )
    dataset: Name = Field("doom-random", description="Entry of `datasets`")
    training_seeds: list[Annotated[int, Field(ge=1, le=1_000_000)]] = Field(
        [1], min_length=1, description="Independent repetitions of everything after collection"
    )
    vae: VAETraining = VAETraining()
    mdn_rnn: MDNRNNTraining = MDNRNNTraining()
    evolution: EvolutionOptions = EvolutionOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    film_temperatures: list[Annotated[float, Field(gt=0, le=5)]] = Field(
        [], description="The film of the dream shows the agent at these temperatures too, beside its own"
    )
    variants: dict[Name, Variant] = Field(min_length=1, description="Rows of the table, by name")

    @model_validator(mode="after")
    def variants_are_possible(self) -> Self:
        """The dream needs a trained M that can tell good from bad, and a linear controller."""
        judges = self.mdn_rnn.model.predict_done or self.mdn_rnn.model.predict_reward
        for name, variant in self.variants.items():
            if variant.policy != "evolved" or variant.environment == "real":
                continue
            if variant.models != "trained":
                raise ValueError(f"variants.{name}: {variant.models} models cannot be dreamt in; set environment: real")
            if not judges:
                raise ValueError(
                    f"variants.{name}: every dream would have the same score, since M foretells neither ends nor rewards; "
                    "set mdn_rnn.model.predict_done or predict_reward: true, or environment: real"
                )
            if (variant.controller or self.evolution.controller).hidden_units:
                raise ValueError(f"variants.{name}: a controller with hidden units needs environment: real")
        return self

    @model_validator(mode="after")
    def published_weights_are_possible(self) -> Self:
        """The released C belongs to the released V and M, and all three need a folder and sizes that were released."""
        for name, variant in self.variants.items():
            if variant.policy == "published" and (variant.models != "published" or variant.controller is not None):
                raise ValueError(f"variants.{name}: policy 'published' needs models: published, and no controller")
            if variant.policy != "random" and variant.models == "published" and self.published_weights is None:
                raise ValueError(f"variants.{name}: published models need published_weights, the folder of the files")
        if self.published_weights is not None and (
            self.mdn_rnn.model.predict_reward or self.evolution.controller.hidden_units
        ):
            raise ValueError("published_weights: the released M has no reward head, and the released C no hidden units")
        return self

    @model_validator(mode="after")
    def sizes_agree(self) -> Self:
        """V and M must speak of the same latent vector, and no training seed may come twice."""
        if self.vae.model.latent_size != self.mdn_rnn.model.latent_size:
            raise ValueError(
                f"vae.model.latent_size is {self.vae.model.latent_size} but mdn_rnn.model.latent_size is "
                f"{self.mdn_rnn.model.latent_size}; they must be equal"
            )
        if len(set(self.training_seeds)) != len(self.training_seeds):
            raise ValueError(f"training_seeds {self.training_seeds} names a seed twice")
        return self


def _plays_data_sets(variant: Variant) -> bool:
    return variant.policy != "random" and variant.models in ("trained", "published")


class Config(Options):
    """config.yaml: data sets and experiments, each by name."""

    datasets: dict[Name, DatasetOptions] = Field(description="Data sets, shared by experiments")
    experiments: dict[Name, ExperimentOptions] = Field(description="Experiments; the name is the folder in results/")
    atari_datasets: dict[Name, AtariDatasetOptions] = Field(
        {}, description="Frames of Atari games; an entry NAME makes the data sets NAME-GAME"
    )
    atari_agents: dict[Name, AgentTraining] = Field({}, description="Agents that only collect Atari frames, by name")
    simulator_experiments: dict[Name, SimulatorExperiment] = Field(
        {}, description="Experiments with learned simulators; the name is the folder in results/"
    )

    @model_validator(mode="after")
    def simulators_have_frames(self) -> Self:
        """Every simulator experiment has a name of its own, and a data set with its games and as many actions."""
        for name, experiment in self.simulator_experiments.items():
            place = f"simulator_experiments.{name}"
            if name in self.experiments:
                raise ValueError(f"{place} has the name of an experiment: both would write into results/{name}")
            self._check_frames(place, experiment, experiment.dataset)
            for row, simulator in experiment.simulators.items():
                if simulator.dataset is not None:
                    self._check_frames(f"{place}.simulators.{row}", experiment, simulator.dataset)
                self._check_actions(f"{place}.simulators.{row}", experiment.learns_from(row), simulator)
        return self

    def _check_frames(self, place: str, experiment: SimulatorExperiment, name: str) -> None:
        if name not in self.atari_datasets:
            raise ValueError(
                f"{place}.dataset is '{name}', but the Atari data sets are {', '.join(sorted(self.atari_datasets))}"
            )
        games = self.atari_datasets[name].games
        missing = [game for game in experiment.games if game not in games]
        if missing:
            raise ValueError(f"{place}.games has {missing[0]}, but atari_datasets.{name} has {', '.join(games)}")

    def _check_actions(self, place: str, name: str, simulator: SimulatorEntry) -> None:
        if self.atari_datasets[name].rules.actions == "full" and simulator.model.actions != FULL_ACTIONS:
            raise ValueError(
                f"{place}.model.actions is {simulator.model.actions}, but atari_datasets.{name} has all {FULL_ACTIONS} actions"
            )

    @model_validator(mode="after")
    def agents_exist(self) -> Self:
        """Every agent that an Atari data set names must be an entry, or a file's name."""
        for name, dataset in self.atari_datasets.items():
            known = dataset.agent in {RANDOM, *self.atari_agents} or dataset.agent.endswith(AGENT_FILE_SUFFIX)
            if not known:
                raise ValueError(
                    f"atari_datasets.{name}.agent is '{dataset.agent}', but it must be '{RANDOM}', a file "
                    f"*{AGENT_FILE_SUFFIX}, or one of the agents {', '.join(sorted(self.atari_agents))}"
                )
        for name, experiment in self.simulator_experiments.items():
            self._check_acting_agent(f"simulator_experiments.{name}.agent_play.agent", experiment)
        return self

    def _check_acting_agent(self, place: str, experiment: SimulatorExperiment) -> None:
        if experiment.agent_play is None:
            return
        agent = experiment.agent_play.agent
        if agent is None and self.atari_datasets[experiment.dataset].agent == RANDOM:
            raise ValueError(
                f"{place} must name an agent, since atari_datasets.{experiment.dataset} is played at random"
            )
        if agent is not None and agent not in self.atari_agents and not agent.endswith(AGENT_FILE_SUFFIX):
            raise ValueError(
                f"{place} is '{agent}', but it must be a file *{AGENT_FILE_SUFFIX}, or one of the agents "
                f"{', '.join(sorted(self.atari_agents))}"
            )

    @model_validator(mode="after")
    def names_exist(self) -> Self:
        """Every data set and every source of models that an experiment names must exist."""
        for name, experiment in self.experiments.items():
            if experiment.dataset not in self.datasets:
                raise ValueError(
                    f"experiments.{name}.dataset is '{experiment.dataset}', but the data sets are "
                    f"{', '.join(sorted(self.datasets))}"
                )
            task, wanted = self.datasets[experiment.dataset].task, experiment.mdn_rnn.model.action_size
            if wanted != task.action_size:
                raise ValueError(
                    f"experiments.{name}.mdn_rnn.model.action_size is {wanted}, but an action of {task.name} (dataset "
                    f"{experiment.dataset}) has {task.action_size}"
                )
            self._check_controllers(name, experiment)
            short = experiment.evolution.short_episodes
            if short is not None and short.steps > task.max_steps:
                raise ValueError(
                    f"experiments.{name}.evolution.short_episodes.steps is {short.steps}, but episodes of {experiment.dataset} end after "
                    f"{task.max_steps} steps (task.max_steps)"
                )
        for section in ("experiments", "simulator_experiments"):
            for name, one in getattr(self, section).items():
                if one.models_from is not None:
                    self._check_models_from(section, name, one.models_from)
        return self

    @model_validator(mode="after")
    def agents_of_data_sets_exist(self) -> Self:
        """An agent that plays a data set is another experiment's, of the same task, and learned from other data."""
        for name, dataset in self.datasets.items():
            if isinstance(dataset.policy, AgentPolicy):
                self._check_playing_agent(name, dataset.policy)
        return self

    def _check_playing_agent(self, name: str, policy: AgentPolicy) -> None:
        place = f"datasets.{name}.policy"
        experiment = self.experiments.get(policy.experiment)
        if experiment is None:
            raise ValueError(f"{place}.experiment is '{policy.experiment}', but there is no such experiment")
        variant = experiment.variants.get(policy.variant)
        if variant is None or not _plays_data_sets(variant):
            agents = [one for one, options in experiment.variants.items() if _plays_data_sets(options)]
            raise ValueError(
                f"{place}.variant is '{policy.variant}', but the agents of {policy.experiment} whose V and M are trained or "
                f"published are: {', '.join(agents) or 'none'}"
            )
        if policy.training_seed not in experiment.training_seeds:
            raise ValueError(
                f"{place}.training_seed is {policy.training_seed}, but {policy.experiment} has {experiment.training_seeds}"
            )
        if policy.latent != experiment.evaluation.latent:
            raise ValueError(
                f"{place}.latent is '{policy.latent}', but {policy.experiment} scores its agents with "
                f"'{experiment.evaluation.latent}'"
            )
        played, learned = self.datasets[name].task, self.datasets[experiment.dataset].task
        for key in ("name", "preprocessing"):
            mine, theirs = getattr(played, key), getattr(learned, key)
            if mine != theirs:
                raise ValueError(
                    f"datasets.{name}.task.{key} is '{mine}', but the agents of {policy.experiment} know '{theirs}'"
                )
        seen: list[str] = [name]
        link: CollectionPolicy = policy
        while isinstance(link, AgentPolicy) and self._learns_from_data(link):
            seen.append(self.experiments[link.experiment].dataset)
            if seen[-1] in seen[:-1]:
                raise ValueError(f"{place}: its agent learns from itself ({' <- '.join(seen)})")
            link = self.datasets[seen[-1]].policy

    def _learns_from_data(self, agent: AgentPolicy) -> bool:
        """Whether the agent's V and M are trained on a data set, rather than published."""
        experiment = self.experiments.get(agent.experiment)
        variant = experiment.variants.get(agent.variant) if experiment is not None else None
        return variant is not None and variant.models == "trained"

    def _check_controllers(self, name: str, experiment: ExperimentOptions) -> None:
        """What controllers put out must be what the task takes."""
        task = self.datasets[experiment.dataset].task
        wanted = ACTIONS_OF_TASK[task.name]
        for variant, options in experiment.variants.items():
            actions = (options.controller or experiment.evolution.controller).actions
            if options.policy == "evolved" and actions != wanted:
                place = f"variants.{variant}.controller" if options.controller else "evolution.controller"
                raise ValueError(
                    f"experiments.{name}.{place}.actions is '{actions}', but a controller of {task.name} needs '{wanted}'"
                )

    def _check_models_from(self, section: str, name: str, source: str) -> None:
        known = getattr(self, section)
        if source not in known or source == name:
            raise ValueError(
                f"{section}.{name}.models_from is '{source}', but it must be another of the experiments "
                f"{', '.join(sorted(set(known) - {name}))}"
            )
        if known[source].models_from is not None:
            raise ValueError(
                f"{section}.{name}.models_from is '{source}', which has no models of its own; name "
                f"'{known[source].models_from}' instead"
            )
        if section == "experiments":
            tasks = [self.datasets[known[one].dataset].task.name for one in (name, source)]
            if tasks[0] != tasks[1]:
                raise ValueError(
                    f"experiments.{name} plays {tasks[0]}, but models_from is '{source}', which plays {tasks[1]}"
                )
            for key in ("dataset", "vae", "mdn_rnn"):
                if getattr(known[name], key) != getattr(known[source], key):
                    raise ValueError(
                        f"experiments.{name}.{key} is not that of '{source}', whose models it uses (models_from), and would "
                        f"change nothing: leave {key} out, or models_from"
                    )
