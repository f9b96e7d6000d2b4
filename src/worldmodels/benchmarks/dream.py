"""How fast M dreams: steps a second of the batched engine, beside what its two matrix products alone would take.

Rates are the best of several repetitions, and a dream and its limit are timed in turns: another program on the machine
then slows both.
"""

import time
from collections.abc import Callable
from typing import Any

import torch

from worldmodels.config.models import ControllerOptions, MDNRNNOptions
from worldmodels.models.controller import controller_size
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.world_model import StartLatents
from worldmodels.runtime.device import has_fast_bf16, set_threads
from worldmodels.runtime.processor import available_cores
from worldmodels.simulators.dreams import DreamBatch, DreamOptions, dream_returns

MEMBERS, ROLLOUTS = 64, 16  # the paper's generation
STEPS = 128
REPETITIONS = 3


def measure_dreams(threads: int | None = None) -> dict[str, Any]:
    """Time dreams of the Doom model (LSTM 512, controller z-c-h) that nobody dies in, on the CPU.

    Returns rates in steps a second: for fp32 and bf16 products the engine's, the limit (the same two matrix products
    on the same shapes and nothing else), and the share of it; the rate of one dream at a time in fp32, and how many
    times faster the batch is.
    """
    set_threads(threads or available_cores())
    memory, starts = immortal_memory()
    result: dict[str, Any] = {"dreams": MEMBERS * ROLLOUTS, "bf16_hardware": has_fast_bf16(torch.device("cpu"))}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        rate, limit = measure_batched(memory, starts, dtype)
        result |= {f"{name}_rate": rate, f"{name}_limit": limit, f"{name}_share": rate / limit}
    result["single_rate"] = measure_single(memory, starts)
    result["batch_gain"] = result["fp32_rate"] / result["single_rate"]
    return result


def immortal_memory() -> tuple[MDNRNN, StartLatents]:
    """M of Doom's size with fresh weights that never predict death, and first frames."""
    torch.manual_seed(0)
    memory = MDNRNN(MDNRNNOptions()).eval()
    with torch.no_grad():
        memory.head.bias[-1] = -1e3
    latent = memory.options.latent_size
    return memory, StartLatents(torch.randn(1000, latent), torch.full((1000, latent), -2.0))


def dream_options(rollouts: int, steps: int, dtype: torch.dtype) -> DreamOptions:
    """Dreams at the paper's temperature."""
    return DreamOptions(ControllerOptions(), 1.15, rollouts, steps, products=dtype)


def random_controllers(memory: MDNRNN, count: int) -> torch.Tensor:
    """Weights (P, D) of the size that CMA-ES tries."""
    sizes = memory.options
    size = controller_size(dream_options(1, 1, torch.float32).controller, sizes.latent_size, sizes.hidden_size, 1)
    return 0.1 * torch.randn(count, size)


def measure_batched(memory: MDNRNN, starts: StartLatents, dtype: torch.dtype) -> tuple[float, float]:
    """Steps a second of the engine, and of its matrix products alone."""
    fast = dtype == torch.float32 or has_fast_bf16(torch.device("cpu"))
    steps = STEPS if fast else STEPS // 16
    options = dream_options(ROLLOUTS, steps, dtype)
    weights = random_controllers(memory, MEMBERS)
    total = MEMBERS * ROLLOUTS * steps
    products = matrix_products(memory, options)
    rates, limits = [], []
    for _ in range(REPETITIONS if fast else 1):
        limits.append(total / seconds(lambda: [products() for _ in range(steps)]))
        rates.append(total / seconds(lambda: dream_returns(memory, weights, starts, options, ("benchmark", 1, 1))))
    return max(rates), max(limits)


def matrix_products(memory: MDNRNN, options: DreamOptions) -> Callable[[], None]:
    """The two products of a step of all dreams, on ready-made inputs and into ready-made outputs."""
    batch = DreamBatch(memory, options)
    shapes = [product.weight.shape for product in (batch.gates, batch.head)]
    inputs = [torch.randn(MEMBERS * ROLLOUTS, size).to(batch.gates.dtype) for size, _ in shapes]
    outputs = [torch.empty(MEMBERS * ROLLOUTS, size, dtype=batch.gates.dtype) for _, size in shapes]

    @torch.inference_mode()
    def run() -> None:
        torch.mm(inputs[0], batch.gates.weight, out=outputs[0])
        torch.mm(inputs[1], batch.head.weight, out=outputs[1])

    run()
    return run


def measure_single(memory: MDNRNN, starts: StartLatents) -> float:
    """Steps a second of one dream at a time, on the same engine."""
    options = dream_options(1, 300, torch.float32)
    weights = random_controllers(memory, 1)
    return 300 / min(
        seconds(lambda: dream_returns(memory, weights, starts, options, ("benchmark", 1, 1)))
        for _ in range(REPETITIONS)
    )


def seconds(work: Callable[[], Any]) -> float:
    """How long `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
