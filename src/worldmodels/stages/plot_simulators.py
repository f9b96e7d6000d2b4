"""Draw one figure of an experiment with simulators as SVG and PDF.

error, of all simulators or of those that differ in one thing, speed and an agent's score: all games; training; a strip of one game's frames; what an agent looks at in them; and how alike its actions are to the networks.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt

from worldmodels.config.simulator_blocks import PlotSimulatorsBlock, simulator_modules
from worldmodels.config.simulator_experiments import HORIZONS, SimulatorExperiment
from worldmodels.figures.agent_returns import read_returns
from worldmodels.figures.saliency import saliency_rows
from worldmodels.figures.simulator_films import enlarged
from worldmodels.figures.simulator_plots import (
    ACTION_NAMES,
    finish,
    frame_strip,
    panels,
    plot_agent,
    plot_error,
    plot_frames,
    plot_losses,
    plot_similarity,
    plot_speed,
)
from worldmodels.figures.simulator_tables import frames_seen, kind_of_frame, read_speeds
from worldmodels.figures.style import SETTINGS, save_figure
from worldmodels.models.acvp.action import factor_similarity
from worldmodels.models.atari_agent import load_agent
from worldmodels.models.video.files import load_network
from worldmodels.simulators.error_file import read_errors
from worldmodels.simulators.load import load_simulator, updates_made
from worldmodels.simulators.moments_file import read_moments
from worldmodels.simulators.sequences import imagined_frames, shown_sequence
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage

STRIP_HEIGHT = 210
SHORT_AND_LONG = (5, 10, 100)
"""Steps ahead whose errors are set against frames seen (Chiappa et al. 2017)."""
SHOWN_HORIZON = 50
"""Steps ahead at which error is set against speed."""


class PlotSimulators(Stage):
    """Options of plot_simulators. Files lie in GAME/seed-SEED/simulators/SIMULATOR/."""

    Block: ClassVar = PlotSimulatorsBlock

    figure: str
    errors: list[Path] = input_file("For error, schemes, frames and speed: the simulators' errors", default=[])
    speed: Path | None = input_file("For speed: imagined steps a second, CSV", default=None)
    metrics: list[Path] = input_file("For training: every simulator's training history", default=[])
    weights: list[Path] = input_file(
        "For a strip and for actions: the weights of one game's simulators; for frames: of all that have errors",
        default=[],
    )
    shards: list[Path] = input_file("For a strip: the game's test shards", default=[])
    played: list[Path] = input_file("For agent: scores of the agent inside simulators, SIMULATOR.csv", default=[])
    moments: list[Path] = input_file(
        "For saliency: what the agent saw inside the simulators of one game, SIMULATOR.h5", default=[]
    )
    acting: Path | None = input_file("For saliency: the agent's file", default=None)
    svg: Path = output_file("The figure, SVG")
    pdf: Path = output_file("The figure, PDF")

    def modules(self) -> list[str]:
        """The stage, and the networks of its simulators."""
        return [*super().modules(), *simulator_modules(self.block())]

    def run(self) -> None:
        """Draw the figure that was asked for."""
        with mpl.rc_context(SETTINGS):
            kind, _, _ = self.figure.partition("-")
            drawings = {
                "error": self.error,
                "schemes": self.error,
                "stages": self.error,
                "frames": self.error_and_frames,
                "speed": self.error_and_speed,
                "training": self.training,
                "actions": self.actions,
                "agent": self.agent,
                "saliency": self.saliency,
            }
            drawn = drawings.get(kind, self.strip)()
            save_figure(drawn, self.svg, self.pdf)
            plt.close(drawn)

    def error(self) -> plt.Figure:
        """Error against horizon, a panel a game."""
        by_game, entries = grouped(self.errors), self.block().experiment.simulators
        drawn, axes = panels(list(by_game))
        for game, simulators in by_game.items():
            read = {name: [read_errors(path)[0] for path in paths] for name, paths in simulators.items()}
            curves = {name: [one.errors for one in seeds] for name, seeds in read.items()}
            kinds = {name: kind_of_frame(seeds[0].frame_shape, entries[name]) for name, seeds in read.items()}
            drawn_already = {kind for name, kind in kinds.items() if entries[name].copies}
            several = len({*kinds.values()}) > 1
            copied = {
                f"last frame copied ({kind})" if several else "last frame copied": read[name][0].copy_last
                for name, kind in kinds.items()
                if kind not in drawn_already
            }
            plot_error(axes[game], curves, copied)
        finish(drawn, axes)
        return drawn

    def error_and_frames(self) -> plt.Figure:
        """Error at some horizons against frames seen in training, a panel a game."""
        errors, weights, options = grouped(self.errors), grouped(self.weights), self.block().experiment
        horizons = [horizon for horizon in SHORT_AND_LONG if horizon <= options.evaluation.horizon]
        drawn, axes = panels(list(errors))
        for game in errors:
            points = {
                name: (
                    frames_in(options, name, weights[game][name]),
                    [read_errors(path)[0].errors for path in errors[game][name]],
                )
                for name in errors[game]
            }
            plot_frames(
                axes[game], {names[-1]: [points[name] for name in names] for names in options.budgets}, horizons
            )
        finish(drawn, axes)
        return drawn

    def error_and_speed(self) -> plt.Figure:
        """Error at the horizon nearest to 50 steps against speed, a panel a game."""
        assert self.speed is not None, "the rule gives it"
        by_game = grouped(self.errors)
        every_speed = read_speeds(self.speed)
        batch = max(batch for own in every_speed.values() for batch, _ in own)
        speeds = {name: {drawn: own[batch, drawn] for drawn in (True, False)} for name, own in every_speed.items()}
        horizon = min(SHOWN_HORIZON, self.block().experiment.evaluation.horizon)
        drawn, axes = panels(list(by_game))
        for game, simulators in by_game.items():
            read = {name: [read_errors(path)[0].errors for path in paths] for name, paths in simulators.items()}
            errors = {
                name: float(np.mean([seed[:, horizon - 1].mean() for seed in seeds])) for name, seeds in read.items()
            }
            plot_speed(axes[game], errors, speeds, horizon, batch)
        finish(drawn, axes)
        return drawn

    def agent(self) -> plt.Figure:
        """Score of an agent against how seldom it sees a real frame, a panel a game."""
        by_game: dict[str, dict[str, list[Path]]] = {}
        for path in self.played:  # GAME/seed-SEED/agent/SIMULATOR.csv
            by_game.setdefault(path.parents[2].name, {}).setdefault(path.stem, []).append(path)
        drawn, axes = panels(list(by_game))
        for game, simulators in by_game.items():
            read = {name: [read_returns(path) for path in paths] for name, paths in simulators.items()}
            returns = {
                name: {period: [seed["agent"][period] for seed in seeds] for period in seeds[0]["agent"]}
                for name, seeds in read.items()
            }
            plot_agent(axes[game], returns, next(iter(read.values()))[0]["random"][1])
        finish(drawn, axes)
        return drawn

    def actions(self) -> plt.Figure:
        """How alike two actions are to each network, a panel a network."""
        networks = {path.parent.name: load_network(path) for path in self.weights}
        drawn, axes = panels(list(networks))
        for name, network in networks.items():
            plot_similarity(axes[name], factor_similarity(network).numpy(), ACTION_NAMES)
        return drawn

    def saliency(self) -> plt.Figure:
        """What an agent looks at in real and in predicted frames, four rows a simulator; white after its game's end."""
        assert self.acting is not None, "the rule gives it"
        agent, read = load_agent(self.acting), {path.stem: read_moments(path) for path in self.moments}
        steps = sorted({moment.ahead for moments in read.values() for moment in moments})
        rows: dict[str, np.ndarray] = {}
        for name, moments in read.items():
            places = [steps.index(moment.ahead) for moment in moments]
            for kind, frames in saliency_rows(agent, moments).items():
                shown = pictures(frames)
                row = rows[f"{name}\n{kind}"] = np.full((len(steps), *shown.shape[1:]), 255, np.uint8)
                row[places] = shown
        return frame_strip(rows, [f"{step} ahead" if step else "last seen" for step in steps])

    def training(self) -> plt.Figure:
        """Training losses, a panel a game; of a curriculum its stages one after the other."""
        by_game, options = grouped(self.metrics), self.block().experiment
        drawn, axes = panels(list(by_game))
        for game, simulators in by_game.items():
            shown = [name for name in simulators if name in options.pictured and options.simulators[name].learns]
            chains = {name: options.chain(name) for name in shown}
            seeds = {name: zip(*(simulators[one] for one in chain), strict=True) for name, chain in chains.items()}
            plot_losses(
                axes[game], {name: [chained_losses(paths) for paths in of_seed] for name, of_seed in seeds.items()}
            )
        finish(drawn, axes)
        return drawn

    def strip(self) -> plt.Figure:
        """Predicted frames beneath the real ones."""
        options = self.block().experiment.evaluation
        ahead = [horizon for horizon in HORIZONS if horizon <= options.horizon]
        rows: dict[str, np.ndarray] = {}
        for path in self.weights:
            simulator = load_simulator(path, torch.device("cpu"))
            windows = shown_sequence(self.shards, simulator, options.warm_up, options.horizon)
            real = windows.frames[0, options.warm_up :].numpy()
            dream = imagined_frames(simulator, windows, options.warm_up, options.horizon)[0].numpy()
            rows.setdefault("real", pictures(real[[0, *ahead]]))
            rows[path.parent.name] = pictures(np.concatenate([real[:1], dream[[step - 1 for step in ahead]]]))
        return frame_strip(rows, ["last seen", *(f"{step} ahead" for step in ahead)])


