"""A stage's sign of life: a file rewritten every few seconds, from a thread, as long as the process lives.

A thread, because one generation of a large population or the scoring after training may take minutes in which no
loop counts anything. The file is what `python -m worldmodels status` reads, on this or on another host.
"""

import json
import logging
import os
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from worldmodels.errors import UserError
from worldmodels.runtime.files import write_json
from worldmodels.runtime.memory import tree_megabytes

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
TRACEBACK_LINES = 6
"""Lines of an unexpected error's traceback that are kept for status: the log does not have them."""


class Heart:
    """Writes `path` every few seconds between `start` and `stop`."""

    def __init__(self, path: Path, output: Path) -> None:
        self.path = path
        self.facts: dict[str, Any] = {"output": str(output)}
        self.peak_megabytes = 0
        """Most memory that this process and its children had together at any beat."""
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Write the first beat at once, and go on writing in the background. The time of earlier processes is carried on."""
        self.facts |= {**process_facts(), **earlier_work(self.path), "started": time.time()}
        self._beat()
        self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeat")
        self._thread.start()

    def report(self, **facts: Any) -> None:
        """What the next beats say. A new title, such as that of a stage's second part, is written at once."""
        new_part = facts.get("title", self.facts.get("title")) != self.facts.get("title")
        self.facts = {**self.facts, **facts}
        if new_part:
            self._wake.set()

    def work_so_far(self) -> dict[str, float]:
        """What a process that goes on from here must add to its own: as many processes, and seconds."""
        seconds = time.time() - self.facts["started"]
        return {
            "earlier_processes": self.facts["earlier_processes"] + 1,
            "earlier_seconds": self.facts["earlier_seconds"] + seconds,
        }

    def stop(self, **last_facts: Any) -> None:
        """End the thread; with `last_facts`, leave a last beat that holds them."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if last_facts:
            self.report(**last_facts)
            self._beat()

    def _run(self) -> None:
        while True:
            self._wake.wait(BEAT_SECONDS)
            self._wake.clear()
            if self._stopping:
                return
            self._beat()

    def _beat(self) -> None:
        self.peak_megabytes = max(self.peak_megabytes, tree_megabytes(os.getpid()))
        try:
            write_json(self.path, {**self.facts, "time": time.time()})
        except (OSError, UserError) as error:  # a full disk ends the stage where it loses something, not here
            log.debug("no heartbeat: %s", error)


def earlier_work(path: Path) -> dict[str, Any]:
    """What the processes before this one spent on the same work: how many they were, their seconds and checkpoints.

    path: the file with the last one's last beat, which a kill -9 leaves at most BEAT_SECONDS behind.
    """
    try:
        last = json.loads(path.read_text())
        lived = max(0.0, last["time"] - last["started"])
    except (OSError, ValueError, KeyError):
        return {"earlier_processes": 0, "earlier_seconds": 0.0, "checkpoints": {}}
    return {
        "earlier_processes": last.get("earlier_processes", 0) + 1,
        "earlier_seconds": last.get("earlier_seconds", 0.0) + lived,
        "checkpoints": last.get("checkpoints", {}),
    }


def process_facts() -> dict[str, Any]:
    """Who works, and where: host, process, SLURM job, GPUs, command, log file."""
    facts = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "stage": command_name(),
        "log": _log_file(),
    }
    return {name: value for name, value in facts.items() if value is not None}


def command_name() -> str | None:
    """The command that this process runs, such as train_vae; None outside the command line."""
    program, words = Path(sys.argv[0]), sys.argv[1:]
    ours = program.name == "worldmodels" or (program.name, program.parent.name) == ("__main__.py", "worldmodels")
    return words[0] if ours and words else None


def _log_file() -> str | None:
    handlers = logging.getLogger().handlers
    return next((one.baseFilename for one in handlers if isinstance(one, logging.FileHandler)), None)


def write_failure(path: Path, error: BaseException) -> None:
    """Leave a record of the error that ends a stage. Says nothing where it cannot be written."""
    known = isinstance(error, UserError)
    record = {**process_facts(), "time": time.time(), "error": str(error) if known else _named(error)}
    if not known:
        lines = "".join(traceback.format_exception(error)).rstrip().splitlines()
        record["traceback"] = lines[-TRACEBACK_LINES:]
    try:
        write_json(path, record)
    except (OSError, UserError) as problem:
        log.debug("no record of the failure: %s", problem)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
