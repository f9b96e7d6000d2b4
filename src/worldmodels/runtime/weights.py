"""Finished weights: safetensors files that carry the kind and sizes of their network and what they were trained on."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

from worldmodels.config.options import Options
from worldmodels.errors import UserError
from worldmodels.runtime.files import atomic_path, require_file, write_tensors


def save_weights(
    path: Path,
    network: nn.Module,
    kind: str,
    options: Options,
    inputs: dict[str, str],
    training: dict[str, Any] | None = None,
) -> None:
    """Write a network's weights. `inputs`: checksums (SHA-256) of what they depend on; `training`: how it went; by name."""
    tensors = {name: value.detach().contiguous().cpu() for name, value in network.state_dict().items()}
    record = {"kind": kind, "options": options.model_dump(mode="json"), "inputs": inputs}
    if training is not None:
        record["training"] = training
    with atomic_path(path) as temporary:
        # One key only: safetensors writes several in random order, and equal weights must be equal bytes.
        write_tensors(temporary, tensors, {"worldmodels": json.dumps(record, sort_keys=True)})


def read_record(path: Path) -> dict[str, Any]:
    """All that a weights file says of itself: kind, options, inputs, training. Raises UserError when it is damaged."""
    from safetensors import SafetensorError, safe_open

    require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            record: dict[str, Any] = json.loads((file.metadata() or {}).get("worldmodels", "{}"))
            return record
    except SafetensorError as error:
        raise UserError(
            f"{path} is not a complete weights file ({error}). Delete it and run the same command: it is trained again."
        ) from None


def read_kind(path: Path) -> str:
    """What kind of network a weights file holds. Raises UserError when it is damaged."""
    return str(read_record(path).get("kind", "something else"))


def read_metadata(path: Path, kind: str, options: type[Options]) -> tuple[Any, dict[str, str]]:
    """Return (options, inputs) of a weights file. Raises UserError unless it holds weights of `kind`."""
    record = read_record(path)
    if record.get("kind") != kind:
        raise UserError(f"{path} holds weights of '{record.get('kind', 'something else')}', not of '{kind}'.")
    try:
        return options.model_validate(record["options"]), record["inputs"]
    except (ValidationError, KeyError) as error:
        raise UserError(
            f"{path} was written by another version of the code ({error}). Delete it to train it again."
        ) from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All weights of a file, by name."""
    from safetensors.torch import load_file

    return load_file(path)


def load_weights(path: Path, network: nn.Module) -> None:
    """Copy the weights of `path` into `network`. Raises UserError when shapes or names differ."""
    try:
        network.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path} does not fit this network: {problem} Is it of another experiment?") from None


def require_same(path: Path, recorded: dict[str, str], name: str, checksum: str, other: Path) -> None:
    """Raise UserError unless `path` was trained on the file `other`, whose checksum is given."""
    if recorded.get(name) not in (None, checksum):
        raise UserError(
            f"{path} was made from another {name} than {other}. They are of different experiments or seeds: delete "
            "the stale one and run the same command, or name files that belong together."
        )
