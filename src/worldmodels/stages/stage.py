"""What every stage has in common: a command line, a log, a locked state folder, provenance, and clear endings.

A stage is a pydantic model whose fields are its options. Fields made by `input_file` are checksummed into the key of
its state folder; fields made by `output_file` get a provenance record; the first output names the state folder.
"""

import argparse
import inspect
import logging
import os
import sys
import time
import types
import typing
from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worldmodels.config.blocks import parse_block
from worldmodels.config.options import Options
from worldmodels.errors import UserError
from worldmodels.provenance import code_fingerprint, peak_memory_mb, read_provenance, record_provenance
from worldmodels.runtime import finished
from worldmodels.runtime.files import disk_problem, file_checksum
from worldmodels.runtime.processor import available_cores
from worldmodels.runtime.state import StateFolder, state_key, work_facts
from worldmodels.runtime.stop import Interrupted, StopRequest, snakemake_ancestor

log = logging.getLogger("worldmodels")

EXIT_USER_ERROR = 1
EXIT_INTERRUPTED = 143
OUT_OF_MEMORY = (
    "the memory did not suffice. Close other programs, use a larger machine, or make the batch or the model smaller."
)


def input_file(description: str, default: Any = ...) -> Any:
    """A field that names an existing file, or a list of files."""
    return Field(default, description=description, json_schema_extra={"role": "input"})


def output_file(description: str) -> Any:
    """A field that names a file which the stage makes."""
    return Field(description=description, json_schema_extra={"role": "output"})


Seed = Annotated[int, Field(ge=0, description="The training seed")]
Shard = Annotated[int, Field(ge=0, description="Which shard of the data set it makes")]


class Stage(BaseModel):
    """Base of all stages. Subclasses add fields and `run`; `Block` is the type of their config block."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    Block: ClassVar[type[Options]]
    uses_gpu: ClassVar[bool] = False
    """Whether the stage is worth a GPU. It then holds one for itself, where there is one."""
    uses_torch: ClassVar[bool] = True
    """Whether the stage computes with torch, whose import takes longer than to write a table or a page."""
    state: ClassVar[StateFolder]

    config: str = Field(description="The stage's config block, as JSON")
    log: Path | None = Field(None, description="Also write the log to this file")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto, cpu or cuda; a stage that makes no use of a GPU runs on the cpu"
    )
    threads: int = Field(0, ge=0, description="Cores to use; 0 means all that this process may use")

    @abstractmethod
    def run(self) -> None:
        """Read the inputs, call the package, write the outputs."""

    def modules(self) -> list[str]:
        """Modules whose code the result depends on: the stage's own, and those that its block names."""
        return [f"stages.{self.name()}"]

    def inputs(self) -> list[Path]:
        """All input files."""
        return [path for field in self._with_role("input") for path in _as_list(getattr(self, field))]

    def outputs(self) -> list[Path]:
        """All output files; the first names the state folder."""
        return [getattr(self, field) for field in self._with_role("output")]

    @classmethod
    def name(cls) -> str:
        """The stage's name: its module's."""
        return cls.__module__.rsplit(".", 1)[-1]

    def block(self) -> Any:
        """The config block, typed."""
        return parse_block(self.Block, self.config)

    def facts(self) -> dict[str, Any]:
        """What the result depends on: block, fingerprint, inputs, and options such as the seed."""
        return work_facts(
            stage=self.name(),
            config=self.block().model_dump(mode="json"),
            code=code_fingerprint(self.modules()),
            inputs={str(path): _sound_checksum(path) for path in self.inputs()},
            options={name: getattr(self, name) for name in self._scalar_options()},
        )

    @classmethod
    def _scalar_options(cls) -> list[str]:
        """Options that are no files and that the result depends on: those of every stage are not."""
        return [
            name
            for name, field in cls.model_fields.items()
            if name not in Stage.model_fields and not _is_path(field.annotation)
        ]

    @classmethod
    def _with_role(cls, role: str) -> list[str]:
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return [name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("role") == role]


class RolloutStage(Stage):
    """A stage that reads all shards of a data set: by folder and count, since 1,000 paths overflow a command line."""

    dataset: Path = Field(description="Folder of the data set's shards")
    shards: int = Field(ge=1, description="How many of its shards to use")

    def shard_paths(self) -> list[Path]:
        """The shards, in order."""
        return [self.dataset / f"{shard:03d}.h5" for shard in range(self.shards)]

    def inputs(self) -> list[Path]:
        """The shards, and what else the stage reads."""
        return [*self.shard_paths(), *super().inputs()]


def _sound_checksum(path: Path) -> str:
    """SHA-256 of an input. Raises UserError, and moves the file aside, where it is not what its stage wrote."""
    checksum = file_checksum(path)
    record = read_provenance(path)
    if record is None or record.get("sha256") == checksum:
        return checksum
    aside = path.with_name(f"{path.name}.damaged")
    with suppress(FileNotFoundError):  # another stage that reads it was faster
        path.replace(aside)
    raise UserError(
        f"{path} is not what its stage wrote (its checksum differs from its provenance): it was cut short or changed since. "
        f"It lies in {aside.name} now; the same command makes it again."
    )


