"""Where a result came from: code fingerprints, and the record that lies beside each product.

A code fingerprint is a hash of the syntax trees (no comments, docstrings, layout) of a module and of every project
module that it imports, transitively. What cannot change a result stays out of it: `config/` (its values arrive in the
stage's block), `runtime/` (locks, progress, files), `stages/stage.py` (command line, log, provenance: every stage would
change with it), and empty `__init__` files.
"""

import ast
import hashlib
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from worldmodels.runtime.files import file_checksum, write_json
from worldmodels.runtime.processor import available_cores, multiplies_bf16, processor_name

PACKAGE = "worldmodels"
PACKAGE_FOLDER = Path(__file__).parent
WITHOUT_INFLUENCE = ("config", "runtime", "benchmarks", "errors.py", "provenance.py", "stages/stage.py")
"""Parts of the package that no result depends on, or whose values reach a stage in its config block."""
RECORDED_LIBRARIES = (
    *("torch", "numpy", "cma", "h5py", "hdf5plugin", "safetensors", "snakemake"),
    *("vizdoom", "gymnasium", "envpool", "box2d", "ale-py", "stable-baselines3"),
)


class Fingerprint(str):
    """A code fingerprint that still knows the files behind it: {path: 16 digits of the hash of its syntax tree}."""

    files: dict[str, str]


def code_fingerprint(modules: Iterable[str], folder: Path = PACKAGE_FOLDER) -> Fingerprint:
    """Return 16 hexadecimal digits that change when the meaning of `modules` or of what they import changes.

    modules: dotted names below the package, such as `stages.train_vae`; a stage's own and those that its experiment
    names (its task). folder: the package's folder, another one in tests.
    """
    hashes = {str(path.relative_to(folder)): _syntax_hash(path) for path in sorted(import_closure(modules, folder))}
    digest = hashlib.sha256()
    for name, syntax in hashes.items():
        digest.update(name.encode())
        digest.update(syntax)
    fingerprint = Fingerprint(digest.hexdigest()[:16])
    fingerprint.files = {name: syntax.hex()[:16] for name, syntax in hashes.items()}
    return fingerprint


def import_closure(modules: Iterable[str], folder: Path = PACKAGE_FOLDER) -> set[Path]:
    """Return the files of `modules` and of everything in the package that they import, transitively."""
    waiting = [path for module in modules for path in _module_files(f"{PACKAGE}.{module}", folder)]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in found or _is_without_influence(path.relative_to(folder).as_posix()):
            continue
        found.add(path)
        waiting += [file for name in _imported_names(path) for file in _module_files(name, folder)]
    return {path for path in found if not (path.name == "__init__.py" and not path.read_text().strip())}


def _is_without_influence(path: str) -> bool:
    return any(path == part or path.startswith(f"{part}/") for part in WITHOUT_INFLUENCE)


def _module_files(name: str, folder: Path) -> list[Path]:
    """Files that importing `name` runs: the packages on the way and the module itself; a trailing attribute is cut."""
    parts = name.split(".")[1:]
    files = []
    for depth in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:depth])
        files += [path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()]
    return files


@cache
def _tree(path: Path, _modified: int) -> ast.Module:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return tree


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Remove every bare string: docstrings, and the strings that describe constants and attributes."""
    node.body = [line for line in node.body if not _is_bare_string(line)] or [ast.Pass()]


def _is_bare_string(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _syntax_hash(path: Path) -> bytes:
    return _cached_hash(path, path.stat().st_mtime_ns)


@cache
def _cached_hash(path: Path, modified: int) -> bytes:
    return hashlib.sha256(ast.dump(_tree(path, modified)).encode()).digest()


def _imported_names(path: Path) -> list[str]:
    return list(_cached_imports(path, path.stat().st_mtime_ns))


@cache
def _cached_imports(path: Path, modified: int) -> tuple[str, ...]:
    names: list[str] = []
    for node in ast.walk(_tree(path, modified)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(name for name in names if name.split(".")[0] == PACKAGE)


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    versions = {"python": platform.python_version()}
    for name in RECORDED_LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def hardware() -> dict[str, Any]:
    """Processor and cores of this machine, and its GPU, if this process has reason to know torch."""
    facts: dict[str, Any] = {"machine": platform.machine(), "processor": processor_name(), "cores": available_cores()}
    facts["bf16"] = multiplies_bf16()  # what `precision: auto` goes by
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def slurm_allocation() -> dict[str, str] | None:
    """Job, node and GPUs that SLURM gave to this process; None outside SLURM."""
    if "SLURM_JOB_ID" not in os.environ:
        return None
    names = {"job": "SLURM_JOB_ID", "node": "SLURMD_NODENAME", "gpus": "CUDA_VISIBLE_DEVICES"}
    return {name: os.environ.get(variable, "") for name, variable in names.items()}


@cache
def git_commit() -> str | None:
    """The commit of the checkout that this package lies in, with '-modified' when files differ; None outside git."""
    base = ["git", "-C", str(PACKAGE_FOLDER)]
    try:
        commit = subprocess.run([*base, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = [*base, "status", "--porcelain", "--untracked-files=no"]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-modified" if changed else commit


def peak_memory_mb() -> int:
    """Peak resident memory of this process, and of the largest that it started and that has ended.

    Where it started several, the heartbeat has seen more. Ask before anything else is started: a program begins as a
    copy of this process, which counts with all its memory.
    """
    own, children = (resource.getrusage(whose).ru_maxrss for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round((own + children) / 1024)


def record_provenance(product: Path, facts: dict[str, Any], began: float) -> None:
    """Write `PRODUCT.provenance.json`, with the wall-clock time of all processes that worked on it.

    facts: stage, block, fingerprint, inputs, peak memory, and under `checkpoints` what the processes before this one
    spent. began: time.time() at the start of this one.
    """
    earlier = facts.get("checkpoints", {}).get("earlier_seconds", 0.0)
    record = {
        **facts,
        "code_files": getattr(facts.get("code"), "files", {}),
        "sha256": file_checksum(product),
        "git_commit": git_commit(),
        "libraries": library_versions(),
        "hardware": hardware(),
        "host": socket.gethostname(),
        "slurm": slurm_allocation(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "wall_clock_seconds": round(earlier + time.time() - began, 1),
    }
    write_json(provenance_path(product), record)


def provenance_path(product: Path) -> Path:
    """Where the record of `product` lies."""
    return product.with_name(f"{product.name}.provenance.json")


def read_provenance(product: Path) -> dict[str, Any] | None:
    """The record beside `product`, or None when there is none or it cannot be read."""
    try:
        record = json.loads(provenance_path(product).read_text())
    except (OSError, ValueError):  # ValueError: neither JSON nor text
        return None
    return record if isinstance(record, dict) else None
