"""Finished outputs, kept until Snakemake has noted them.

A head that dies between the end of a stage and its own note of it takes the outputs for incomplete, deletes them and runs
the stage again; on a cluster, where it asks for the state of jobs now and then, that time is minutes. So a stage leaves
hard links to its outputs, which cost no disk, and its next run with the same config, code and inputs takes them back. The
head forgets them when it ends by itself: then all is noted.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from worldmodels.provenance import library_versions, provenance_path, read_provenance
from worldmodels.runtime.files import file_checksum


def kept_folder(state_path: Path) -> Path:
    """Where the outputs of the stage with this state folder are kept."""
    return state_path.parent / "finished" / state_path.name


def keep(folder: Path, outputs: Sequence[Path]) -> None:
    """Link outputs and their provenance into `folder`. Does nothing where the file system has no hard links."""
    new = folder.with_name(f"{folder.name}.new")
    with suppress(OSError):
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        new.mkdir(parents=True)
        for kept, path in zip(_kept(new, outputs), outputs, strict=True):
            os.link(path, kept)
            os.link(provenance_path(path), provenance_path(kept))
        new.replace(folder)


def _kept(folder: Path, outputs: Sequence[Path]) -> list[Path]:
    """Names in `folder`; two outputs in different places may have the same name."""
    return [folder / f"{index}-{path.name}" for index, path in enumerate(outputs)]


def take_back(folder: Path, outputs: Sequence[Path]) -> bool:
    """Link kept outputs back to their places; whether all were there, whole, and made with today's libraries."""
    kept = _kept(folder, outputs)
    if not all(_is_sound(path) for path in kept):
        return False
    for source, path in zip(kept, outputs, strict=True):
        for old, place in ((source, path), (provenance_path(source), provenance_path(path))):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            os.link(old, place)
    return True


def _is_sound(path: Path) -> bool:
    record = read_provenance(path)
    if record is None or not path.is_file() or record.get("libraries") != library_versions():
        return False
    return record.get("sha256") == file_checksum(path)


def forget_all(results: Path) -> None:
    """Remove what is kept below `results`. For the owner of the head lock, when all of its jobs have ended."""
    for pattern in ("*/.state/finished", "data/*/.state/finished"):
        for folder in results.glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)
