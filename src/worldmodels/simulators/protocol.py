"""What every learned model of an environment can do, so that all can be dreamt in, trained in and filmed alike."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor

from worldmodels.config.models import ControllerOptions
from worldmodels.models.world_model import RowNoise


class State(Protocol):
    """A small dataclass of tensors with a leading batch axis."""

    def select(self, rows: Tensor) -> Self:
        """The state of some rows: indices, or a mask (B,)."""
        ...

    def merge(self, rows: Tensor, other: Self) -> Self:
        """This state, with the rows of mask (B,) taken from `other`."""
        ...


AnyState = TypeVar("AnyState", bound=State)


class Simulator(Protocol[AnyState]):
    """A learned simulator of B environments at once."""

    action_size: int
    noise_size: int  # uniform and normal numbers that a row takes in one draw
    discrete: bool  # actions are indices (B,) below action_size, rather than action_size numbers a row

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        ...

    def start(self, rng: RowNoise) -> AnyState:
        """Begin an episode in each row of `rng`. Takes one draw."""
        ...

    def observe(self, frames: Tensor, actions: Tensor, rng: RowNoise | None = None) -> AnyState:
        """Warm up on real frames (B, T + 1, H, W, C) uint8 and actions (B, T, ...)."""
        ...

    def step(self, state: AnyState, action: Tensor, temperature: float, rng: RowNoise) -> AnyState:
        """Imagine one step, without rendering where the model allows it. Takes one draw."""
        ...

    def render(self, state: AnyState) -> Tensor:
        """Frames (B, H, W, C) uint8."""
        ...

    def reward(self, state: AnyState) -> Tensor:
        """Reward (B,) of the last action."""
        ...

    def done(self, state: AnyState) -> Tensor:
        """Whether the last action ended the episode, (B,) bool."""
        ...

    def features(self, state: AnyState, inputs: ControllerOptions) -> Tensor:
        """What a controller sees, (B, F)."""
        ...


class Origin(NamedTuple):
    """Where a simulator's weights are, and the game that they say they were trained on, if they say one."""

    path: Path
    game: str | None


class ScoredSimulator(Simulator[Any], Protocol):
    """A simulator that is scored on frames."""

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of its frames."""
        ...

    @property
    def origin(self) -> Origin | None:
        """Its weights file and their game; None for one that was not read from a file."""
        ...

    @property
    def parameters(self) -> int:
        """Numbers that were learned."""
        ...

    def seen(self, frames: Tensor) -> Tensor:
        """Frames (..., H, W, C) uint8 with no more in them than the simulator can tell apart."""
        ...