def _as_list(value: Path | list[Path] | None) -> list[Path]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def main(kind: type[Stage], arguments: list[str]) -> int:
    """Run a stage from its command line; returns the exit status."""
    options = vars(_parser(kind).parse_args(arguments))
    try:
        stage = _with_options(kind, options)
        _configure_logging(stage.log)
        _run(stage)
    except Interrupted as stopped:
        log.warning("%s stopped: %s.", kind.name(), stopped)
        return EXIT_INTERRUPTED
    except Exception as error:
        reason = _explained(error)
        if reason is None:
            raise
        log.error("%s: %s", kind.name(), reason)
        return EXIT_USER_ERROR
    return 0


def _with_options(kind: type[Stage], options: dict[str, Any]) -> Stage:
    """The stage with these options. Raises UserError about the first one that is not what it must be."""
    try:
        return kind(**options)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise UserError(f"--{name} is {first['input']!r}, but: {first['msg']}.") from None


def _explained(error: Exception) -> str | None:
    """One sentence about what went wrong, where the user can do something about it; None for a fault of ours."""
    if isinstance(error, UserError):
        return str(error)
    text = str(error)
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "out of memory" in text
    ):  # torch's words
        return f"{OUT_OF_MEMORY} PyTorch says: {text.splitlines()[0]}"
    if isinstance(error, OSError) and (reason := disk_problem(error)) is not None:
        return f"{error.filename or 'an output'} could not be written: {reason}"
    return None


def _run(stage: Stage) -> None:
    began = time.time()
    under_snakemake = snakemake_ancestor() is not None  # asked now: it may be killed while the stage ends its work
    for path in stage.inputs():
        if not path.exists():
            raise UserError(f"{path} does not exist. Ask snakemake for the target: it makes what is missing first.")
    stop = StopRequest()
    stop.listen()
    device = _set_up_device(stage)
    facts = stage.facts()
    log.info("%s on %s, %d threads", stage.name(), device, stage.threads or available_cores())
    with StateFolder(stage.outputs()[0], state_key(facts), stop) as state:
        state.heartbeat(options=facts["options"])  # for `status`, which asks whether the work would go on
        kept = finished.kept_folder(state.path)
        if finished.take_back(kept, stage.outputs()):
            log.info("%s had finished before Snakemake noted it; its outputs are taken back", stage.name())
        else:
            _compute(stage, state, device, {**facts, "device": device}, began)
        if under_snakemake:
            finished.keep(kept, stage.outputs())
        state.remove()
    log.info(
        "%s finished in %.0f s, %.1f s of it for %d checkpoints",
        stage.name(),
        time.time() - began,
        state.costs.seconds,
        state.costs.count,
    )


def _set_up_device(stage: Stage) -> str:
    """The device, cpu or cuda. Raises UserError where the stage asks for one that it cannot have or use."""
    if stage.device == "cuda" and not stage.uses_gpu:
        raise UserError(f"{stage.name()} makes no use of a GPU: leave out --device cuda.")
    if not stage.uses_torch:
        return "cpu"
    from worldmodels.runtime.device import resolve_device, set_threads

    set_threads(stage.threads or available_cores())
    return str(resolve_device(stage.device if stage.uses_gpu else "cpu"))


def _compute(stage: Stage, state: StateFolder, device: str, facts: dict[str, Any], began: float) -> None:
    """Run the stage, with a GPU of its own where it uses one, and record where its outputs came from."""
    with _gpu_of_its_own(device, state.stop):
        type(stage).state = state
        stage.run()
    facts["peak_memory_mb"] = max(peak_memory_mb(), state.heart.peak_megabytes)
    facts["threads"] = stage.threads or available_cores()
    facts["checkpoints"] = {name: round(value, 2) for name, value in asdict(state.finish()).items()}
    for product in stage.outputs():
        record_provenance(product, facts, began)


def _gpu_of_its_own(device: str, stop: StopRequest) -> AbstractContextManager[object]:
    from worldmodels.runtime.gpu_lease import hold_free_gpu

    return hold_free_gpu(stop) if device == "cuda" else nullcontext()


def _parser(kind: type[Stage]) -> argparse.ArgumentParser:
    """One option per field, described by the field; required fields first."""
    parser = argparse.ArgumentParser(
        prog=f"python -m worldmodels {kind.name()}",
        description=inspect.getdoc(sys.modules[kind.__module__]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, field in sorted(kind.model_fields.items(), key=lambda item: not item[1].is_required()):
        settings: dict[str, Any] = {"help": field.description, "required": field.is_required()}
        if _is_list(field.annotation):
            settings["nargs"] = "+"
        if not field.is_required():
            settings["default"] = field.default
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)
    return parser


def _is_path(annotation: Any) -> bool:
    return annotation is Path or any(_is_path(part) for part in typing.get_args(annotation))


def _is_list(annotation: Any) -> bool:
    if isinstance(annotation, types.UnionType):
        return any(_is_list(part) for part in typing.get_args(annotation))
    return typing.get_origin(annotation) is list


def _configure_logging(path: Path | None) -> None:
    """Log to the terminal and, line by line, to `path`."""
    handlers: list[logging.Handler] = [_TerminalHandler()]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers)
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells each glyph that a PDF needs
    if "WORLDMODELS_DEBUG" in os.environ:
        logging.getLogger().setLevel(logging.DEBUG)


class _TerminalHandler(logging.Handler):
    """Writes above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record), file=sys.stderr)
