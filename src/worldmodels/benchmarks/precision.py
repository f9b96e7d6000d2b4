"""Whether bf16 matrix products change the score of a controller in the dream: the models of a finished experiment.

The same controller and the same random numbers, so that the two precisions dream the same dreams until they part.
"""

from typing import Any

import numpy as np
import torch

from worldmodels.benchmarks.laptop import TEMPERATURE, load_agent, load_models
from worldmodels.runtime.device import has_fast_bf16, set_threads
from worldmodels.runtime.processor import available_cores
from worldmodels.simulators.dreams import DreamOptions, dream_returns

DREAMS = 1024
START_FRAMES = 1000


def measure_precision() -> dict[str, Any]:
    """Dream with doom-laptop's evolved controller in both precisions, on the CPU.

    Returns both mean returns, in steps, their standard errors, and how far bf16's mean lies from fp32's as a share of
    it. Raises UserError where `results/doom-laptop` is not built.
    """
    set_threads(available_cores())
    loaded, controller = load_models(), load_agent()
    weights, starts = torch.from_numpy(controller.weights).float()[None], loaded.starts(START_FRAMES)
    result: dict[str, Any] = {"dreams": DREAMS, "bf16_hardware": has_fast_bf16(torch.device("cpu"))}
    means = []
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        options = DreamOptions(controller.options, TEMPERATURE, DREAMS, matmul_dtype=dtype)
        returns = dream_returns(loaded.mdn_rnn, weights, starts, options, ("benchmark", "precision")).returns
        means.append(float(returns.mean()))
        result |= {f"{name}_mean": means[-1], f"{name}_standard_error": float(returns.std(ddof=1) / np.sqrt(DREAMS))}
    return result | {"difference": means[1] / means[0] - 1}
