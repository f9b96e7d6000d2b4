"""Checkpoints of unfinished work: one folder per declared output, named by what the work depends on.

The folder's key is a hash of the config block, the code fingerprint and the input checksums, so a checkpoint never
goes on over changed code or data. Its owner holds a lock that the kernel releases with the process. Folders are not
Snakemake outputs: Snakemake deletes those when a job fails.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from worldmodels.errors import UserError
from worldmodels.runtime.files import atomic_path, readable_disk_errors, write_tensors
from worldmodels.runtime.heartbeat import Heart, write_failure
from worldmodels.runtime.stop import Interrupted, StopRequest

log = logging.getLogger(__name__)

CHECKPOINT_NAMES = ("checkpoint", "previous")
"""Files of a checkpoint in its folder, the newest first."""
LOCK_PATIENCE_SECONDS = 60
"""How long to wait for a predecessor that was orphaned and is saving its last checkpoint."""
LONGEST_INTERVAL_SECONDS = 45.0
SHORTEST_INTERVAL_SECONDS = 2.0
COST_SHARE = 0.015
"""Checkpoints may take this share of a stage's time; the interval follows from the cost of the last one."""
INTERVAL_VARIABLE = "WORLDMODELS_CHECKPOINT_SECONDS"
"""Environment variable that fixes the time between checkpoints. No result depends on it."""


