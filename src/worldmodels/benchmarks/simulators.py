"""How fast simulators of video train, beside a plain matrix product, and imagine, with and without drawing."""

import os
from collections.abc import Callable
from typing import Any

import torch

from worldmodels.benchmarks.timing import alternate
from worldmodels.config.acvp_presets import CURRICULA, compression, paper
from worldmodels.config.simulators import RESOptions, SimulatorTraining
from worldmodels.config.training import Precision
from worldmodels.config.video import VideoOptions
from worldmodels.data.schemes import observed_flags
from worldmodels.data.windows import Windows
from worldmodels.models.video.files import build_network
from worldmodels.models.video.operations import multiply_adds
from worldmodels.runtime.device import autocast, has_fast_bf16, resolve_device, set_threads
from worldmodels.runtime.processor import available_cores
from worldmodels.simulators.video import VideoSimulator
from worldmodels.stages.train_simulator import SubsequenceObjective, optimiser_of

SECONDS = 20.0
PRODUCT = 2048
"""Rows and columns of the matrices whose product is the yardstick."""
DREAM_STEPS = 10
INDEPENDENT = {"feedback": "hidden", "separate_weights": True}


def operations_per_update(training: SimulatorTraining) -> float:
    """Floating-point operations of an update: warm-up and T steps forwards, and twice that backwards where gradients go.

    No gradient is computed for the first layer's real frames, which is counted all the same: a share of 1 to 2 %.
    """
    observe, imagine, draw = multiply_adds(training.model)
    if training.model.feedback == "frame":
        imagine -= draw  # the frame that the step before it was scored on
    flags = observed_flags(training.scheme, training.updates, training.subsequence)
    steps = sum(observe if real else imagine for real in flags) + len(flags) * draw
    warm_up = (training.warm_up + 2 * training.warm_up_gradient) * observe
    return 2.0 * (warm_up + 3 * steps) * training.batch_size


def measure_simulators() -> dict[str, Any]:
    """Training of RES's baseline against a matrix product, and imagined steps a second of its two forms."""
    device, result = prepare()
    for precision in precisions(device):
        for scheme in ("0%PDT", "100%PDT"):
            training = SimulatorTraining(precision=precision, scheme=scheme)
            result |= {
                f"{precision}_{scheme}_{name}": value for name, value in measure_training(training, device).items()
            }
    for batch in (1, 64):
        forms = (RESOptions(), RESOptions(**INDEPENDENT))
        result |= {f"batch_{batch}_{name}": value for name, value in measure_imagination(forms, batch, device).items()}
    return result


def measure_acvp() -> dict[str, Any]:
    """Training of Oh's networks against a matrix product, and imagined steps a second of `paper` and `compression`."""
    device, result = prepare()
    for precision in precisions(device):
        for name, stage in (
            ("acvp-recurrent", "1-step"),
            ("acvp-recurrent", "5-step"),
            ("acvp-feed-forward", "1-step"),
        ):
            training = CURRICULA[name](18)[stage].model_copy(update={"precision": precision})
            figures = measure_training(training, device)
            result |= {f"{precision}_{name}_{stage}_{key}": value for key, value in figures.items()}
    for batch in (1, 64):
        figures = measure_imagination((paper(), compression()), batch, device)
        result |= {f"batch_{batch}_{key}": value for key, value in figures.items()}
    return result


def prepare() -> tuple[torch.device, dict[str, Any]]:
    """The device, with all its cores, and the first figures: which it is, and how busy the machine is without us."""
    set_threads(available_cores())
    device = resolve_device("auto")
    return device, {"device": str(device), "load_before": os.getloadavg()[0]}


def precisions(device: torch.device) -> list[Precision]:
    """Those that the hardware multiplies in."""
    return ["fp32", "bf16"] if has_fast_bf16(device) else ["fp32"]


def measure_training(training: SimulatorTraining, device: torch.device, seconds: float = SECONDS) -> dict[str, float]:
    """Frames a second, and its operations a second as a share of those of a matrix product in the same precision."""
    dtype = torch.bfloat16 if training.precision == "bf16" else torch.float32
    left, right = (torch.randn(PRODUCT, PRODUCT, device=device) for _ in range(2))
    update = update_of(training, device)

    def product() -> None:
        with autocast(device, dtype):
            for _ in range(10):
                left @ right
        synchronise(device)

    updates, products = alternate(update, product, seconds)
    operations = operations_per_update(training)
    share = updates * operations / (products * 10 * 2 * PRODUCT**3)
    frames = updates * training.batch_size * (training.warm_up + training.subsequence)
    return {
        "frames_per_second": frames,
        "operations_per_second": updates * operations,
        "share_of_matrix_product": share,
    }


def update_of(training: SimulatorTraining, device: torch.device) -> Callable[[], None]:
    """One update on random frames."""
    network = build_network(training.model).to(device)
    optimiser = optimiser_of(training)(network.parameters())
    objective = SubsequenceObjective(network, training, device, ("benchmark",))
    options, steps = training.model, training.window_steps
    shape = (training.batch_size, steps + 1, options.height, options.width, options.channels)
    actions = torch.zeros(training.batch_size, steps, dtype=torch.long)
    windows = Windows(torch.randint(0, 256, shape, dtype=torch.uint8), actions, actions.float(), actions.bool())
    windows = Windows(*(part.to(device) for part in windows))

    def update() -> None:
        optimiser.zero_grad()
        objective(0, windows, None)[0].backward()
        optimiser.step()
        synchronise(device)

    return update


def measure_imagination(forms: tuple[VideoOptions, VideoOptions], batch: int, device: torch.device) -> dict[str, float]:
    """Imagined steps a second of a prediction-dependent form and an -independent one; the latter also with drawing."""
    dependent, independent = (dream_of(form, batch, device) for form in forms)
    seconds = SECONDS / 2
    one, other = alternate(dependent, independent, seconds)
    drawn = dream_of(forms[1], batch, device, render=True)
    both, _ = alternate(drawn, independent, seconds)
    steps = batch * dream_steps(batch)
    return {
        "dependent_steps_per_second": one * steps,
        "independent_steps_per_second": other * steps,
        "independent_drawn_steps_per_second": both * steps,
        "ratio": other / one,
    }


def dream_steps(batch: int) -> int:
    """Steps of a dream that is timed: one of many games takes long enough."""
    return DREAM_STEPS if batch == 1 else 1


def dream_of(options: VideoOptions, batch: int, device: torch.device, render: bool = False) -> Callable[[], None]:
    """Some imagined steps of a batch."""
    simulator = VideoSimulator(build_network(options).to(device))
    frames = torch.randint(0, 256, (batch, 2, options.height, options.width, options.channels), dtype=torch.uint8)
    actions = torch.zeros(batch, 1, dtype=torch.long, device=device)
    begin = simulator.advance(simulator.observe(frames.to(device), actions), actions[:, 0])

    def dream() -> None:
        state = begin
        for _ in range(dream_steps(batch)):
            state = simulator.advance(state, actions[:, 0])
            if render:
                simulator.render(state)
        synchronise(device)

    return dream


def synchronise(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()
