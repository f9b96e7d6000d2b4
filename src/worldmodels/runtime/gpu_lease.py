"""One stage a GPU: a lock for each device, which the kernel releases with its process.

Snakemake counts GPUs and assigns none, so two stages on one machine would both take the first. Here a stage takes the
first device that no other stage holds, among those that CUDA_VISIBLE_DEVICES shows it, and waits while there is none. A
lock is named by its device's UUID: the same GPU has other numbers in other SLURM jobs and containers.
"""

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from worldmodels.errors import UserError
from worldmodels.runtime.stop import StopRequest

log = logging.getLogger("worldmodels")

LEASES = Path(tempfile.gettempdir()) / "worldmodels-gpus"
"""Where this machine's locks lie, whoever runs the stages."""
RETRY_SECONDS = 0.5


def hold_free_gpu(stop: StopRequest) -> TextIO:
    """Make a free GPU torch's current device and return its open lock; the lease lasts as long as the lock is open."""
    import torch

    uuids = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
    index, lock = lease(uuids, stop)
    torch.cuda.set_device(index)
    log.info("GPU %d of %d is ours: %s", index, len(uuids), torch.cuda.get_device_name(index))
    return lock


def lease(uuids: Sequence[str], stop: StopRequest, folder: Path = LEASES) -> tuple[int, TextIO]:
    """Lock the first free device and return its place in `uuids` with the open lock. Waits while none is free.

    Raises Interrupted when a stop is requested meanwhile, and UserError when there is nothing to wait for.
    """
    if not uuids:
        raise UserError("no GPU is visible to this process: check nvidia-smi and CUDA_VISIBLE_DEVICES.")
    _shared(folder.mkdir, folder, 0o1777)
    waiting = False
    while True:
        for index, uuid in enumerate(uuids):
            lock = _try_lock(folder / f"{uuid}.lock")
            if lock is not None:
                return index, lock
        if not waiting:
            owners = ", ".join((folder / f"{uuid}.lock").read_text() or "?" for uuid in uuids)
            log.info("waiting for a GPU: %s held by process %s", "each is" if len(uuids) > 1 else "it is", owners)
            waiting = True
        stop.check()
        time.sleep(RETRY_SECONDS)


def _try_lock(path: Path) -> TextIO | None:
    """The open lock file with this process's number in it, or None when another process holds it."""
    _shared(path.touch, path, 0o666)
    lock = path.open("r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _shared(make: Callable[[], None], path: Path, mode: int) -> None:
    """Make `path` for every user of this machine, unless one of them has made it before."""
    if not path.exists():
        with suppress(FileExistsError):
            make()
        with suppress(PermissionError):
            path.chmod(mode)
