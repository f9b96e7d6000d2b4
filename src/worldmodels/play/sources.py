"""What an experiment of config.yaml offers to play: its simulator, the real game, the keys, the speed."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodels.config import dag, job, simulator_files
from worldmodels.config.atari_blocks import atari_dataset, game_label
from worldmodels.config.experiments import Config
from worldmodels.config.load import experiment_options, nearest, simulator_experiment
from worldmodels.config.tasks import AtariOptions, CarRacingOptions, RolloutTask
from worldmodels.envs.atari import AtariGame
from worldmodels.errors import UserError
from worldmodels.models.files import LoadedWorldModel, load_world_model_files
from worldmodels.models.world_model import WorldModel
from worldmodels.play.keyboard import Keyboard, atari_keyboard, car_racing_action, take_cover_action
from worldmodels.play.views import DreamView, RealView, View, noise_of
from worldmodels.simulators.dropout import with_dropout
from worldmodels.simulators.load import load_simulator
from worldmodels.simulators.noise import RowStreams
from worldmodels.simulators.sequences import HeldOut

START_FRAMES = 1000
"""Recorded first frames among which a dream's beginning is drawn."""
START_WINDOWS = 2**20
RATES = {"take_cover": 35.0, "car_racing": 50.0, "atari": 15.0}
"""Steps a second of the real games."""
CPU = torch.device("cpu")


@dataclass
class Request:
    """What is to be played. None: the experiment's own choice."""

    experiment: str
    training_seed: int = 1
    simulator: str | None = None
    game: str | None = None
    temperature: float | None = None
    real: bool = False


@dataclass
class Playable:
    """What a window needs."""

    views: list[View]
    keyboard: Keyboard
    rate: float
    title: str


def playable(config: Config, request: Request, closing: ExitStack) -> Playable:
    """Load what is to be played; `closing` ends the real game. Raises UserError for what is not there."""
    if request.experiment in config.simulator_experiments:
        return _video(config, request, closing)
    return _world_model(config, request, closing)


def _world_model(config: Config, request: Request, closing: ExitStack) -> Playable:
    """V and M of Doom or of CarRacing."""
    options = experiment_options(config, request.experiment)
    for option, value in (("--simulator", request.simulator), ("--game", request.game)):
        if value is not None:
            raise UserError(f"{option} is for experiments with Atari simulators; {request.experiment} is none.")
    variant = dag.film_variant(config, request.experiment) if dag.evolved_variants(config, request.experiment) else None
    shown = variant or next(iter(options.variants))
    paths = dag.agent_models(config, request.experiment, shown, request.training_seed)
    latents = Path(paths["latents"]) if "latents" in paths else None
    for path in map(Path, paths.values()):
        if not path.exists():
            raise UserError(f"{path} is not built: snakemake --cores all {path}")
    loaded = load_world_model_files(Path(paths["vae"]), Path(paths["mdn_rnn"]), latents, CPU)
    task = _reported(job.dataset_options(config, options.dataset).task)
    real = closing.enter_context(RealView(task)) if request.real else None
    own = options.variants[shown]
    # An M without a reward head gives 1 for every step: that is Doom's reward, and no other game's.
    knows_rewards = task.name == "take_cover" or loaded.mdn_rnn.options.predict_reward
    model = with_dropout(loaded.model, own.dropout)
    dream = DreamView(model, _beginning(loaded, real), request.temperature or own.temperature, knows_rewards)
    keyboard = {"take_cover": take_cover_action, "car_racing": car_racing_action}[task.name]
    return Playable([dream, *([real] if real else [])], keyboard, RATES[task.name], options.title)


def _reported(task: RolloutTask) -> RolloutTask:
    """The task on the backend whose scores count."""
    return task.model_copy(update={"backend": "gymnasium"}) if isinstance(task, CarRacingOptions) else task


def _beginning(loaded: LoadedWorldModel, real: RealView | None) -> Callable[[RowStreams], Any]:
    """On what the real game shows, or on a recorded first frame."""
    model = loaded.model
    if real is not None:

        def where_the_game_stands(_noise: RowStreams) -> Any:
            frame = torch.from_numpy(real.frame())[None, None]  # (1, 1, 64, 64, 3)
            return model.observe(frame, torch.zeros(1, 0, model.action_size))

        return where_the_game_stands
    return WorldModel(model.vae, model.mdn_rnn, loaded.starts(START_FRAMES)).start


def _window(noise: RowStreams) -> int:
    """Which of START_WINDOWS held-out sequences a dream begins on."""
    return int(float(noise.draw()[0][0, 0]) * START_WINDOWS)


def _video(config: Config, request: Request, closing: ExitStack) -> Playable:
    """A simulator of an Atari game."""
    experiment = simulator_experiment(config, request.experiment)
    learned = [name for name, entry in experiment.scored.items() if entry.learns]
    name = request.simulator or (learned or list(experiment.scored))[0]
    if name not in experiment.scored:
        raise UserError(
            f"{request.experiment} has no simulator '{name}'.{nearest(name, experiment.scored)} It has: "
            f"{', '.join(experiment.scored)}."
        )
    labels = [game_label(game) for game in experiment.games]
    game = game_label(request.game or experiment.games[0])
    if game not in labels:
        raise UserError(
            f"{request.experiment} has no game '{game}'.{nearest(game, labels)} It has: {', '.join(labels)}."
        )
    folder = simulator_files.simulator_folder(config, request.experiment, game, request.training_seed, name)
    path = Path(folder, "weights.safetensors")
    shards = [Path(shard) for shard in simulator_files.test_shards(config, request.experiment, game)]
    for needed in (path, *shards):
        if not needed.exists():
            raise UserError(f"{needed} is not built: snakemake --cores all {needed}")
    simulator = load_simulator(path, CPU)
    warm_up = experiment.evaluation.warm_up
    held_out = HeldOut(shards, simulator, warm_up + 1, 1)

    def begin(noise: RowStreams) -> Any:
        windows = held_out.batch(_window(noise))
        return simulator.observe(windows.frames[:, : warm_up + 1], windows.actions[:, :warm_up])

    def begin_real(game: AtariGame, seed: int) -> np.ndarray:
        """Where the dream of the seed begins: the recorded episode is played again up to there."""
        recorded = held_out.windows
        [window] = recorded.numbers(_window(noise_of(seed, simulator)))
        noops, actions = recorded.store.history(recorded.first_row(int(window)) + warm_up)
        return game.replay(noops, actions.tolist())

    model = experiment.simulators[name].model
    knows_rewards = model.predict_reward and model.reward_target == "value"
    views: list[View] = [DreamView(simulator, begin, request.temperature or 1.0, knows_rewards)]
    if request.real:
        dataset, rom = atari_dataset(config, simulator_files.game_dataset(config, request.experiment, game))
        views.append(closing.enter_context(RealView(AtariOptions(game=rom, **dataset.rules.model_dump()), begin_real)))
    keyboard = atari_keyboard(held_out.windows.store.action_codes)
    return Playable(views, keyboard, RATES["atari"], f"{game}, imagined by {name}")