def frames_in(options: SimulatorExperiment, name: str, weights: list[Path]) -> float:
    """Frames seen in all trainings of a simulator, mean over training seeds; earlier stages made all their updates."""
    earlier = [options.simulators[stage] for stage in options.chain(name)[:-1]]
    before, entry = frames_seen(earlier, [one.updates for one in earlier]), options.simulators[name]
    made = [updates_made(path) for path in weights]
    return before + float(np.mean([frames_seen([entry], [entry.updates if one is None else one]) for one in made]))


def grouped(paths: list[Path]) -> dict[str, dict[str, list[Path]]]:
    """Files by game and simulator, in their order."""
    found: dict[str, dict[str, list[Path]]] = {}
    for path in paths:
        found.setdefault(path.parents[3].name, {}).setdefault(path.parent.name, []).append(path)
    return found


def read_losses(path: Path) -> np.ndarray:
    """Updates and losses of a frame, (2, n), of a training history; no number where it learns from something else."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(row["step"]), float(row.get("frames", "nan"))] for row in rows]).T


def chained_losses(paths: Iterable[Path]) -> np.ndarray:
    """Updates and losses (2, n) of trainings that go on from one another, with a gap between them."""
    parts, done = [], 0.0
    for path in paths:
        steps, losses = read_losses(path)
        parts += [np.stack([done + steps, losses]), np.full((2, 1), np.nan)]
        done += steps[-1]
    return np.concatenate(parts[:-1], axis=1)


def pictures(frames: np.ndarray) -> np.ndarray:
    """Frames (n, H, W, C) at the strip's size, in colour."""
    return np.stack([np.asarray(enlarged(frame, STRIP_HEIGHT)) for frame in frames])


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(PlotSimulators, arguments)
