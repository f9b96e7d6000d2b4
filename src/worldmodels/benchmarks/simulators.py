"""How fast recurrent simulators train, beside a plain matrix product, and imagine, with and without drawing."""

from collections.abc import Callable
from typing import Any

import torch

from worldmodels.benchmarks.timing import alternate
from worldmodels.config.simulators import RESOptions, SimulatorTraining
from worldmodels.data.windows import Windows
from worldmodels.models.res.network import RES
from worldmodels.runtime.device import autocast, available_cores, has_fast_bf16, resolve_device, set_threads
from worldmodels.simulators.video import VideoSimulator
from worldmodels.stages.train_simulator import SubsequenceObjective, optimiser_of

SECONDS = 20.0
PRODUCT = 2048
"""Rows and columns of the matrices whose product is the yardstick."""
DREAM_STEPS = 10
INDEPENDENT = {"feedback": "hidden", "separate_weights": True}


def operations_per_step(options: RESOptions) -> dict[str, int]:
    """Multiply-adds of one step of one game: of what each part's weights take in. Counted by running it."""
    counts = {"encoder": 0, "observing": 0, "imagining": 0, "decoder": 0}
    network = RES(options).eval()
    for part in counts:
        module = getattr(network, part)
        for layer in [] if module is None else module.modules():
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                layer.register_forward_hook(_counter(counts, part))
    with torch.no_grad():
        state = network.initial_state(1)
        frame = torch.zeros(1, 1, options.channels, options.height, options.width)
        action = torch.zeros(1, 1, dtype=torch.long)
        state = network.observe(frame, action, state)
        network.imagine(state, action[:, 0], frame[:, 0])
        network.draw(state.hidden)
    if options.feedback == "frame":
        counts["encoder"] //= 2  # it ran in both steps
    if network.imagining is None:
        counts["observing"] //= 2
    return counts


def _counter(counts: dict[str, int], part: str) -> Callable[..., None]:
    def count(layer: Any, inputs: Any, output: torch.Tensor) -> None:
        if isinstance(layer, torch.nn.Linear):
            counts[part] += layer.in_features * layer.out_features
        elif isinstance(layer, torch.nn.ConvTranspose2d):
            counts[part] += layer.weight.numel() * inputs[0].shape[2] * inputs[0].shape[3]
        else:
            counts[part] += layer.weight.numel() * output.shape[2] * output.shape[3]

    return count


def operations_per_update(training: SimulatorTraining) -> float:
    """Floating-point operations of an update: warm-up forwards, then T steps forwards and twice that backwards.

    No gradient is computed for the first layer's real frames, which is counted all the same: a share of 2 %.
    """
    counts = operations_per_step(training.model)
    step = counts["encoder"] + (counts["imagining"] or counts["observing"])
    observed = counts["encoder"] + counts["observing"]
    one = training.warm_up * observed + 3 * training.subsequence * (step + counts["decoder"])
    return 2.0 * one * training.batch_size


def measure_simulators() -> dict[str, Any]:
    """Training of the paper's baseline against a matrix product, and imagined steps a second of its two forms."""
    set_threads(available_cores())
    device = resolve_device("auto")
    result: dict[str, Any] = {"device": str(device)}
    precisions = ["fp32", *(["bf16"] if has_fast_bf16(device) else [])]
    for precision in precisions:
        for scheme in ("0%PDT", "100%PDT"):
            training = SimulatorTraining(precision=precision, scheme=scheme)
            result |= {
                f"{precision}_{scheme}_{name}": value for name, value in measure_training(training, device).items()
            }
    for batch in (1, 64):
        result |= {f"batch_{batch}_{name}": value for name, value in measure_imagination(batch, device).items()}
    return result


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
    network = RES(training.model).to(device)
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


def measure_imagination(batch: int, device: torch.device) -> dict[str, float]:
    """Imagined steps a second of the prediction-dependent and -independent forms; the latter also with drawing."""
    dependent, independent = (dream_of(RESOptions(**form), batch, device) for form in ({}, INDEPENDENT))
    seconds = SECONDS / 2
    one, other = alternate(dependent, independent, seconds)
    drawn = dream_of(RESOptions(**INDEPENDENT), batch, device, render=True)
    both, _ = alternate(drawn, dependent, seconds)
    steps = batch * DREAM_STEPS
    return {
        "dependent_steps_per_second": one * steps,
        "independent_steps_per_second": other * steps,
        "independent_drawn_steps_per_second": both * steps,
        "ratio": other / one,
    }


def dream_of(options: RESOptions, batch: int, device: torch.device, render: bool = False) -> Callable[[], None]:
    """Some imagined steps of a batch."""
    simulator = VideoSimulator(RES(options).to(device))
    frames = torch.randint(0, 256, (batch, 2, options.height, options.width, options.channels), dtype=torch.uint8)
    actions = torch.zeros(batch, 1, dtype=torch.long, device=device)
    begin = simulator.advance(simulator.observe(frames.to(device), actions), actions[:, 0])

    def dream() -> None:
        state = begin
        for _ in range(DREAM_STEPS):
            state = simulator.advance(state, actions[:, 0])
            if render:
                simulator.render(state)
        synchronise(device)

    return dream


def synchronise(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()
