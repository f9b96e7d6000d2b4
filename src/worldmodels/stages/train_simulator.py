"""Train a simulator of one seed on windows of video (Chiappa et al. 2017; Oh et al. 2015), or go on with an earlier training.

Time alignment: a step takes in frame t, real or predicted, and the action taken there, and is scored on frame t + 1.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from worldmodels.config.simulator_blocks import simulator_modules
from worldmodels.config.simulators import SimulatorTraining, TrainSimulatorBlock
from worldmodels.config.video import VideoOptions
from worldmodels.data.atari_online import OnlineWindows
from worldmodels.data.atari_windows import AtariWindows, ScreenDecoder
from worldmodels.data.schemes import observed_flags
from worldmodels.data.subsequences import WindowSource, subsequences
from worldmodels.data.windows import Windows
from worldmodels.envs.atari.screens import resolution_of_frames
from worldmodels.errors import UserError
from worldmodels.models.centred_rmsprop import CentredRMSProp
from worldmodels.models.video.files import build_network, continue_from
from worldmodels.models.video.losses import simulator_losses, warmed_up
from worldmodels.models.video.network import VideoNetwork
from worldmodels.runtime.device import autocast, matmul_dtype, resolve_device
from worldmodels.runtime.files import file_checksum
from worldmodels.runtime.state import StateFolder
from worldmodels.runtime.weights import save_weights
from worldmodels.seeds import integer_seed
from worldmodels.simulators.fit import origin_of, require_fit
from worldmodels.stages.stage import Seed, Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage
from worldmodels.training import (
    METRIC_ROWS,
    Carry,
    FitOptions,
    Metrics,
    cosine_decay,
    fit,
    on_plateau,
    write_metrics,
)

MEAN_FRAMES = 2048
"""The first frames, whose mean is taken from all (appendix A)."""


class TrainSimulator(Stage):
    """Options of train_simulator."""

    Block: ClassVar = TrainSimulatorBlock
    uses_gpu = True

    dataset: Path | None = Field(None, description="Folder of the data set's shards; none to play meanwhile")
    shards: int = Field(0, ge=0, description="How many of its train shards to use")
    agent: Path | None = input_file("Who plays meanwhile, where the block says so: an agent's file", default=None)
    start_from: Path | None = input_file(
        "Weights to go on from, where the block says continues: true: an earlier stage's of the curriculum",
        default=None,
    )
    weights: Path = output_file("The simulator's weights, safetensors")
    metrics: Path = output_file("Training history, CSV")
    seed: Seed

    def shard_paths(self) -> list[Path]:
        """The shards to train on, in order."""
        return [self.dataset / f"train-{shard:03d}.h5" for shard in range(self.shards)] if self.dataset else []

    def inputs(self) -> list[Path]:
        """The shards: by folder and count, since 1,000 paths overflow a command line."""
        return [*self.shard_paths(), *super().inputs()]

    def modules(self) -> list[str]:
        """The stage, and the networks of the simulator's kind."""
        return [*super().modules(), *simulator_modules(self.block())]

    def run(self) -> None:
        """Fit a simulator to windows of the data set, or of games that go on."""
        training = self.block().training
        if training.continues != (self.start_from is not None):
            raise UserError(
                "--start-from names the weights of the stage before this one if and only if the block's training says "
                "continues: true."
            )
        device = resolve_device(self.device)
        words = ("train_simulator", self.seed)
        windows = self.open_windows(training, words, device)
        model = training.model
        origin = None if self.start_from is None else origin_of(self.start_from)
        require_fit(windows.facts, model.actions, (model.height, model.width, model.channels), origin)
        first = first_frames(windows).cpu()
        network, history = fit_simulator(training, windows.iterate, first, words, self.state, device, self.start_from)
        write_metrics(self.metrics, history)
        inputs = {} if self.start_from is None else {"start_from": file_checksum(self.start_from)}
        told = {"game": windows.facts.name, **how_it_went(training, history)}
        save_weights(self.weights, network, model.kind, model, inputs, told)

    def open_windows(
        self, training: SimulatorTraining, words: tuple[str | int, ...], device: torch.device
    ) -> AtariWindows | OnlineWindows:
        """Where the windows come from: shards, or games that an agent plays while the simulator learns."""
        block = self.block()
        drawn = (training.batch_size, training.window_steps, words, resolution_of(training.model), device)
        if (self.dataset is None) != (block.online is not None) or (self.shards > 0) != (self.dataset is not None):
            raise UserError("--dataset and --shards name stored frames; a block with play and online needs neither.")
        if block.online is None:
            return AtariWindows(self.shard_paths(), *drawn)
        if block.play.uses_agent != (self.agent is not None):
            raise UserError("--agent names the agent's file if and only if the block's play says uses_agent: true.")
        return OnlineWindows(block.play, self.agent, block.online, *drawn)


def resolution_of(options: VideoOptions) -> str:
    """Name of the frames that a simulator is made for. Raises UserError when no data set gives such frames."""
    return resolution_of_frames(options.height, options.width, options.channels)


