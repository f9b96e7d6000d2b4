"""Whether bf16 matrix products change the score of a controller in the dream: the models of a finished experiment.

The same controller and the same random numbers, so that the two precisions dream the same dreams until they part.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodels.errors import UserError
from worldmodels.models.files import LoadedWorldModel, load_controller, load_world_model_files
from worldmodels.runtime.device import has_fast_bf16, set_threads
from worldmodels.runtime.processor import available_cores
from worldmodels.simulators.dreams import DreamOptions, dream_returns

RESULTS = Path("results/doom-laptop/seed-1")
VARIANT = "tau-1.15"
TEMPERATURE = 1.15
DREAMS = 1024
START_FRAMES = 1000


def load_laptop_models() -> LoadedWorldModel:
    """V and M of doom-laptop's first seed, on the CPU. Raises UserError where they are not built."""
    models = RESULTS / "models"
    memory = models / "mdn_rnn/weights.safetensors"
    if not memory.is_file():
        raise UserError(f"{RESULTS} has no models: run `make quickstart` first, then this benchmark.")
    vision, latents = models / "vae/weights.safetensors", RESULTS / "latents.h5"
    return load_world_model_files(vision, memory, latents, torch.device("cpu"))


def measure_precision() -> dict[str, Any]:
    """Dream with doom-laptop's evolved controller in both precisions, on the CPU.

    Returns both mean returns, in steps, their standard errors, and how far bf16's mean lies from fp32's as a share of
    it. Raises UserError where `results/doom-laptop` is not built.
    """
    set_threads(available_cores())
    loaded = load_laptop_models()
    path = RESULTS / "controllers" / VARIANT / "controller.json"
    controller = load_controller(path, RESULTS / "models/mdn_rnn/weights.safetensors")
    weights, starts = torch.from_numpy(controller.weights).float()[None], loaded.starts(START_FRAMES)
    result: dict[str, Any] = {"dreams": DREAMS, "bf16_hardware": has_fast_bf16(torch.device("cpu"))}
    means = []
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        options = DreamOptions(controller.options, TEMPERATURE, DREAMS, products=dtype)
        returns = dream_returns(loaded.mdn_rnn, weights, starts, options, ("benchmark", "precision")).returns
        means.append(float(returns.mean()))
        result |= {f"{name}_mean": means[-1], f"{name}_standard_error": float(returns.std(ddof=1) / np.sqrt(DREAMS))}
    return result | {"difference": means[1] / means[0] - 1}
