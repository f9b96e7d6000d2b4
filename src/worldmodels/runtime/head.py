"""One head on one results folder: a lock that the kernel releases with its process, unlike Snakemake's own."""

import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from worldmodels.errors import UserError

WORRYING_SKEW_SECONDS = 5.0


READING = re.compile(
    r"-[npq]*n[npq]*|-[lSD]|--(dry-?run|report|lint|summary|detailed-summary|list-rules|dag|rulegraph|containerize)(=.*)?"
)
"""Options with which Snakemake changes no result, `-np` among them."""


def require_writable(run: Path, words: Sequence[str]) -> None:
    """Raise UserError where the folder `run` has results or Snakemake's records that cannot be written.

    Said before Snakemake looks at them: it would end in a traceback, or in a list of protected files. words: its
    command line, which may ask for no more than to read the results.
    """
    written = [".snakemake"] if any(READING.fullmatch(word) for word in words) else ["results", ".snakemake"]
    for folder in (run / name for name in written):
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            raise UserError(_not_writable(folder))


def _not_writable(folder: Path, reason: str = "it is read-only for you") -> str:
    return f"{folder.resolve()} cannot be written: {reason}. Run where you may write, or make it writable."


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
        raise UserError(_not_writable(folder, str(error.strerror))) from None
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
