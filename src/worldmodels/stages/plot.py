"""Draw one figure of an experiment as SVG and PDF."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt

from worldmodels.config.blocks import ReportBlock
from worldmodels.data.rollouts import RolloutFrames
from worldmodels.errors import UserError
from worldmodels.figures.episodes import read_episodes
from worldmodels.figures.plots import (
    TemperaturePoint,
    is_random,
    mark_generations,
    picture_grid,
    plot_evolution,
    plot_score_panel,
    plot_scores,
    plot_temperature,
    plot_training,
    score_range,
)
from worldmodels.figures.published import CURVES
from worldmodels.figures.style import SETTINGS, figure, save_figure
from worldmodels.figures.tables import build_rows
from worldmodels.figures.wording import WORDING, Wording
from worldmodels.models.files import load_controller, load_world_model_files
from worldmodels.models.vae import observations_from_frames
from worldmodels.runtime.files import read_json
from worldmodels.simulators.dreams import DreamOptions
from worldmodels.simulators.films import dream_frames
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage

PICTURES = 8
MOST_OUTLINES = 3
"""Histograms that one can tell apart in one picture, beside the random policy's; more get a panel each."""
PANELS = 3
Scores = dict[str, list[float]]
"""Scores in the real environment by label of the row."""


class Plot(Stage):
    """Options of plot."""

    Block: ClassVar = ReportBlock

    figure: str
    table: Path = input_file("The table, CSV")
    episodes: list[Path] = input_file("Episodes of every variant and seed")
    histories: list[Path] = input_file("Evolution histories of every evolved variant and seed")
    vae_metrics: list[Path] = input_file("Training histories of V, one a seed")
    mdn_rnn_metrics: list[Path] = input_file("Training histories of M, one a seed")
    shard: Path = input_file("A shard of rollouts, for reconstructions")
    vae: Path = input_file("The VAE's weights, of the seed that is shown")
    mdn_rnn: Path = input_file("M's weights")
    latents: Path = input_file("Latents, for the first frames that dreams start from")
    controller: Path = input_file("The controller that is shown")
    svg: Path = output_file("The figure, SVG")
    pdf: Path = output_file("The figure, PDF")

    def run(self) -> None:
        """Draw the figure that was asked for."""
        figures: dict[str, Callable[[], None]] = {
            "evolution": self.evolution,
            "scores": self.scores,
            "temperature": self.temperature,
            "training": self.training,
            "reconstructions": self.reconstructions,
            "dream": self.dream,
        }
        if self.figure not in figures:
            raise UserError(f"there is no figure '{self.figure}'; there are {', '.join(figures)}.")
        figures[self.figure]()

    def wording(self) -> Wording:
        """How the figures speak of the task."""
        return WORDING[self.block().task.name]

    def _scored(self, variant: str) -> str:
        wording = self.wording()
        options = self.block().experiment
        if options.variants[variant].environment == "dream":
            short = options.evolution.short_dreams
            return f"{wording.score}, dream" + (f" of {short.steps}" if short is not None else "")
        idle = options.evolution.hopeless_after
        stopped = f"\nstopped after {idle:,} steps without reward" if idle else ""
        short = options.evolution.short_episodes
        cut = (
            f"\nuntil generation {short.generations:,} cut off after {short.steps:,} steps" if short is not None else ""
        )
        return f"{wording.score}, {wording.real}{stopped}{cut}"

    def _scored_mean(self, variant: str) -> str:
        options = self.block().experiment
        if options.variants[variant].environment == "dream":
            short, whole = options.evolution.short_dreams is not None, "dreams"
        else:
            short, whole = options.evolution.short_episodes is not None, "episodes"
        return f"mean of the distribution,\nwhole {whole}" if short else "mean of the distribution"

    def evolution(self) -> None:
        """Best, mean and worst of each generation, and published training curves."""
        by_variant: dict[str, list[dict[str, np.ndarray]]] = {}
        for path in self.histories:
            by_variant.setdefault(path.parent.name, []).append(read_columns(path))
        published = CURVES.get(self.block().experiment.published or "", {})
        curves = {variant: published.get(variant, []) for variant in by_variant}
        every_curve = [curve for some in curves.values() for curve in some]
        with mpl.rc_context(SETTINGS):
            size = (1.4 + 3.4 * len(by_variant), 3.6 if every_curve else 3.2)
            drawn, axes = plt.subplots(*(1, len(by_variant)), figsize=size, sharex=True, sharey=True, squeeze=False)
            for cell, (variant, histories) in zip(axes[0], by_variant.items(), strict=True):
                name = variant.replace("tau-", "τ = ")
                plot_evolution(
                    cell, histories, name, self._scored(variant), curves[variant], self._scored_mean(variant)
                )
                cell.label_outer()
            mark_generations(axes[0, 0], bool(every_curve))
            every_history = [one for histories in by_variant.values() for one in histories]
            axes[0, 0].set_ylim(*score_range(every_history, every_curve))
            save_figure(drawn, self.svg, self.pdf)
            plt.close(drawn)

    def scores(self) -> None:
        """Histogram of real scores."""
        options = self.block().experiment
        rows = read_episodes(self.episodes)
        labels = {row.variant: row.label for row in build_rows(options, rows, {}) if row.actual}
        scores = {
            label: [row.total for row in rows if row.variant == variant and row.environment == "real"]
            for variant, label in labels.items()
        }
        random = {label: values for label, values in scores.items() if is_random(label)}
        others = {label: values for label, values in scores.items() if not is_random(label)}
        if len(others) <= MOST_OUTLINES:
            with figure(5.6, 3.2) as (drawn, axes):
                plot_scores(axes, scores, self.wording())
                save_figure(drawn, self.svg, self.pdf)
            return
        self._score_panels(others, random)

    def _score_panels(self, scores: Scores, random: Scores) -> None:
        """A histogram for each variant."""
        with mpl.rc_context(SETTINGS):
            height = math.ceil(len(scores) / PANELS)
            drawn, grid = plt.subplots(
                height, PANELS, figsize=(7.2, 0.4 + 1.9 * height), sharex=True, sharey=True, squeeze=False
            )
            for cell, (label, values) in zip(grid.flat, scores.items(), strict=False):
                plot_score_panel(cell, label, values, random, self.wording())
                cell.label_outer()
            for index in range(len(scores), grid.size):
                grid.flat[index].axis("off")
                grid.flat[index - PANELS].tick_params(labelbottom=True)  # nothing stands below it
            if random:
                grid.flat[0].legend(loc="upper right")
            save_figure(drawn, self.svg, self.pdf)
            plt.close(drawn)

    def temperature(self) -> None:
        """Score against temperature."""
        options = self.block().experiment
        points = [
            TemperaturePoint(options.variants[row.variant].temperature, row.virtual, row.actual, row.paper)
            for row in build_rows(options, read_episodes(self.episodes), {})
            if row.virtual is not None
        ]
        with figure(5.2, 3.6) as (drawn, axes):
            plot_temperature(axes, points, self.wording())
            save_figure(drawn, self.svg, self.pdf)

    def training(self) -> None:
        """Losses of V and M."""
        with mpl.rc_context(SETTINGS):
            drawn, axes = plt.subplots(1, 2, figsize=(7.2, 2.8))
            plot_training(
                axes, *([read_columns(path) for path in paths] for paths in (self.vae_metrics, self.mdn_rnn_metrics))
            )
            save_figure(drawn, self.svg, self.pdf)
            plt.close(drawn)

    @torch.inference_mode()
    def reconstructions(self) -> None:
        """Frames of the data set above what V makes of them."""
        world_model = load_world_model_files(self.vae, self.mdn_rnn, self.latents, torch.device("cpu"))
        frames = RolloutFrames([self.shard])
        rows = np.linspace(0, len(frames) - 1, PICTURES).astype(int)
        real = np.concatenate([frames.read(int(row), int(row) + 1) for row in rows])
        observations = observations_from_frames(torch.from_numpy(real).to(world_model.device))
        drawn_again = world_model.model.render_latents(world_model.vae.encode(observations)[0]).cpu().numpy()
        self._grid([real, drawn_again], ["real", "reconstructed"], [])

    def dream(self) -> None:
        """A filmstrip of one dream."""
        world_model = load_world_model_files(self.vae, self.mdn_rnn, self.latents, torch.device("cpu"))
        controller = load_controller(self.controller, self.mdn_rnn)
        evolution = self.block().experiment.evolution
        temperature = float(read_json(self.controller)["temperature"])
        dropout = self.block().experiment.variants[self.controller.parent.name].dropout
        options = DreamOptions(controller.options, temperature, 1, evolution.max_steps, dropout)
        weights = torch.as_tensor(controller.weights, dtype=torch.float32, device=world_model.device)
        film = dream_frames(world_model.model, weights, options, ("plot", "dream"))
        steps = np.linspace(0, len(film.actions) - 1, 2 * PICTURES).astype(int)
        titles = [f"t = {step}" for step in steps]
        if world_model.mdn_rnn.options.predict_done:
            titles = [
                f"{title}\np = {film.death_probabilities[step]:.2f}" for title, step in zip(titles, steps, strict=True)
            ]
        halves = (slice(None, PICTURES), slice(PICTURES, None))
        self._grid(
            [film.frames[steps[half]] for half in halves],
            [f"τ = {temperature:.2f}", ""],
            [titles[half] for half in halves],
        )

    def _grid(self, rows: list[np.ndarray], labels: list[str], titles: list[list[str]]) -> None:
        with mpl.rc_context(SETTINGS):
            drawn = picture_grid(rows, labels, titles)
            save_figure(drawn, self.svg, self.pdf)
            plt.close(drawn)


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Read a CSV of numbers as columns; empty cells become nan."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(Plot, arguments)
