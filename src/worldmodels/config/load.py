"""From config.yaml to typed, complete options: inheritance first, then types, then one sentence about what is wrong."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from worldmodels.config.experiments import Config, ExperimentOptions
from worldmodels.config.merging import merged
from worldmodels.config.simulator_experiments import SimulatorExperiment, with_presets
from worldmodels.errors import UserError

SIMULATORS = "simulator_experiments"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where there is one: six times as fast, and every job reads the configuration."""
TABLE_ROWS = ("variants", "simulators")
NAMED_TRAININGS = ("preset", "curriculum", "stage")
"""Keys whose value is the name of other options."""


def load_config(source: Path | Mapping[str, Any]) -> Config:
    """Read and check a configuration: a YAML file, or the mapping that Snakemake made of one.

    Raises UserError naming the key's full path, the value, and what is allowed.
    """
    name, raw = (str(source), read_yaml(source)) if isinstance(source, Path) else ("config", source)
    if not isinstance(raw, Mapping):
        raise UserError(f"{name} must hold the sections 'datasets' and 'experiments', not {type(raw).__name__}.")
    resolved = dict(raw)
    if isinstance(raw.get("experiments"), Mapping):
        resolved["experiments"] = resolve_inheritance(raw["experiments"])
    if isinstance(raw.get(SIMULATORS), Mapping):
        whole = resolve_inheritance(raw[SIMULATORS], SIMULATORS)
        resolved[SIMULATORS] = {name: with_presets(entry) for name, entry in whole.items()}
    try:
        return Config.model_validate(resolved)
    except ValidationError as error:
        raise UserError(f"{name}: {describe_problem(error, resolved)}") from None


def read_yaml(path: Path) -> Any:
    """The content of a YAML file. Raises UserError, with line and column, when it is missing or none."""
    if not path.is_file():
        raise UserError(f"{path} does not exist. Run in the repository's folder, or name a file with --configfile.")
    try:
        return yaml.load(path.read_text(), LOADER)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def resolve_inheritance(experiments: Mapping[str, Any], section: str = "experiments") -> dict[str, Any]:
    """Complete each experiment with its parents' entries (`extends`); mappings merge, anything else replaces.

    `variants` and `simulators` replace the parent's: a table's rows are named where the table is.
    """
    return {name: _with_parents(name, experiments, (), section) for name in experiments}


def _with_parents(name: str, experiments: Mapping[str, Any], children: tuple[str, ...], section: str) -> Any:
    own = experiments[name]
    if not isinstance(own, Mapping) or own.get("extends") is None:
        return own
    parent = own["extends"]
    if not isinstance(parent, str):
        raise UserError(f"config: {section}.{name}.extends is {parent!r}, but it must be the name of one experiment.")
    if parent in (*children, name):
        raise UserError(f"config: {section}.{name}.extends goes in a circle: {' -> '.join((*children, name, parent))}.")
    if parent not in experiments:
        hint = nearest(str(parent), experiments)
        raise UserError(f"config: {section}.{name}.extends is '{parent}', which is not an experiment.{hint}")
    inherited = _with_parents(parent, experiments, (*children, name), section)
    if not isinstance(inherited, Mapping):
        return own
    # The parent's title would lie about the child, and its agent acts in rows that the child need not have.
    kept = {key: value for key, value in inherited.items() if key not in {"title", "agent_play"}}
    return merged(kept, own, TABLE_ROWS)


def describe_problem(error: ValidationError, raw: Mapping[str, Any]) -> str:
    """One sentence about the first problem that pydantic found, and how many more there are."""
    problems = error.errors()
    # Where a training's name is wrong, all that it should have brought is missing too: the name first.
    first = min(problems, key=lambda problem: problem["loc"][-1:] not in [(key,) for key in NAMED_TRAININGS])
    where = ".".join(str(part) for part in first["loc"])
    more = f" (Problems in all, inherited ones counted again: {len(problems)}.)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        allowed = _allowed_keys(first["loc"][:-1])
        return (
            f"unknown key {where}.{nearest(str(first['loc'][-1]), allowed)} Allowed there: {', '.join(allowed)}.{more}"
        )
    if first["type"] == "missing":
        return f"{where} is missing and has no default.{more}"
    message = first["msg"].removeprefix("Value error, ")
    if not where or first["type"] == "value_error":
        return f"{where + ': ' if where else ''}{message}.{more}"
    return f"{where} is {first['input']!r}, but: {message}.{more}"


def _allowed_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys of the option group at `location`, found by walking the types."""
    model: Any = Config
    for part in location:
        if isinstance(model, UnionType):  # a group, or none
            model = model.__args__[0]
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[str(part)].annotation
        else:  # dict[name, group] or list[group]: the name is free, the group is its last type argument
            model = model.__args__[-1]
    model = model.__args__[0] if isinstance(model, UnionType) else model
    return sorted(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def nearest(word: str, known: Any) -> str:
    """A hint: ' Did you mean X?' or nothing."""
    close = difflib.get_close_matches(word, [str(item) for item in known], n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def experiment_options(config: Config, name: str) -> ExperimentOptions:
    """Return an experiment by name. Raises UserError with the nearest name when there is none."""
    if name not in config.experiments:
        raise no_experiment(config, name)
    return config.experiments[name]


def simulator_experiment(config: Config, name: str) -> SimulatorExperiment:
    """Return an experiment with simulators by name. Raises UserError with the nearest name when there is none."""
    if name not in config.simulator_experiments:
        raise no_experiment(config, name)
    return config.simulator_experiments[name]


def no_experiment(config: Config, name: str) -> UserError:
    """What to say of a name that is no experiment's."""
    known = sorted([*config.experiments, *config.simulator_experiments])
    return UserError(f"there is no experiment '{name}'.{nearest(name, known)} config.yaml defines: {', '.join(known)}.")