def work_facts(
    stage: str, config: Mapping[str, Any], code: str, inputs: Mapping[str, str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """What a stage's result depends on: block, code fingerprint, checksum of each input, and options such as the seed."""
    return {"stage": stage, "config": config, "code": code, "inputs": inputs, "options": options}


def state_key(facts: Mapping[str, Any]) -> str:
    """The key of the state folder of work with these facts: their SHA-256."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def state_root(output: Path) -> Path:
    """Folder of unfinished work for `output`: `.state` in its experiment's or data set's folder."""
    parts = output.parts
    if "results" in parts:
        depth = parts.index("results") + 2
        depth += parts[depth - 1 : depth] == ("data",)
        if len(parts) > depth:
            return Path(*parts[:depth]) / ".state"
    return output.parent / ".state"


@dataclass
class CheckpointCosts:
    """What checkpoints have cost, and what a kill could have cost."""

    count: int = 0
    seconds: float = 0.0
    longest_at_risk: float = 0.0
    """Longest time, in seconds, whose work a kill would have lost: between the start, the ends of checkpoints, and the end."""

    def __add__(self, other: "CheckpointCosts") -> "CheckpointCosts":
        """Of two processes together, which did not run at the same time."""
        longest = max(self.longest_at_risk, other.longest_at_risk)
        return CheckpointCosts(self.count + other.count, self.seconds + other.seconds, longest)


@dataclass
class WorkCosts(CheckpointCosts):
    """The same of all processes that worked on one output, and what those before the last one spent."""

    earlier_processes: int = 0
    earlier_seconds: float = 0.0
    """From their locks to their last heartbeats; the work that a kill made them lose is in it."""


class StateFolder:
    """The checkpoints of one output. Use as a context manager: entering takes the lock and starts the heartbeat.

    Leaving it by an error leaves `failed.json`, which the next start or success removes.
    """

    def __init__(self, output: Path, key: str, stop: StopRequest) -> None:
        root = state_root(output)
        label = "__".join(output.relative_to(root.parent).parts)
        self.path = root / f"{label}-{key[:16]}"
        self.output = output
        self.stop = stop
        self.heart = Heart(self.path / "heartbeat.json", output)
        self._lock: TextIO | None = None
        self._last_save = time.monotonic()
        self._save_cost = 0.0
        self.longest_interval = LONGEST_INTERVAL_SECONDS
        """Seconds after which a checkpoint is due even if the last one cost more than its share of the time."""
        self.costs = CheckpointCosts()
        """Of this process alone."""
        self._earlier_costs = CheckpointCosts()

    def __enter__(self) -> "StateFolder":
        self._take_lock()
        (self.path / "failed.json").unlink(missing_ok=True)
        self.heart.start()
        self._earlier_costs = CheckpointCosts(**self.heart.facts["checkpoints"])
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if isinstance(error, Interrupted):
            self.heart.stop(stopped=str(self.stop.reason))
        else:
            self.heart.stop()
        if error is not None and not isinstance(error, Interrupted):
            write_failure(self.path / "failed.json", error)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while (lock := self._locked()) is None:
            if time.monotonic() > deadline:
                raise UserError(self._held_by_another())
            time.sleep(0.2)
        self._lock = lock
        self._lock.truncate(0)
        self._lock.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}))
        self._lock.flush()

    def _locked(self) -> TextIO | None:
        """The lock's file, locked by this process; None where another holds it, or has just removed it with the folder."""
        with readable_disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                lock = (self.path / "lock").open("a+")
            except FileNotFoundError:  # the folder went between the two lines
                return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock.fileno()), (self.path / "lock").stat()):
                return lock
        except (BlockingIOError, FileNotFoundError):
            pass
        lock.close()
        return None

    def _held_by_another(self) -> str:
        try:
            owner = json.loads((self.path / "lock").read_text())
        except (OSError, json.JSONDecodeError):
            owner = {}
        return (
            f"{self.path} is in use by process {owner.get('pid', '?')} on {owner.get('host', '?')}, which is computing "
            "the same output. Wait for it to finish, or stop it and run the same command: its checkpoints are used."
        )

    def save(self, tensors: Mapping[str, Any], meta: Mapping[str, Any], began: float | None = None) -> None:
        """Write a checkpoint atomically, keeping the one before it in case this one is damaged later.

        began: time.monotonic() when the caller began to write files that belong to it; their cost counts too.
        """
        begin = time.monotonic() if began is None else began
        current = self.path / "checkpoint.safetensors"
        contiguous = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
        with atomic_path(current) as temporary:
            write_tensors(temporary, contiguous, {"meta": json.dumps(meta)})
            if current.exists():
                current.replace(self.path / "previous.safetensors")
        end = time.monotonic()
        self.costs.count += 1
        self.costs.seconds += end - begin
        self.costs.longest_at_risk = max(self.costs.longest_at_risk, end - self._last_save)
        self._last_save, self._save_cost = end, end - begin
        self.heart.report(checkpoints=asdict(self._earlier_costs + self.costs))

    def finish(self) -> WorkCosts:
        """What the work cost over all processes, once it is done: what came after the last checkpoint was at risk too."""
        self.costs.longest_at_risk = max(self.costs.longest_at_risk, time.monotonic() - self._last_save)
        earlier = {name: self.heart.facts[name] for name in ("earlier_processes", "earlier_seconds")}
        return WorkCosts(**asdict(self._earlier_costs + self.costs), **earlier)

    def load(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return (tensors, meta) of the newest whole checkpoint, or None when there is none."""
        for name in CHECKPOINT_NAMES:
            path = self.path / f"{name}.safetensors"
            if path.exists():
                try:
                    return read_checkpoint(path)
                except Exception as error:  # a truncated file raises whatever its damage looks like
                    log.warning("%s is damaged (%s); trying the one before it", path, error)
        return None

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint: 45 s after the last, or later where that would cost more than 1.5 % of the time.

        Who asks rarely, such as once a generation, puts more at risk.
        """
        interval = min(max(SHORTEST_INTERVAL_SECONDS, self._save_cost / COST_SHARE), self.longest_interval)
        interval = float(os.environ.get(INTERVAL_VARIABLE, interval))
        return self.stop.requested or time.monotonic() - self._last_save > interval

    def leave_if_stopped(self) -> None:
        """Raise Interrupted when a stop was requested. Call it right after a checkpoint."""
        if self.stop.requested:
            raise Interrupted(f"{self.stop.reason}; progress is kept, the same command goes on from here")

    def heartbeat(self, **facts: Any) -> None:
        """Tell watchers how far this stage is; they learn it with the next beat."""
        self.heart.report(**facts)

    def remove(self) -> None:
        """Forget the folder: its output is finished."""
        self.heart.stop()  # or its next beat would make the folder again
        shutil.rmtree(self.path, ignore_errors=True)
        # Folders of the same output under other keys are of code or data that is no more.
        label = self.path.name.rsplit("-", 1)[0]
        for stale in self.path.parent.glob(f"{label}-*"):
            if stale.name.rsplit("-", 1)[0] == label and not lock_is_held(stale / "lock"):
                shutil.rmtree(stale, ignore_errors=True)


def lock_is_held(path: Path) -> bool:
    """Whether a living process holds the lock. It is asked for a moment only: whoever wants it just then tries again."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and meta of a checkpoint's file. Raises what its damage makes it raise."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        meta = json.loads(file.metadata()["meta"])
        return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118 (safe_open is no dict)
