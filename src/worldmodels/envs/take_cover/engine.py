"""Starting ViZDoom's engine so that nothing of it stays behind, however the program that plays ends.

The engine is a process of its own, which talks to its player through shared memory. Left to itself it waits for ever
when the player is killed, keeps the player's open files (so that nobody sees its pipes close), dies of a Ctrl-C that was meant for the
player, and makes a folder `_vizdoom` wherever it is started. A launcher between the two prevents all four.
"""

import hashlib
import mmap
import os
import shlex
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process, resource_tracker
from pathlib import Path

import numpy as np

MEMORY_PREFIXES = ("ViZDoomSM", "ViZDoomMQCtr", "ViZDoomMQDoom")
"""Shared memory of an engine: the screen, and the two queues of messages."""

LAUNCHER = """
import ctypes, os, signal, sys
player, engine = int(sys.argv[1]), sys.argv[2]
os.closerange(3, 65536)
os.chdir(os.path.dirname(sys.argv[3]))
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == player:
    os.execv(engine, [engine] + sys.argv[4:])
"""
"""Lets go of the player's files, goes to a folder of its own, leaves signals to the player, and asks the kernel for
SIGKILL (PR_SET_PDEATHSIG = 1) when the player ends; then becomes the engine."""

START_SECONDS = 120
"""How long an engine may take to start; a busy machine needs ten."""
WATCHER = """
import os, select, signal, sys
player, pipe, seconds = map(int, sys.argv[1:])
spoke = select.select([pipe], [], [], seconds)[0]
if not (spoke and os.read(pipe, 1)):
    happened = "was killed or crashed while it started" if spoke else f"did not start within {seconds} s"
    sys.stderr.write(f"the ViZDoom engine {happened}, and its player ends with it. Run the same command again: "
                     "what was finished is kept.\\n")
    if not spoke:
        os.kill(player, signal.SIGKILL)
"""
"""Waits for one byte from the player: that its engine runs."""


@contextmanager
def watched_start() -> Iterator[None]:
    """Have a small process say what happened, should the start of an engine take this program with it.

    An engine that is killed while it starts makes ViZDoom crash, or wait for ever where no signal reaches it. A worker of a
    batch needs no watcher: the program that started it notices.
    """
    if parent_process() is not None:
        yield
        return
    reader, writer = os.pipe()
    words = [sys.executable, "-I", "-S", "-c", WATCHER, *map(str, (os.getpid(), reader, START_SECONDS))]
    watcher = subprocess.Popen(words, pass_fds=[reader], stdin=subprocess.DEVNULL)
    os.close(reader)
    try:
        yield
    finally:
        with suppress(BrokenPipeError):  # somebody killed the watcher
            os.write(writer, b"!")
        os.close(writer)
        watcher.wait()


def launcher(engine: str) -> str:
    """Path of a program that starts `engine` as said above, or `engine` itself where that is impossible."""
    if sys.platform != "linux" or not sys.executable:
        return engine
    for folder in (Path(tempfile.gettempdir()), Path.home() / ".cache"):
        try:
            path = _write_launcher(folder / f"worldmodels-{os.getuid()}", engine)
        except OSError:
            continue
        if os.access(path, os.X_OK):  # False where the file system forbids programs (noexec)
            return str(path)
    return engine


def _write_launcher(folder: Path, engine: str) -> Path:
    """Write the launcher unless it is there. It is named by its content, so versions do not meet."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.lstat()
    if facts.st_uid != os.getuid() or not stat.S_ISDIR(facts.st_mode) or facts.st_mode & 0o022:
        raise PermissionError(f"{folder} belongs to somebody else, or others may write to it")
    words = [sys.executable, "-I", "-S", "-c", LAUNCHER]
    command = f'exec {shlex.join(words)} "$PPID" {shlex.quote(engine)} "$0" "$@"'
    text = f"#!/bin/sh\n{command}\n"
    path = folder / f"engine-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not path.exists():
        temporary = folder / f"{path.name}.{os.getpid()}"
        temporary.write_text(text)
        temporary.chmod(0o700)
        temporary.replace(path)
    return path


def remember_memory(instance: str) -> None:
    """Have the shared memory of engine `instance` removed even if this program and its workers are killed."""
    for prefix in MEMORY_PREFIXES:
        resource_tracker.register(f"/{prefix}{instance}", "shared_memory")


def forget_memory(instance: str) -> None:
    """Engine `instance` has ended: remove what is left of its shared memory."""
    for prefix in MEMORY_PREFIXES:
        Path("/dev/shm", prefix + instance).unlink(missing_ok=True)
        resource_tracker.unregister(f"/{prefix}{instance}", "shared_memory")


def sweep_memory(instance: str) -> None:
    """Remove the shared memory of an engine whose player was killed; nothing happens where the player removed it."""
    if any(Path("/dev/shm", prefix + instance).exists() for prefix in MEMORY_PREFIXES):
        forget_memory(instance)


def find_screen(instance: str, shown: np.ndarray) -> np.ndarray | None:
    """Return a live, read-only view of the screen in the shared memory of engine `instance`, shaped like `shown`.

    `shown` is the screen as ViZDoom hands it out now; its place is found by its content. None where it is not found
    exactly once: then screens must be asked for, which takes a tenth of a step's time more.
    """
    try:
        with Path("/dev/shm", MEMORY_PREFIXES[0] + instance).open("rb") as file:
            memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    except OSError:
        return None
    content = shown.tobytes()
    start = memory.find(content)
    if start < 0 or memory.find(content, start + 1) >= 0:
        return None
    return np.frombuffer(memory, np.uint8, len(content), start).reshape(shown.shape)
