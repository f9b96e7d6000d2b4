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
    mdn_rnn, starts = immortal_mdn_rnn()
    result: dict[str, Any] = {"dreams": MEMBERS * ROLLOUTS, "bf16_hardware": has_fast_bf16(torch.device("cpu"))}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        rate, limit = measure_batched(mdn_rnn, starts, dtype)
        result |= {f"{name}_rate": rate, f"{name}_limit": limit, f"{name}_share": rate / limit}
    result["single_rate"] = measure_single(mdn_rnn, starts)
    result["batch_gain"] = result["fp32_rate"] / result["single_rate"]
    return result


def immortal_mdn_rnn() -> tuple[MDNRNN, StartLatents]:
    """M of Doom's size with fresh weights that never predict death, and first frames."""
    torch.manual_seed(0)
    mdn_rnn = MDNRNN(MDNRNNOptions()).eval()
    with torch.no_grad():
        mdn_rnn.head.bias[-1] = -1e3
    latent = mdn_rnn.options.latent_size
    return mdn_rnn, StartLatents(torch.randn(1000, latent), torch.full((1000, latent), -2.0))


def dream_options(rollouts: int, steps: int, dtype: torch.dtype) -> DreamOptions:
    """Dreams at the paper's temperature."""
    return DreamOptions(ControllerOptions(), 1.15, rollouts, steps, matmul_dtype=dtype)


def random_controllers(mdn_rnn: MDNRNN, count: int) -> torch.Tensor:
    """Weights (P, D) of the size that CMA-ES tries."""
    sizes = mdn_rnn.options
    size = controller_size(dream_options(1, 1, torch.float32).controller, sizes.latent_size, sizes.hidden_size, 1)
    return 0.1 * torch.randn(count, size)


def measure_batched(mdn_rnn: MDNRNN, starts: StartLatents, dtype: torch.dtype) -> tuple[float, float]:
    """Steps a second of the engine, and of its matrix products alone."""
    fast = dtype == torch.float32 or has_fast_bf16(torch.device("cpu"))
    steps = STEPS if fast else STEPS // 16
    options = dream_options(ROLLOUTS, steps, dtype)
    weights = random_controllers(mdn_rnn, MEMBERS)
    total = MEMBERS * ROLLOUTS * steps
    products = matrix_products(mdn_rnn, options)
    rates, limits = [], []
    for _ in range(REPETITIONS if fast else 1):
        limits.append(total / seconds(lambda: [products() for _ in range(steps)]))
        rates.append(total / seconds(lambda: dream_returns(mdn_rnn, weights, starts, options, ("benchmark", 1, 1))))
    return max(rates), max(limits)


def matrix_products(mdn_rnn: MDNRNN, options: DreamOptions) -> Callable[[], None]:
    """The two products of a step of all dreams, on ready-made inputs and into ready-made outputs."""
    batch = DreamBatch(mdn_rnn, options)
    shapes = [product.weight.shape for product in (batch.gates, batch.head)]
    inputs = [torch.randn(MEMBERS * ROLLOUTS, size).to(batch.gates.dtype) for size, _ in shapes]
    outputs = [torch.empty(MEMBERS * ROLLOUTS, size, dtype=batch.gates.dtype) for _, size in shapes]

    @torch.inference_mode()
    def run() -> None:
        torch.mm(inputs[0], batch.gates.weight, out=outputs[0])
        torch.mm(inputs[1], batch.head.weight, out=outputs[1])

    run()
    return run


def measure_single(mdn_rnn: MDNRNN, starts: StartLatents) -> float:
    """Steps a second of one dream at a time, on the same engine."""
    options = dream_options(1, 300, torch.float32)
    weights = random_controllers(mdn_rnn, 1)
    return 300 / min(
        seconds(lambda: dream_returns(mdn_rnn, weights, starts, options, ("benchmark", 1, 1)))
        for _ in range(REPETITIONS)
    )


def seconds(work: Callable[[], Any]) -> float:
    """How long `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
