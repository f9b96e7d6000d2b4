"""Score a controller, or the random policy, in the real game on report seeds, and in its dream; one row an episode."""

from pathlib import Path
from typing import ClassVar

import torch

from worldmodels.config.blocks import EvaluateControllerBlock
from worldmodels.envs.games import load_task, make_games
from worldmodels.envs.policies import make_policy
from worldmodels.evaluation import Agent, DreamerAgent, PolicyAgent, play_episodes
from worldmodels.figures.episodes import Episode, write_episodes
from worldmodels.models.files import (
    Controller,
    LoadedWorldModel,
    load_agent,
)
from worldmodels.runtime.device import matmul_dtype, resolve_device
from worldmodels.runtime.processor import available_cores
from worldmodels.seeds import REPORT_SEEDS, episode_seeds
from worldmodels.simulators.dreams import DreamOptions, dream_returns
from worldmodels.stages.stage import Seed, Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage


class EvaluateController(Stage):
    """Options of evaluate_controller. Without --controller, the random policy is scored."""

    Block: ClassVar = EvaluateControllerBlock
    uses_gpu = True

    output: Path = output_file("One row an episode, CSV")
    experiment: str
    variant: str
    seed: Seed
    vae: Path | None = input_file("The VAE's weights", default=None)
    mdn_rnn: Path | None = input_file("M's weights", default=None)
    latents: Path | None = input_file("Latents, for the first frames that dreams start from", default=None)
    controller: Path | None = input_file("The controller, JSON", default=None)

    def modules(self) -> list[str]:
        """The stage and the task that it plays."""
        return [*super().modules(), f"envs.{self.block().task.name}"]

    def run(self) -> None:
        """Dream first, then play."""
        block = self.block()
        task = load_task(block.task.name)
        seeds = self._share(episode_seeds(REPORT_SEEDS, "report", self.seed, count=block.evaluation.episodes))
        games = min(block.evaluation.games, len(seeds))
        rows: list[Episode] = []
        agent: Agent
        if self.controller is None:
            agent = PolicyAgent(lambda rng: make_policy(block.policy, task.ACTION_SIZE, rng), task, games)
        else:
            device = resolve_device(self.device)
            files = (self.vae, self.mdn_rnn, self.controller)
            world_model, controller = load_agent(*files, block.task, device, self.latents)
            if self._first_batch() and block.variant.policy == "evolved" and block.variant.environment == "dream":
                rows += self._dreams(world_model, controller, block)
            agent = self._agent(world_model, controller, games, block)
        with make_games(block.task, games, min(games, self.threads or available_cores())) as batch:
            for outcome in play_episodes(batch, agent, seeds, self.state):
                ended = task.ENDING if outcome.ended else "timeout"
                rows.append(self._row("real", outcome.episode_seed, outcome.steps, outcome.total, ended))
        write_episodes(self.output, rows)

    def _share(self, seeds: list[int]) -> list[int]:
        """Seeds of the episodes that are played here: all of them."""
        return seeds

    def _first_batch(self) -> bool:
        """Whether the dreams are dreamt here."""
        return True

    def _agent(
        self, world_model: LoadedWorldModel, controller: Controller, games: int, block: EvaluateControllerBlock
    ) -> DreamerAgent:
        dtype = matmul_dtype(block.evaluation.precision, world_model.device)
        latent = block.evaluation.latent
        return DreamerAgent(world_model, controller, games, block.task.max_steps, latent, dtype)

    def _dreams(
        self, world_model: LoadedWorldModel, controller: Controller, block: EvaluateControllerBlock
    ) -> list[Episode]:
        """The virtual score: fresh dreams at the temperature that the controller was evolved at."""
        options = block.evolution
        assert options is not None
        dtype = matmul_dtype(options.precision, world_model.device)
        rollouts = options.evaluation_dreams
        variant = block.variant
        dreams = DreamOptions(
            controller.options, variant.temperature, rollouts, options.max_steps, variant.dropout, dtype
        )
        weights = torch.as_tensor(controller.weights[None], dtype=torch.float32, device=world_model.device)
        starts = world_model.starts(options.start_frames)
        scores = dream_returns(world_model.mdn_rnn, weights, starts, dreams, ("evaluate_controller", self.seed))
        return [
            self._row("dream", index, int(steps), float(total), "death" if died else "timeout")
            for index, (steps, total, died) in enumerate(
                zip(scores.lengths[0], scores.returns[0], scores.deaths[0], strict=True)
            )
        ]

    def _row(self, environment: str, episode_seed: int, steps: int, total: float, ended: str) -> Episode:
        return Episode(self.experiment, self.seed, self.variant, environment, episode_seed, steps, total, ended)


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(EvaluateController, arguments)
