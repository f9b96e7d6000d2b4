"""One training loop for all networks: checkpoints, resume, progress, mixed precision, metrics.

The loop holds no random state. Batches and noise are functions of the step number, so a run that was killed and went
on from a checkpoint ends with the same weights as one that was not.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from worldmodels.errors import UserError
from worldmodels.runtime.files import write_text
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.state import StateFolder

METRIC_ROWS = 200
"""Rows in a training history, whatever the number of steps."""

Metrics = dict[str, Tensor]
Carry = tuple[Tensor, ...]


class Objective(Protocol):
    """A network's loss on one batch. `carry` is what one step hands to the next (an LSTM's state), detached."""

    def __call__(self, step: int, batch: Any, carry: Carry | None, /) -> tuple[Tensor, Metrics, Carry | None]:
        """Return the loss to minimise, scalars to report, and the carry of the next step."""
        ...


def fused_adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam with torch's defaults; `fit` sets its step size."""
    return torch.optim.Adam(parameters, fused=True)


@dataclass(frozen=True)
class FitOptions:
    """How `fit` updates weights."""

    learning_rate: Callable[[int], float]  # step -> the optimiser's step size
    steps: int
    items_per_step: int  # what progress counts: frames, or LSTM steps
    unit: str
    gradient_clip: float | None = None  # cut each gradient to this absolute value
    optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = fused_adam
    finished: Callable[[list[dict[str, float]]], bool] = lambda history: False  # asked after each row: stop early?


def cosine_decay(step: int, steps: int, last: float) -> float:
    """Factor of the step size: from 1 at step 0 to `last` at the end, along half a cosine."""
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * step / steps))


def on_plateau(history: list[dict[str, float]], rows: int, improvement: float) -> bool:
    """Whether the loss of the last `rows` rows is not lower, by the share `improvement`, than that of as many before them.

    The loss is the sum of a row's metrics. Early on, with fewer than 2 * rows, the answer is no.
    """
    losses = [sum(value for name, value in row.items() if name != "step") for row in history]
    last, before = sum(losses[-rows:]), sum(losses[-2 * rows : -rows])
    return len(losses) >= 2 * rows and before - last < improvement * abs(before)  # a density's loss may be negative


class Trainer:
    """State of one training run: network, optimiser, carry, and the history so far."""

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = fused_adam,
    ) -> None:
        self.network, self.device = network, device
        self.parameters = {name: value for name, value in network.named_parameters() if value.requires_grad}
        self.optimiser = optimiser(self.parameters.values())
        self.carry: Carry | None = None
        self.history: list[dict[str, float]] = []
        self.window: dict[str, Tensor] = {}
        self.window_steps = 0
        self.first_bad = torch.tensor(-1, device=device)
        """The first step whose metrics were not all finite; found on the device, so that no step waits for it."""

    def checkpoint(self, state: StateFolder, step: int) -> None:
        """Save everything that the next step depends on. Raises UserError when a value is not finite."""
        self.require_finite(step)
        broken = [name for name, value in self.parameters.items() if not torch.isfinite(value).all()]
        if broken:  # a finite loss may have a gradient that is not
            raise UserError(_diverged(f"{broken[0]} is not finite", f"before step {step}"))
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser.{name}.{key}"] = value
        tensors |= {f"carry.{index}": value for index, value in enumerate(self.carry or ())}
        tensors |= {f"window.{name}": value for name, value in self.window.items()}
        state.save(tensors, {"step": step, "history": self.history, "window_steps": self.window_steps})

    def restore(self, state: StateFolder) -> int:
        """Take up the newest checkpoint; return the step to go on with, 0 without one."""
        found = state.load()
        if found is None:
            return 0
        tensors, meta = found
        self.network.load_state_dict(_section(tensors, "network"))
        for name, parameter in self.parameters.items():
            saved = _section(tensors, f"optimiser.{name}")
            self.optimiser.state[parameter] = {
                key: value.to(parameter.device) if key == "step" else _laid_out_like(parameter, value)
                for key, value in saved.items()
            }
        carry = _section(tensors, "carry")
        self.carry = tuple(carry[str(index)].to(self.device) for index in range(len(carry))) or None
        self.window = {name: value.to(self.device) for name, value in _section(tensors, "window").items()}
        self.history, self.window_steps = meta["history"], meta["window_steps"]
        return int(meta["step"])

    def record(self, metrics: Metrics, step: int) -> None:
        """Add the scalars of `step` to the current row of the history."""
        bad = ~torch.isfinite(torch.stack([value.detach() for value in metrics.values()])).all()
        self.first_bad = torch.where(bad & (self.first_bad < 0), step, self.first_bad)
        for name, value in metrics.items():
            total = self.window.get(name)
            self.window[name] = value.detach().double() if total is None else total + value.detach().double()
        self.window_steps += 1

    def require_finite(self, step: int) -> dict[str, float]:
        """The means of the row so far. Raises UserError when one is not finite."""
        row = {name: float(value) / self.window_steps for name, value in self.window.items()}
        if not all(math.isfinite(value) for value in row.values()):
            raise UserError(_diverged(str(row), f"first in the batch of step {int(self.first_bad)}"))
        return row

    def close_row(self, step: int) -> dict[str, float]:
        """Average the row since the last call into the history. Raises UserError when a value is not finite."""
        row = self.require_finite(step)
        self.history.append({"step": step, **row})
        self.window, self.window_steps = {}, 0
        return row


