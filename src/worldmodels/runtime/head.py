"""One head on one results folder: a lock that the kernel releases with its process, unlike Snakemake's own."""

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import TextIO

from worldmodels.errors import UserError

WORRYING_SKEW_SECONDS = 5.0


def take_lock(folder: Path) -> TextIO:
    """Lock the results folder and return the open lock file: the lock lives as long as it does.

    Raises UserError when another head has it, when the folder cannot be written, and when the file system's clock and
    this machine's differ: Snakemake compares times of files that several machines wrote.
    """
    path = folder / ".lock"
    try:
        folder.mkdir(exist_ok=True)
        lock = path.open("a+")
    except OSError as error:
        raise UserError(
            f"{folder.resolve()} cannot be written: {error.strerror}. Run where you may write, or make it writable."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(_held_by_another(folder, lock)) from None
    lock.truncate(0)
    lock.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}))
    lock.flush()
    _require_one_clock(path)
    return lock


def _held_by_another(folder: Path, lock: TextIO) -> str:
    lock.seek(0)
    try:
        owner = json.loads(lock.read())
    except json.JSONDecodeError:
        owner = {}
    return (
        f"another snakemake (process {owner.get('pid', '?')} on {owner.get('host', '?')}) is working on "
        f"{folder.resolve()}. Wait for it, or stop it; two heads on one results folder would overwrite each other."
    )


def _require_one_clock(path: Path) -> None:
    """Compare this machine's clock with the file system's, by the time of a file just written."""
    skew = path.stat().st_mtime - time.time()
    if abs(skew) > WORRYING_SKEW_SECONDS:
        raise UserError(
            f"the clocks of this machine and of the file system of {path.parent.resolve()} differ by {abs(skew):.0f} s, so "
            "times of files from different nodes cannot be compared. Set the clocks by NTP first."
        )
