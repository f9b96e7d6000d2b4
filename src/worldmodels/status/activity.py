"""Unfinished work: what the state folders say about who works, since when, how far, and whether it still lives.

A process of this host lives if the kernel says that its lock is held. One of another host is known by its heartbeat,
whose age is taken from the file system's clock alone: the clocks of two nodes may differ by more than a beat.
"""

import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from worldmodels.runtime.state import CHECKPOINT_NAMES, lock_is_held

DEAD_AFTER_SECONDS = 120.0
"""A heart beats every 5 s, but network file systems may show a file's age up to a minute late."""
TOLERATED_SKEW_SECONDS = 5.0

State = Literal["running", "stopped", "failed"]


@dataclass(frozen=True)
class Activity:
    """One state folder."""

    output: str  # from results/ on; the stage's first output
    key: str  # of config, code and inputs
    state: State
    beat: Mapping[str, Any]  # the last heartbeat; of an older lock where there is none
    failure: Mapping[str, Any]  # failed.json, or empty
    age: float  # seconds since the last sign of life
    clock_ahead: float  # the writer's clock against the file system's, seconds
    has_checkpoint: bool

    @property
    def share(self) -> float | None:
        """How much is done, 0 to 1; None where nothing is counted."""
        total = self.beat.get("total")
        return self.beat.get("done", 0) / total if total else None

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None where it is not known."""
        rate, total = self.beat.get("rate"), self.beat.get("total")
        if not rate or not total:
            return None
        return max(0.0, (total - self.beat["done"]) / rate - self.age)


def read_activities(results: Path, now: float) -> dict[str, Activity]:
    """The newest unfinished work of each output, by output. now: the file system's clock."""
    newest: dict[str, Activity] = {}
    for folder in state_folders(results):
        activity = read_activity(folder, results, now)
        if activity is not None:
            known = newest.get(activity.output)
            if known is None or _rank(activity) > _rank(known):
                newest[activity.output] = activity
    return newest


def _rank(activity: Activity) -> tuple[bool, float]:
    return activity.state == "running", -activity.age


def state_folders(results: Path) -> Iterator[Path]:
    """All state folders below `results`, without walking through data and models."""
    for pattern in ("*/.state/*", "data/*/.state/*"):
        yield from sorted(path for path in results.glob(pattern) if path.is_dir())


def read_activity(folder: Path, results: Path, now: float) -> Activity | None:
    """What one state folder says; None where it vanished or was never owned."""
    beat, written = _read(folder / "heartbeat.json")
    if not beat:
        beat, written = _read(folder / "lock")
    if not beat:
        return None
    failure, failed = _read(folder / "failed.json")
    age = max(0.0, now - max(written, failed))
    label, key = folder.name.rsplit("-", 1)
    output = folder.parent.parent.joinpath(*label.split("__")).relative_to(results)
    return Activity(
        output=f"results/{output.as_posix()}",
        key=key,
        state="running" if _lives(folder, beat, age) else "failed" if failure else "stopped",
        beat=beat,
        failure=failure,
        age=age,
        clock_ahead=float(beat.get("time", written)) - written,
        # A kill between the two renames of a save leaves the one before it alone.
        has_checkpoint=any((folder / f"{name}.safetensors").exists() for name in CHECKPOINT_NAMES),
    )


def _read(path: Path) -> tuple[dict[str, Any], float]:
    """Content and time of change of a JSON file; opened before asked, so that a network file system looks anew."""
    try:
        with path.open() as file:
            return json.load(file), os.fstat(file.fileno()).st_mtime
    except (OSError, ValueError):
        return {}, 0.0


def _lives(folder: Path, beat: Mapping[str, Any], age: float) -> bool:
    if beat.get("host") == socket.gethostname():
        return lock_is_held(folder / "lock")
    return age < DEAD_AFTER_SECONDS and "stopped" not in beat and not (folder / "failed.json").exists()


def file_system_now(results: Path) -> float:
    """The file system's clock: the time that a file gets which is written now; ours where nothing can be written."""
    try:
        with tempfile.TemporaryFile(dir=results) as file:
            file.write(b".")
            file.flush()
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def skewed_clocks(activities: list[Activity], now: float) -> dict[str, float]:
    """Hosts at work whose clock is some seconds ahead of ours (or, negative, behind), by name."""
    ours = time.time() - now
    ahead = {
        str(one.beat.get("host")): one.clock_ahead - ours
        for one in activities
        if one.state == "running" and one.beat.get("host") != socket.gethostname()
    }
    return {host: seconds for host, seconds in ahead.items() if abs(seconds) > TOLERATED_SKEW_SECONDS}