def first_frames(windows: AtariWindows | OnlineWindows) -> Tensor:
    """The first frames of a data set, or of the games that go on, (N, H, W, C) uint8."""
    if isinstance(windows, OnlineWindows):
        return windows.batch(0).frames.flatten(0, 1)
    store = windows.store
    screens = store.screens(0, min(MEAN_FRAMES, int(store.starts[1])))
    return ScreenDecoder(store.colours, windows.resolution, torch.device("cpu"))(screens)


class SubsequenceObjective:
    """A simulator's loss on one subsequence: the first of a window warms up, the others go on from where it ended."""

    def __init__(
        self, network: VideoNetwork, training: SimulatorTraining, device: torch.device, words: tuple[str | int, ...]
    ) -> None:
        self.network, self.training, self.device, self.words = network, training, device, words
        self.dtype = matmul_dtype(training.precision, device)

    def __call__(self, step: int, batch: Windows, carry: Carry | None) -> tuple[Tensor, Metrics, Carry | None]:
        """See training.Objective."""
        torch.manual_seed(integer_seed(*self.words, "slopes", step))
        windows = Windows(*(part.to(self.device, non_blocking=True) for part in batch))
        training = self.training
        flags = observed_flags(training.scheme, step, training.subsequence, training.scheme_scale)
        with autocast(self.device, self.dtype):
            windows, state = self._begin(step, windows, carry)
            losses, state = simulator_losses(self.network, windows, flags, state, training)
        loss = torch.stack(list(losses.values())).sum()
        carried = tuple(part.detach().float() for part in state) if training.subsequences > 1 else None
        return loss, dict(losses), carried

    def _begin(self, step: int, windows: Windows, carry: Carry | None) -> tuple[Windows, Any]:
        """The windows without their warm-up, and the state to begin in."""
        if step % self.training.subsequences:
            assert carry is not None, "a window's later subsequences come after its first"
            return windows, self.network.Memory(*carry)
        length = self.training.warm_up
        state = warmed_up(self.network, windows, length, self.training.warm_up_gradient)
        return Windows(windows.frames[:, length:], *(part[:, length:] for part in windows[1:])), state


def fit_simulator(
    training: SimulatorTraining,
    source: WindowSource,
    first: Tensor,
    words: tuple[str | int, ...],
    state: StateFolder,
    device: torch.device,
    start_from: Path | None = None,
) -> tuple[VideoNetwork, list[dict[str, float]]]:
    """Train a simulator; returns it and the history of its losses.

    source: batches of windows of `training.window_steps` actions. first: the first frames (N, H, W, C) uint8, whose mean
    is taken from all, unless it comes with the weights to start from. words: name of the random streams of weights and slopes.
    """
    torch.manual_seed(integer_seed(*words, "initial weights"))
    network = build_network(training.model)
    if start_from is None:
        network.set_mean(first)
    else:
        continue_from(start_from, network)
    if not any(True for _ in network.parameters()):
        return network, [{"step": 0}]  # copy-last: nothing to learn
    row = max(1, training.updates // METRIC_ROWS)
    options = FitOptions(
        learning_rate=partial(learning_rate, training),
        steps=training.updates,
        items_per_step=training.batch_size * (training.warm_up // training.subsequences + training.subsequence),
        unit="frames",
        gradient_clip=training.gradient_clip,
        optimiser=optimiser_of(training),
        finished=lambda history: converged(training, history, row),
    )
    pieces = subsequences(source, training.warm_up, training.subsequence, training.subsequences)
    objective = SubsequenceObjective(network, training, device, words)
    history = fit(network, objective, pieces, options, state, device, "train_simulator")
    return network, with_endings(training, history, row)


def learning_rate(training: SimulatorTraining, step: int) -> float:
    """Step size of an update."""
    cosine = cosine_decay(step, training.updates, training.final_learning_rate_fraction)
    cuts = step // training.learning_rate_factor_every
    return training.learning_rate * cosine * training.learning_rate_factor**cuts


def converged(training: SimulatorTraining, history: list[dict[str, float]], row: int) -> bool:
    """Whether the loss has come to a plateau, where training is to stop there. row: updates in a row of the history."""
    if training.plateau_updates is None:
        return False
    return on_plateau(history, -(-training.plateau_updates // row), training.plateau_improvement)


def with_endings(training: SimulatorTraining, history: list[dict[str, float]], row: int) -> list[dict[str, float]]:
    """The history, with a column that is 1 where training stopped at a plateau, if it was to."""
    if training.plateau_updates is None:
        return history
    ended = float(converged(training, history, row))
    return [*({**one, "plateau": 0.0} for one in history[:-1]), {**history[-1], "plateau": ended}]


def how_it_went(training: SimulatorTraining, history: list[dict[str, float]]) -> dict[str, Any]:
    """What the weights say of their training."""
    last = history[-1]
    return {"updates": int(last["step"]), "of": training.updates, "plateau": bool(last.get("plateau", 0))}


def optimiser_of(training: SimulatorTraining) -> Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]:
    """The optimiser that `training` names; `fit` sets its step size."""
    if training.optimiser == "adam":
        return partial(torch.optim.Adam, betas=(0.9, training.adam_square_decay), fused=True)
    return partial(CentredRMSProp, momentum=training.momentum, decay=training.decay, epsilon=training.epsilon)


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(TrainSimulator, arguments)
