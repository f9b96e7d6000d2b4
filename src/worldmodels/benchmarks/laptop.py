"""The models and the agent of `results/doom-laptop`, for benchmarks that look at them."""

from pathlib import Path

import torch

from worldmodels.config.tasks import TakeCoverOptions
from worldmodels.errors import UserError
from worldmodels.models.files import Controller, LoadedWorldModel, load_controller, load_world_model_files

RESULTS = Path("results/doom-laptop")
VARIANT = "tau-1.15"
TEMPERATURE = 1.15
TASK = TakeCoverOptions(screen_resolution="160x120")


def trained_seeds() -> list[int]:
    """Training seeds whose agent is there. Raises UserError where there is none."""
    found = RESULTS.glob(f"seed-*/controllers/{VARIANT}/controller.json")
    seeds = sorted(int(path.parents[2].name.removeprefix("seed-")) for path in found)
    if not seeds:
        raise UserError(f"{RESULTS} has no agent: run `make quickstart` first, then this benchmark.")
    return seeds


def load_models(seed: int = 1) -> LoadedWorldModel:
    """V and M of a training seed, on the CPU. Raises UserError where they are not built."""
    folder = RESULTS / f"seed-{seed}"
    memory = folder / "models/mdn_rnn/weights.safetensors"
    if not memory.is_file():
        raise UserError(f"{folder} has no models: run `make quickstart` first, then this benchmark.")
    vision, latents = folder / "models/vae/weights.safetensors", folder / "latents.h5"
    return load_world_model_files(vision, memory, latents, torch.device("cpu"))


def load_agent(seed: int = 1) -> Controller:
    """The controller that was evolved in them."""
    folder = RESULTS / f"seed-{seed}"
    path = folder / "controllers" / VARIANT / "controller.json"
    return load_controller(path, folder / "models/mdn_rnn/weights.safetensors")
