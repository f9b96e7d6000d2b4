"""Simulators by the name of their family: each module `worldmodels.simulators.FAMILY` has a function `load`.

Families are found by name, so that the code of one is no part of another's results.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from worldmodels.simulators.protocol import Simulator


class VideoSimulator(Simulator[Any], Protocol):
    """A simulator that is scored on frames."""

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of its frames."""
        ...

    @property
    def parameters(self) -> int:
        """Numbers that were learned."""
        ...

    def seen(self, frames: Tensor) -> Tensor:
        """Frames (..., H, W, C) uint8 with no more in them than the simulator can tell apart."""
        ...


class Family(Protocol):
    """What a family's module offers."""

    def load(self, path: Path, device: torch.device) -> VideoSimulator:
        """Read a simulator from its weights. Raises UserError when the file is damaged or of another kind."""
        ...


def load_simulator(family: str, path: Path, device: torch.device) -> VideoSimulator:
    """Read a simulator of `family` from its weights."""
    return cast(Family, importlib.import_module(f"worldmodels.simulators.{family}")).load(path, device)


def family_modules(families: Iterator[str] | list[str]) -> list[str]:
    """Modules whose code belongs to a stage that runs these families."""
    return [f"simulators.{family}" for family in sorted(set(families))]
