"""Opening HDF5 shards: whole, of the wanted format and consistent, or one sentence that says what to do."""

from collections.abc import Callable
from pathlib import Path

import h5py

from worldmodels.errors import UserError


def open_whole_shard(
    path: Path, kind: str, shard_format: str, inconsistency: Callable[[h5py.File], str | None], cache_bytes: int
) -> h5py.File:
    """Open a shard for reading. Raises UserError unless it is a whole shard of this format.

    kind: what it is, in words ('a rollout shard'). inconsistency: what contradicts itself in an open shard, or None.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist. Ask snakemake for the target again: it collects what is missing.")
    try:
        file = h5py.File(path, "r", rdcc_nbytes=cache_bytes)
    except OSError:
        raise damaged(path, "is not a complete HDF5 file", "the writer never finished it") from None
    try:
        if file.attrs.get("format") != shard_format or not file.attrs.get("complete"):
            raise damaged(path, f"is not {kind} of this version", f"format {file.attrs.get('format')!r}")
        problem = inconsistency(file)
        if problem is not None:
            raise damaged(path, "is not consistent", problem)
    except (OSError, KeyError, RuntimeError) as error:
        file.close()
        raise damaged(path, "is not a complete HDF5 file", str(error)) from None
    except UserError:
        file.close()
        raise
    return file


def damaged(path: Path, what: str, detail: str) -> UserError:
    """The error of a shard that cannot be used."""
    return UserError(
        f"{path} {what} ({path.stat().st_size:,} bytes; {detail}). Delete it and run the same command: only this shard "
        "is collected again."
    )
