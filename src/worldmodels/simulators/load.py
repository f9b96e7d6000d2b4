"""Any simulator of video from its weights file: the file says of itself what it is."""

from pathlib import Path

import torch

from worldmodels.models.video.files import load_network
from worldmodels.runtime.weights import read_record
from worldmodels.simulators.fit import origin_of
from worldmodels.simulators.protocol import ScoredSimulator
from worldmodels.simulators.video import VideoSimulator


def load_simulator(path: Path, device: torch.device) -> ScoredSimulator:
    """Read a simulator: RES, action-conditional video prediction, copy-last, or V+M of video.

    Raises UserError when the file is damaged or holds something else.
    """
    return VideoSimulator(load_network(path).to(device), origin=origin_of(path))


def updates_made(path: Path) -> int | None:
    """Updates that a simulator's training came to, which a plateau may have ended early; None where its file does not say."""
    updates = read_record(path).get("training", {}).get("updates")
    return None if updates is None else int(updates)
