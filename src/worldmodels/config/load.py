"""From config.yaml to typed, complete options: inheritance first, then types, then one sentence about what is wrong."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

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
TAGS = ("name", "kind")
"""Keys that say which of several groups of options a mapping is."""
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
        raise UserError(f"{name}: {describe_problem(error)}") from None


def read_yaml(path: Path) -> Any:
    """The content of a YAML file. Raises UserError, with line and column, when it is missing or none."""
    if not path.is_file():
        raise UserError(f"{path} does not exist. Run in the repository's folder, or name a file: --help says how.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start:,}). Save it as UTF-8.") from None
    loader = LOADER(text)
    try:
        root = loader.get_single_node()
        _refuse_duplicate_keys(root, path, set())
        return None if root is None else loader.construct_document(root)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()


def _refuse_duplicate_keys(node: yaml.Node | None, path: Path, seen: set[int]) -> None:
    """YAML's libraries keep the last of two equal keys: a second `experiments:` would silently replace the first.

    seen: the nodes that were looked at, since an alias may stand within what it names.
    """
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicate_keys(item, path, seen)
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            _refuse_duplicate_keys(value, path, seen)
            if not isinstance(key, yaml.ScalarNode):
                continue  # none of ours: the library says so
            if key.value in lines:
                raise UserError(
                    f"{path}, line {line}: '{key.value}' stands twice (first in line {lines[key.value]}). Join them."
                )
            lines[str(key.value)] = line


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


def describe_problem(error: ValidationError) -> str:
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
    if first["type"] == "union_tag_invalid":
        tag, tags = first["ctx"]["tag"], first["ctx"]["expected_tags"]
        known = tags.replace("'", "").split(", ")
        return f"{where} is '{tag}', but it must be one of {tags}.{nearest(tag, known)}{more}"
    message = first["msg"].removeprefix("Value error, ")
    if not where or first["type"] == "value_error":
        return f"{where + ': ' if where else ''}{message}.{more}"
    return f"{where} is {first['input']!r}, but: {message}.{more}"


def _allowed_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys of the option group at `location`, found by walking the types."""
    kind: Any = Config
    for part in location:
        kind = _inside(kind, part)
    groups = _groups(kind)
    return sorted(groups[0].model_fields) if groups else []


def _inside(kind: Any, part: int | str) -> Any:
    """The type of what lies at `part` of a value of type `kind`."""
    if get_origin(kind) in (dict, list):  # the name is free, the group is the last type argument
        return get_args(kind)[-1]
    groups = _groups(kind)
    if len(groups) > 1:  # pydantic names the one that is meant, as its mapping does
        return next(group for group in groups if _tag(group) == part)
    return groups[0].model_fields[str(part)].annotation


def _groups(kind: Any) -> list[type[BaseModel]]:
    """The groups of options in a union, or the one that stands alone or beside None."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [group for one in get_args(kind) for group in _groups(one)]


def _tag(group: type[BaseModel]) -> Any:
    """The name or kind by which a mapping says that it is such a group."""
    return next((group.model_fields[key].default for key in TAGS if key in group.model_fields), None)


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
