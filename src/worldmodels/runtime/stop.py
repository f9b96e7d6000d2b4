"""Being stopped: by a signal, by a walltime, or by the death of the Snakemake that started this process.

A stage asks `stop.requested` between two steps, saves its checkpoint, and ends by raising Interrupted.
"""

import os
import signal
import threading
import time
from types import FrameType

import psutil

GRACE_SECONDS = 25
"""After this long without an answer the process ends itself: SLURM kills 30 s after its SIGTERM."""


class Interrupted(Exception):
    """Work stopped on request after saving a checkpoint; the same command goes on from there."""


class StopRequest:
    """Whether this process was asked to stop, and why."""

    def __init__(self) -> None:
        self.reason: str | None = None

    @property
    def requested(self) -> bool:
        """True once a signal came or the parent died."""
        return self.reason is not None

    def listen(self) -> None:
        """Catch SIGTERM and SIGINT, and watch the Snakemake process that this one works for, if there is one."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        head = snakemake_ancestor()
        if head is not None:
            threading.Thread(target=self._watch, args=(head,), daemon=True, name="parent-watch").start()

    def check(self) -> None:
        """Raise Interrupted if a stop was requested; for loops that have nothing to save."""
        if self.requested:
            raise Interrupted(self.reason)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._request(f"received {signal.Signals(number).name}")

    def _watch(self, head: psutil.Process) -> None:
        while head.is_running() and head.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.5)
        self._request(f"Snakemake (process {head.pid}) is gone")

    def _request(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason
            deadline = threading.Timer(GRACE_SECONDS, os._exit, args=(143,))
            deadline.daemon = True
            deadline.start()


def snakemake_ancestor() -> psutil.Process | None:
    """The nearest ancestor that is Snakemake; None when the stage was started by hand."""
    for ancestor in psutil.Process().parents():
        try:
            if any("snakemake" in os.path.basename(word) for word in ancestor.cmdline()[:4]):  # noqa: PTH119
                return ancestor
        except psutil.Error:
            continue
    return None
