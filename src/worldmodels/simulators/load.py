"""Any learned simulator from its weights file: the file says of itself what it is."""

from importlib import import_module
from pathlib import Path

import torch

from worldmodels.config.simulators import OPTIONS_OF_KIND
from worldmodels.data.windows import Windows
from worldmodels.errors import UserError
from worldmodels.runtime.weights import read_kind, read_record
from worldmodels.simulators.protocol import ScoredSimulator
from worldmodels.simulators.video import load as load_video_simulator


def load_simulator(path: Path, device: torch.device, starts: Windows | None = None) -> ScoredSimulator:
    """Read a simulator: RES, action-conditional video prediction, copy-last, or V+M.

    path: its weights; of V+M, those of M, where a run keeps them: V's are those of the folder vae beside M's folder. starts:
    windows on whose first frames `start` begins, for simulators of video. Raises UserError when the file is damaged or holds
    something else.
    """
    kind = read_kind(path)
    if kind in OPTIONS_OF_KIND:
        return load_video_simulator(path, device, starts)
    if kind != "mdn_rnn":
        raise UserError(f"{path} holds weights of '{kind}', which is no simulator.")
    # By name: simulators of video depend on no code of V and M.
    files = import_module("worldmodels.models.files")
    vae = path.parent.parent / "vae" / path.name
    simulator: ScoredSimulator = files.load_world_model_files(vae, path, None, device).model
    return simulator


def updates_made(path: Path) -> int | None:
    """Updates that a simulator's training came to, which a plateau may have ended early; None where its file does not say."""
    updates = read_record(path).get("training", {}).get("updates")
    return None if updates is None else int(updates)
