"""Is there room? Compared with what a stage will need, before its first minute of work."""

import shutil
from pathlib import Path

import psutil

from worldmodels.errors import UserError


def require_disk(folder: Path, needed: float, purpose: str) -> None:
    """Raise UserError unless the file system of `folder` has `needed` bytes free."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UserError(
            f"{purpose} needs about {human_bytes(needed)} of disk, but {existing} has only {human_bytes(free)} free. "
            "Free some space, use another disk (snakemake --directory), or ask for fewer shards in config.yaml."
        )


def require_memory(needed: float, purpose: str) -> None:
    """Raise UserError unless `needed` bytes of memory are available."""
    available = psutil.virtual_memory().available
    if available < needed:
        raise UserError(
            f"{purpose} needs about {human_bytes(needed)} of memory, but only {human_bytes(available)} are available. "
            "Close other programs, or run it on a larger machine."
        )


def human_bytes(count: float) -> str:
    """Bytes for people: 1.3 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