def _diverged(what: str, where: str) -> str:
    return (
        f"training diverged: {what}, {where}. Look at the data of that batch, or lower the learning rate in config.yaml, "
        "with which the training begins anew. The last good checkpoint is kept for these options."
    )


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """`value` in the memory order of `parameter`, such as channels last: fused Adam pairs them by place in memory."""
    return torch.empty_like(parameter).copy_(value)


def _section(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def write_metrics(path: Path, history: list[dict[str, float]]) -> None:
    """Write a training history as CSV, one column per metric."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: f"{value:.6g}" if name != "step" else value for name, value in row.items()} for row in history
    )
    write_text(path, text.getvalue())


def fit(
    network: nn.Module,
    objective: Objective,
    batches: Callable[[int], Iterator[Any]],
    options: FitOptions,
    state: StateFolder,
    device: torch.device,
    title: str,
) -> list[dict[str, float]]:
    """Train `network` and return the history of metrics, one row per ~1/200 of the steps.

    batches: called with the first step, yields one batch per step from there. The network is changed in place.
    Raises UserError when the loss is not finite, Interrupted when stopped (after a checkpoint).
    """
    trainer = Trainer(network.to(device), device, options.optimiser)
    first = trainer.restore(state)
    row_every = max(1, options.steps // METRIC_ROWS)
    items = options.items_per_step
    with Progress(title, options.steps * items, options.unit, state, first * items) as progress:
        for step, batch in zip(range(first, options.steps), batches(first), strict=False):
            metrics = update(trainer, objective, step, batch, options)
            trainer.record(metrics, step)
            shown = trainer.close_row(step + 1) if (step + 1) % row_every == 0 or step + 1 == options.steps else {}
            progress.advance(items, **shown)
            if shown and options.finished(trainer.history):
                break
            if state.due and step + 1 < options.steps:
                trainer.checkpoint(state, step + 1)
                state.leave_if_stopped()
    return trainer.history


def update(trainer: Trainer, objective: Objective, step: int, batch: Any, options: FitOptions) -> Metrics:
    """One step of the optimiser on one batch; returns the objective's scalars."""
    for group in trainer.optimiser.param_groups:
        group["lr"] = options.learning_rate(step)
    trainer.optimiser.zero_grad(set_to_none=True)
    loss, metrics, trainer.carry = objective(step, batch, trainer.carry)
    loss.backward()
    if options.gradient_clip is not None:
        nn.utils.clip_grad_value_(trainer.parameters.values(), options.gradient_clip)
    trainer.optimiser.step()
    return metrics
