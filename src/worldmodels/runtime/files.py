"""Files that are either whole or absent: written beside their place, flushed to disk, then renamed."""

import csv
import errno
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worldmodels.errors import UserError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` when the block ends without an error.

    Raises UserError when the disk is full or the folder cannot be written.
    """
    with readable_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            flush_to_disk(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def readable_disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write `path` into one clear sentence."""
    try:
        yield
    except OSError as error:
        reason = disk_problem(error)
        if reason is None:
            raise
        raise UserError(f"{path} could not be written: {reason}") from error


def disk_problem(error: OSError) -> str | None:
    """Say why a write failed, or return None for an error that is not about the disk. Some libraries hide errno in text."""
    text = str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text or "errno = 28" in text:
        return (
            "the disk is full. Free some space and run the same command: what was finished is kept, and "
            "unfinished work goes on from its last checkpoint."
        )
    if error.errno == errno.EROFS or "Read-only file system" in text:
        return "its folder is on a read-only file system. Choose a folder that you may write to (--directory)."
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return f"{error.strerror}. Check the path."
    if error.errno == errno.EACCES or "Permission denied" in text:
        return "you may not write there. Change the folder's permissions or choose another (--directory)."
    return None


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file. tensors: contiguous, on the cpu. Raises OSError like any other write that fails."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path, metadata=dict(metadata))
    except SafetensorError as error:  # it hides the operating system's reason in its text
        raise OSError(str(error)) from error


def flush_to_disk(path: Path) -> None:
    """Wait until the bytes of `path` are on the disk, so that a power cut after the rename does not leave a torn file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def csv_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as the text of a CSV file, its columns named in the first line. Cells that a row does not have are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_json(path: Path, content: Any) -> None:
    """Write `content` atomically as indented JSON with sorted keys."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises UserError when it is missing or not JSON."""
    require_file(path)
    try:
        return json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not valid JSON ({error}). Delete it and run the same command: it is made again."
        ) from error


def require_file(path: Path) -> None:
    """Raise UserError unless `path` is an existing file."""
    if not path.is_file():
        raise UserError(
            f"{path} does not exist. Ask snakemake for the target again: it makes what is missing, and only that."
        )


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal text."""
    require_file(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
