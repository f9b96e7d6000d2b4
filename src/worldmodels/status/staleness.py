"""Whether a product is still what today's config and code would make: its provenance record against the inventory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from worldmodels.config.experiments import Config
from worldmodels.config.job import Job
from worldmodels.config.key_places import config_key
from worldmodels.provenance import Fingerprint, code_fingerprint, library_versions, read_provenance

ABSENT = "absent"


@dataclass(frozen=True)
class Change:
    """A value that is not what it was when the product was made."""

    name: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Staleness:
    """Why a product would be made again."""

    config: tuple[Change, ...] = ()
    code_changed: bool = False
    code_files: tuple[str, ...] = ()  # which; empty where the record is too old to say
    inputs: tuple[str, ...] = ()  # sentences: "made from another ...", "... will be made again"

    def __bool__(self) -> bool:
        return bool(self.config or self.code_changed or self.inputs)


class Records:
    """Provenance records of a results folder, each read once."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self._known: dict[str, Mapping[str, Any]] = {}

    def place(self, path: str) -> Path:
        """Where a path of the inventory, from results/ on, lies; files that users bring lie where they say."""
        return self.results / Path(path).relative_to("results") if path.startswith("results/") else Path(path)

    def of(self, path: str) -> Mapping[str, Any]:
        """The record of a product; empty where there is none."""
        if path not in self._known:
            self._known[path] = read_provenance(self.place(path)) or {}
        return self._known[path]


def staleness(config: Config, job: Job, records: Records, remade: set[str]) -> Staleness:
    """Compare a finished job with what it would be today. remade: products that will be or are being made again."""
    record = records.of(job.outputs[0])
    if not record:
        return Staleness(inputs=tuple(_remade_inputs(job, remade)))
    current = fingerprint(job.modules)
    recorded = record.get("config", {})
    return Staleness(
        config=tuple(
            Change(config_key(config, job, change.name), change.old, change.new)
            for change in differences(recorded, job.block.model_dump(mode="json"))
        ),
        code_changed=record.get("code") != current,
        code_files=tuple(changed_files(record.get("code_files", {}), current.files)),
        inputs=(*_other_inputs(job, record, records), *_remade_inputs(job, remade)),
    )


@cache
def fingerprint(modules: tuple[str, ...]) -> Fingerprint:
    """The code fingerprint of some modules as they are now."""
    return code_fingerprint(modules)


def differences(old: Any, new: Any, name: str = "") -> Iterator[Change]:
    """The values in which two config blocks differ, by their dotted names."""
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        if old != new:
            yield Change(name, old, new)
        return
    for key in sorted({*old, *new}):
        inner = f"{name}.{key}" if name else key
        yield from differences(old.get(key, ABSENT), new.get(key, ABSENT), inner)


def changed_files(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Files whose meaning changed, or which the stage did not run or does not run any more; none without a record."""
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name)) if old else []


def _other_inputs(job: Job, record: Mapping[str, Any], records: Records) -> Iterator[str]:
    """Inputs that are not the files that the product was made from."""
    used = {_from_results(path): checksum for path, checksum in record.get("inputs", {}).items()}
    changed = [path for path, checksum in used.items() if records.of(path).get("sha256", checksum) != checksum]
    new = sorted(set(job.inputs) - set(used))
    dropped = sorted(set(used) - set(job.inputs))
    for paths, sentence in (
        (changed, "made from another {}"),
        (new, "made without {}"),
        (dropped, "made from {}, which belongs to it no more"),
    ):
        if paths:
            yield sentence.format(shortened(paths))


def _remade_inputs(job: Job, remade: set[str]) -> Iterator[str]:
    paths = [path for path in job.inputs if path in remade]
    if paths:
        yield f"follows {shortened(paths)}"


def shortened(paths: list[str]) -> str:
    """The first path without results/, and how many more there are."""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return paths[0].removeprefix("results/") + more


def _from_results(path: str) -> str:
    """The path from its last results/ on, however the stage was told it."""
    parts = Path(path).parts
    if "results" not in parts:
        return path
    return Path(*parts[len(parts) - 1 - parts[::-1].index("results") :]).as_posix()


def library_changes(record: Mapping[str, Any]) -> list[Change]:
    """Libraries whose versions are not those that a product was made with. They rerun nothing by themselves."""
    used = record.get("libraries", {})
    return list(differences(used, {name: version for name, version in _libraries() if name in used}))


@cache
def _libraries() -> tuple[tuple[str, str], ...]:
    return tuple(library_versions().items())
