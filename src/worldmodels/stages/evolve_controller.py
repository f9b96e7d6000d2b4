"""Evolve a controller inside the dream of one trained world model (paper, section 4 and appendix A.4)."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from worldmodels.config.blocks import EvolveControllerBlock
from worldmodels.evolution import HISTORY_COLUMNS, Evolution, evolve
from worldmodels.models.controller import controller_size
from worldmodels.models.files import LoadedWorldModel, load_world_model_files
from worldmodels.runtime.device import matmul_dtype, resolve_device
from worldmodels.runtime.files import file_checksum, write_json, write_text
from worldmodels.simulators.dreams import DreamOptions, dream_returns
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage


class EvolveController(Stage):
    """Options of evolve_controller."""

    Block: ClassVar = EvolveControllerBlock

    vae: Path = input_file("The VAE's weights")
    mdn_rnn: Path = input_file("M's weights")
    latents: Path = input_file("Latents, for the first frames that dreams start from")
    output: Path = output_file("The selected controller, JSON")
    history: Path = output_file("Scores of every generation, CSV")
    seed: int

    def modules(self) -> list[str]:
        """The stage, and the real game only where it selects."""
        block = self.block()
        real = [f"envs.{block.task.name}", "evaluation"] if block.task is not None else []
        return [*super().modules(), *real]

    def run(self) -> None:
        """Search, select, write."""
        block = self.block()
        device = resolve_device(self.device)
        world_model = load_world_model_files(self.vae, self.mdn_rnn, self.latents, device)
        dream = self._dream(world_model, block)
        sizes = world_model.mdn_rnn.options
        options = block.evolution
        size = controller_size(options.controller, sizes.latent_size, sizes.hidden_size, sizes.action_size)
        evolution = evolve(
            size,
            score=lambda population, number: dream(population, options.rollouts, "fitness", number),
            evaluate=lambda mean, number: dream(mean[None], options.evaluation_dreams, "evaluation", 0)[0],
            validate=self._validation(world_model, block) if block.task is not None else None,
            options=options,
            seed_words=("evolve_controller", self.seed, str(block.variant.temperature)),
            state=self.state,
        )
        write_text(self.history, history_csv(evolution))
        self._write_controller(evolution, block, world_model)

    def _dream(
        self, world_model: LoadedWorldModel, block: EvolveControllerBlock
    ) -> Callable[[np.ndarray, int, str, int], np.ndarray]:
        options = block.evolution
        starts = world_model.starts(options.start_frames)
        products = matmul_dtype(options.precision, world_model.device)
        tau = block.variant.temperature

        def returns(population: np.ndarray, rollouts: int, purpose: str, number: int) -> np.ndarray:
            """Survival (P, R) of controllers (P, D); `number` is the generation, or 0 for the same dreams each time."""
            weights = torch.as_tensor(population, dtype=torch.float32, device=world_model.device)
            dreams = DreamOptions(options.controller, tau, rollouts, options.max_steps, products)
            words = ("evolve_controller", self.seed, purpose, number)
            return dream_returns(world_model.mdn_rnn, weights, starts, dreams, words).returns

        return returns

    def _validation(
        self, world_model: LoadedWorldModel, block: EvolveControllerBlock
    ) -> Callable[[np.ndarray, int], np.ndarray]:
        selection = importlib.import_module("worldmodels.evaluation")
        return selection.real_validation(world_model, block, self.seed, self.threads)

    def _write_controller(
        self, evolution: Evolution, block: EvolveControllerBlock, world_model: LoadedWorldModel
    ) -> None:
        chosen = evolution.selected(block.variant.selection)
        sizes = world_model.mdn_rnn.options
        content = {
            "weights": [float(weight) for weight in chosen.weights],
            "options": block.evolution.controller.model_dump(),
            "latent_size": sizes.latent_size,
            "hidden_size": sizes.hidden_size,
            "action_size": sizes.action_size,
            "temperature": block.variant.temperature,
            "selection": block.variant.selection,
            "selection_score": chosen.score,
            "generation": chosen.generation,
            "generations": evolution.generation,
            "dream_steps": evolution.dream_steps,
            "environment_frames": len(world_model.latents.means),
            "mdn_rnn_sha256": file_checksum(self.mdn_rnn),
        }
        write_json(self.output, content)


def history_csv(evolution: Evolution) -> str:
    """The history of a search as CSV; empty where a generation was not scored."""
    lines = [",".join(HISTORY_COLUMNS)]
    for row in evolution.history:
        lines.append(",".join("" if row[name] is None else f"{row[name]:.6g}" for name in HISTORY_COLUMNS))
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(EvolveController, arguments)
