"""Evolve a controller, inside the dream of one trained world model or in the real environment (paper, appendix A.4)."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from worldmodels.config.blocks import EvolveControllerBlock
from worldmodels.config.tasks import CarRacingOptions
from worldmodels.config.training import EvolutionOptions
from worldmodels.errors import UserError
from worldmodels.evolution import HISTORY_COLUMNS, Evolution, evolve
from worldmodels.models.controller import controller_size
from worldmodels.models.files import LoadedWorldModel, load_world_model_files, require_actions
from worldmodels.models.world_model import StartLatents
from worldmodels.runtime.device import matmul_dtype, resolve_device
from worldmodels.runtime.files import file_checksum, write_json, write_text
from worldmodels.runtime.processor import available_cores
from worldmodels.runtime.shorter_runs import ShorterRun
from worldmodels.scores import Scores
from worldmodels.simulators.dreams import DreamOptions, dream_returns
from worldmodels.stages.stage import Seed, Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage


class EvolveController(Stage):
    """Options of evolve_controller."""

    Block: ClassVar = EvolveControllerBlock
    uses_gpu = True

    vae: Path = input_file("The VAE's weights")
    mdn_rnn: Path = input_file("M's weights")
    latents: Path | None = input_file("Latents, for the frames that dreams start from", default=None)
    output: Path = output_file("The selected controller, JSON")
    history: Path = output_file("Scores of every generation, CSV")
    seed: Seed

    def modules(self) -> list[str]:
        """The stage, and the real game only where it plays."""
        block = self.block()
        real = [f"envs.{block.task.name}", "evaluation"] if block.task is not None else []
        return [*super().modules(), *real]

    def run(self) -> None:
        """Search, select, write."""
        block = self.block()
        world_model = load_world_model_files(self.vae, self.mdn_rnn, self.latents, resolve_device(self.device))
        self._require_actions_fit(world_model.mdn_rnn.options.action_size, block)
        with self._real_episodes(world_model, block) as real:
            evolution = self._evolve(world_model, block, real)
        write_text(self.history, history_csv(evolution))
        self._write_controller(evolution, block, world_model)

    def _require_actions_fit(self, size: int, block: EvolveControllerBlock) -> None:
        """Raise UserError where M's actions are not those of the task, or of the controller's outputs."""
        task, outputs = block.task, block.evolution.controller.actions
        if task is not None:
            require_actions(self.mdn_rnn, size, task)
        if outputs == "steer-gas-brake" and size != CarRacingOptions.action_size:
            raise UserError(
                f"{self.mdn_rnn} was trained on actions of {size} numbers, but evolution.controller.actions is '{outputs}', "
                "which makes three. Name the weights of this experiment, or set actions: unit."
            )

    def _evolve(self, world_model: LoadedWorldModel, block: EvolveControllerBlock, real: Any) -> Evolution:
        sizes, options = world_model.mdn_rnn.options, block.evolution
        in_dream = block.variant.environment == "dream"
        scorer = Dreams(world_model, block, self.seed) if in_dream else real
        place = str(block.variant.temperature) if in_dream else "real"
        return evolve(
            controller_size(options.controller, sizes.latent_size, sizes.hidden_size, sizes.action_size),
            score=scorer.population,
            evaluate=scorer.evaluation_score,
            validate=real.validation_score if block.variant.selection == "validation" else None,
            options=options,
            seed_words=("evolve_controller", self.seed, place),
            state=self.state,
            shorter=ShorterRun(self.state, self.facts(), "evolution.generations"),
        )

    @contextmanager
    def _real_episodes(self, world_model: LoadedWorldModel, block: EvolveControllerBlock) -> Iterator[Any]:
        """The real game, where the block wants it, else None."""
        if block.task is None or block.evaluation is None:
            yield None
            return
        in_dream = block.variant.environment == "dream"
        options = block.evolution
        episodes = options.validation_episodes if in_dream else options.population * options.rollouts
        slots = min(block.evaluation.games, episodes)
        # The real game's modules are imported only here: a dream's code fingerprint does not contain them.
        games, evaluation = (importlib.import_module(f"worldmodels.{name}") for name in ("envs.games", "evaluation"))
        with games.make_games(block.task, slots, min(slots, self.threads or available_cores())) as batch:
            yield evaluation.RealEpisodes(world_model, block, self.seed, batch)

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
            "dream_steps": evolution.steps if block.variant.environment == "dream" else 0,
            "environment_frames": self._real_frames(evolution, block, world_model),
            "mdn_rnn_sha256": file_checksum(self.mdn_rnn),
        }
        write_json(self.output, content)

    def _real_frames(self, evolution: Evolution, block: EvolveControllerBlock, world_model: LoadedWorldModel) -> int:
        """Frames of the real game behind the controller: of the data set, of evolution where it played, of validation."""
        collected = len(world_model.latents.means) if world_model.latents is not None else 0
        scored = evolution.steps if block.variant.environment == "real" else 0
        return collected + scored + evolution.validation_steps


class Dreams:
    """Scores controllers in the dream."""

    def __init__(self, world_model: LoadedWorldModel, block: EvolveControllerBlock, seed: int) -> None:
        self.world_model, self.seed, self.options = world_model, seed, block.evolution
        self.temperature, self.dropout = block.variant.temperature, block.variant.dropout
        self.starts = world_model.starts(block.evolution.start_frames)
        self.moments = self._moments(block.evolution)
        self.matmul_dtype = matmul_dtype(block.evolution.precision, world_model.device)

    def population(self, population: np.ndarray, generation: int) -> Scores:
        """Survival (P, R) of controllers (P, D)."""
        short = self.options.short_dreams
        steps = self.options.max_steps if short is None else short.steps
        return self._dream(population, self.moments, self.options.rollouts, steps, "fitness", generation)

    def _moments(self, options: EvolutionOptions) -> StartLatents:
        """Where the dreams of a population begin."""
        short = options.short_dreams
        if short is None:
            return self.starts
        words = ("evolve_controller", self.seed, "moments")
        return self.world_model.moments(options.start_frames, short.watched, words)

    def evaluation_score(self, weights: np.ndarray, _generation: int) -> Scores:
        """Survival (n,) of one controller (D,) in the same whole dreams each time."""
        options = self.options
        scores = self._dream(weights[None], self.starts, options.evaluation_dreams, options.max_steps, "evaluation", 0)
        return Scores(scores.returns[0], scores.steps)

    def _dream(
        self, population: np.ndarray, starts: StartLatents, rollouts: int, steps: int, purpose: str, number: int
    ) -> Scores:
        options = self.options
        weights = torch.as_tensor(population, dtype=torch.float32, device=self.world_model.device)
        dreams = DreamOptions(options.controller, self.temperature, rollouts, steps, self.dropout, self.matmul_dtype)
        words = ("evolve_controller", self.seed, purpose, number)
        scores = dream_returns(self.world_model.mdn_rnn, weights, starts, dreams, words)
        return Scores(scores.returns, int(scores.lengths.sum()))


def history_csv(evolution: Evolution) -> str:
    """The history of a search as CSV; empty where a generation was not scored."""
    lines = [",".join(HISTORY_COLUMNS)]
    for row in evolution.history:
        lines.append(",".join("" if row[name] is None else f"{row[name]:.6g}" for name in HISTORY_COLUMNS))
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(EvolveController, arguments)
