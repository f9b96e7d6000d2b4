"""Films of one agent: in the real game beside what V sees, and in its own dream, at one temperature or more.

Of five episodes (or dreams), the film shows the one of median length: neither the luckiest nor the worst.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from worldmodels.config.blocks import FilmBlock
from worldmodels.envs.games import make_games
from worldmodels.evaluation import DreamerAgent, play_episodes
from worldmodels.figures.videos import Dreamt, dream_film, real_film, write_mp4
from worldmodels.figures.wording import WORDING
from worldmodels.models.files import Controller, LoadedWorldModel, load_controller, load_world_model_files
from worldmodels.models.vae import observations_from_frames
from worldmodels.runtime.files import read_json
from worldmodels.seeds import SELECTION_SEEDS, episode_seeds
from worldmodels.simulators.dreams import DreamOptions, dream_returns
from worldmodels.simulators.films import dream_frames
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage

TRIES = 5


class Film(Stage):
    """Options of film."""

    Block: ClassVar = FilmBlock

    vae: Path = input_file("The VAE's weights")
    mdn_rnn: Path = input_file("M's weights")
    latents: Path = input_file("Latents, for the first frames that dreams start from")
    controller: Path = input_file("The controller, JSON")
    real: Path = output_file("Film of the real game, MP4")
    dream: Path = output_file("Film of the dream, MP4")

    def modules(self) -> list[str]:
        """The stage and the task that it plays."""
        return [*super().modules(), f"envs.{self.block().task.name}"]

    def run(self) -> None:
        """Play, dream, film."""
        world_model = load_world_model_files(self.vae, self.mdn_rnn, self.latents, torch.device("cpu"))
        controller = load_controller(self.controller, self.mdn_rnn)
        self._film_real(world_model, controller)
        self._film_dream(world_model, controller)

    def _film_real(self, world_model: LoadedWorldModel, controller: Controller) -> None:
        block = self.block()
        agent = DreamerAgent(world_model, controller, TRIES, block.task.max_steps, block.evaluation.latent)
        frames: list[list[np.ndarray]] = [[] for _ in range(TRIES)]
        actions: list[list[np.ndarray]] = [[] for _ in range(TRIES)]

        def watch(slot: int, frame: np.ndarray, action: np.ndarray) -> None:
            frames[slot].append(frame.copy())
            actions[slot].append(action.copy())

        with make_games(block.task, TRIES, 2) as games:
            play_episodes(games, agent, episode_seeds(SELECTION_SEEDS, "film", count=TRIES), watch=watch)
        shown = sorted(range(TRIES), key=lambda slot: len(frames[slot]))[TRIES // 2]
        seen = reconstruct(world_model, np.stack(frames[shown]))
        wording = WORDING[block.task.name]
        film = real_film(np.stack(frames[shown]), seen, np.stack(actions[shown]), wording)
        write_mp4(self.real, film, wording.steps_a_second)

    def _film_dream(self, world_model: LoadedWorldModel, controller: Controller) -> None:
        block = self.block()
        own = float(read_json(self.controller)["temperature"])
        temperatures = sorted({own, *block.film_temperatures})
        dreams = {value: self._dream(world_model, controller, value) for value in temperatures}
        wording = WORDING[block.task.name]
        write_mp4(self.dream, dream_film(dreams, wording), wording.steps_a_second)

    def _dream(self, world_model: LoadedWorldModel, controller: Controller, temperature: float) -> Dreamt:
        """The dream of median length at a temperature; which of the five that is, and so its start, may differ between them."""
        block = self.block()
        options = DreamOptions(controller.options, temperature, TRIES, block.evolution.max_steps, block.dropout)
        weights = torch.as_tensor(controller.weights, dtype=torch.float32, device=world_model.device)
        starts, words = world_model.starts(block.evolution.start_frames), ("film",)
        lengths = dream_returns(world_model.mdn_rnn, weights[None], starts, options, words).lengths[0]
        shown = int(np.argsort(lengths)[TRIES // 2])
        film = dream_frames(world_model.with_starts(starts), weights, options, words, shown)
        deaths = film.death_probabilities if world_model.mdn_rnn.options.predict_done else None
        return Dreamt(film.frames[: len(film.actions)], film.actions, deaths)


@torch.inference_mode()
def reconstruct(world_model: LoadedWorldModel, frames: np.ndarray) -> np.ndarray:
    """What V makes of frames (T, 64, 64, 3) uint8: drawn again from the means of their latents."""
    pieces = []
    for start in range(0, len(frames), 256):
        observations = observations_from_frames(torch.from_numpy(frames[start : start + 256]).to(world_model.device))
        pieces.append(world_model.model.render_latents(world_model.vae.encode(observations)[0]).cpu().numpy())
    return np.concatenate(pieces)


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(Film, arguments)
