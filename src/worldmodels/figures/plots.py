"""The figures of an experiment, from plain data: no file layout is known here."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from worldmodels.figures.published import PublishedCurve, PublishedRow
from worldmodels.figures.statistics import Summary
from worldmodels.figures.style import BLACK, BLUE, CYCLE, GREEN, GREY, ORANGE, RED
from worldmodels.figures.wording import Wording

History = Mapping[str, np.ndarray]
"""Columns of a history: arrays of one length; nan where a generation was not scored."""


class TemperaturePoint(NamedTuple):
    """Scores of the controllers that were evolved at one temperature."""

    temperature: float
    virtual: Summary | None
    actual: Summary | None
    paper: PublishedRow | None


def plot_evolution(
    axes: Axes,
    histories: Sequence[History],
    label: str,
    score: str,
    curves: Sequence[PublishedCurve] = (),
    scored_mean: str = "mean of the distribution",
) -> None:
    """Best, mean and worst of every generation, and the score of the distribution's mean; a thin line per seed.

    score: what is scored, and where. curves: what was published of the last. scored_mean: what the last is.
    """
    names = (("best", GREEN), ("mean", BLUE), ("worst", GREY))
    for history in histories:
        for name, colour in names:
            axes.plot(history["generation"], history[name], color=colour, alpha=0.85 if len(histories) == 1 else 0.5)
        scored = ~np.isnan(history["evaluation"])
        axes.plot(history["generation"][scored], history["evaluation"][scored], "o-", color=RED, markersize=3.5)
    for name, colour in (*names, (scored_mean, RED)):
        axes.plot([], [], color=colour, label=name)
    for curve, marker in zip(curves, ("o", "^", "s"), strict=False):
        axes.plot(list(curve.points), list(curve.points.values()), f"{marker}:", color=RED, markersize=3.5,
                  markerfacecolor="white", linewidth=1, label=f"that, {curve.label}")  # fmt: skip
    axes.set(xlabel="generation", ylabel=score, title=label)
    axes.legend(ncols=2, loc="upper left")


def mark_generations(axes: Axes, logarithmic: bool) -> None:
    """Whole generations on the axis; it is logarithmic where published curves go far beyond ours."""
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def score_range(histories: Sequence[History], curves: Sequence[PublishedCurve] = ()) -> tuple[float, float]:
    """Limits of an axis for all of these: from 0 or the worst, with room for a legend above the best."""
    published = [max(curve.points.values()) for curve in curves]
    means = [float(np.nanmax(history["evaluation"])) for history in histories]
    highest = max(*(float(np.nanmax(history["best"])) for history in histories), *means, *published, 0.0)
    lowest = min(0.0, *(float(np.nanmin(history["worst"])) for history in histories))
    return lowest, highest + 0.4 * (highest - lowest)


def plot_scores(axes: Axes, scores: Mapping[str, Sequence[float]], wording: Wording) -> None:
    """Histogram of scores in the real environment, one outline per variant, and the mean that solves the task."""
    lowest, highest = wording.scores
    solved = wording.solved
    for (label, values), colour in zip(scores.items(), (*CYCLE, BLACK), strict=False):
        _outline(axes, values, wording, None if is_random(label) else colour, _with_mean(label, values))
    axes.axvline(solved, color=BLACK, linewidth=0.8, linestyle=":")
    axes.text(
        solved + 0.007 * (highest - lowest),
        axes.get_ylim()[1] * 0.97,
        f"solved: mean {solved:.0f}",
        fontsize=7,
        va="top",
    )
    axes.set(xlabel=f"{wording.score}, {wording.real}", ylabel="episodes (%)", xlim=wording.scores)
    # The legend stands where few episodes are: beyond most scores in Doom, between chance and drivers in CarRacing.
    if solved < (lowest + highest) / 2:
        axes.legend(loc="upper right", bbox_to_anchor=(1, 0.9))
    else:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.9))


def plot_score_panel(
    axes: Axes, label: str, values: Sequence[float], random: Mapping[str, Sequence[float]], wording: Wording
) -> None:
    """The same of one variant among many, with the random policy behind it; the title says its mean."""
    for name, others in random.items():
        _outline(axes, others, wording, None, name)
    _outline(axes, values, wording, BLUE, None)
    axes.axvline(wording.solved, color=BLACK, linewidth=0.8, linestyle=":")
    axes.set(xlabel=f"{wording.score}, {wording.real}", ylabel="episodes (%)", xlim=wording.scores)
    axes.set_title(_with_mean(label, values, "\n"), fontsize=8)  # neighbours would run into each other


def is_random(label: str) -> bool:
    """Whether a row of the table is a random policy's."""
    return label.startswith("random")


def _with_mean(label: str, values: Sequence[float], space: str = " ") -> str:
    return f"{label}:{space}mean {np.mean(values):.0f} (n = {len(values)})"


def _outline(axes: Axes, values: Sequence[float], wording: Wording, colour: str | None, label: str | None) -> None:
    """Histogram, in per cent of the episodes: an outline, or, without a colour, a grey area."""
    bins = np.linspace(*wording.scores, 43)
    weights = np.full(len(values), 100 / len(values))
    style: dict[str, Any] = {"histtype": "step", "color": colour, "linewidth": 1.3}
    if colour is None:
        style = {"histtype": "stepfilled", "color": GREY, "alpha": 0.45}
    axes.hist(np.asarray(values), bins.tolist(), weights=weights, label=label, **style)


def plot_temperature(axes: Axes, points: Sequence[TemperaturePoint], wording: Wording) -> None:
    """Score in the dream and in the real game against the temperature of the dream, with the paper's points.

    Where the dream says much more than the real game, the controller cheats its world model.
    """
    points = sorted(points, key=lambda point: point.temperature)
    ours = [point for point in points if point.actual is not None and point.virtual is not None]
    taus = [point.temperature for point in ours]
    dream = [point.virtual.mean for point in ours if point.virtual]
    real = [point.actual for point in ours if point.actual]
    axes.plot(taus, dream, "s-", color=ORANGE, label="dream, ours")
    errors = [[one.mean - one.low for one in real], [one.high - one.mean for one in real]]
    axes.errorbar(
        taus, [one.mean for one in real], errors, fmt="o-", color=BLUE, capsize=2.5, label="real game, ours (95 %)"
    )
    paper = [
        (point.temperature, point.paper)
        for point in points
        if point.paper and point.paper.virtual and point.paper.actual
    ]
    if paper:
        axes.plot([tau for tau, _ in paper], [row.virtual[0] for _, row in paper if row.virtual], "s:", color=ORANGE,
                  markerfacecolor="white", linewidth=1, label="dream, paper")  # fmt: skip
        axes.plot([tau for tau, _ in paper], [row.actual[0] for _, row in paper if row.actual], "o:", color=BLUE,
                  markerfacecolor="white", linewidth=1, label="real game, paper")  # fmt: skip
    axes.axhline(wording.solved, color=BLACK, linewidth=0.8, linestyle=":")
    axes.text(1.01, wording.solved, "solved", fontsize=7, va="center", transform=axes.get_yaxis_transform())
    axes.set(xlabel="temperature of the dream (τ)", ylabel=wording.score, ylim=(0, 2200))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)


def plot_training(axes_pair: Sequence[Axes], vae: Sequence[History], mdn_rnn: Sequence[History]) -> None:
    """Losses of V and of M against updates, a line per training seed."""
    left, right = axes_pair
    for history in vae:
        left.plot(history["step"], history["reconstruction"], color=BLUE)
        left.plot(history["step"], history["kl"], color=ORANGE)
    left.set(xlabel="update of V", ylabel="loss of one frame", yscale="log")
    _name_curves(left, [("reconstruction (squared error)", BLUE), ("KL (nats)", ORANGE)])
    for history in mdn_rnn:
        right.plot(history["step"], history["nll"], color=BLUE)
        if "done" in history:
            right.plot(history["step"], history["done"], color=RED)
        if "reward" in history:
            right.plot(history["step"], history["reward"], color=GREEN)
    right.set(xlabel="update of M", ylabel="loss of one step")
    right.set_ylim(bottom=0)
    heads = {"done": ("end of the episode (weighted)", RED), "reward": ("reward (weighted squared error)", GREEN)}
    shown = [curve for name, curve in heads.items() if name in mdn_rnn[0]]
    _name_curves(right, [("next latent (nats a dimension)", BLUE), *shown])


def _name_curves(axes: Axes, curves: Sequence[tuple[str, str]]) -> None:
    """Write the names of the curves in their colours in the upper right corner, which falling losses leave free."""
    for row, (text, colour) in enumerate(curves):
        axes.text(0.98, 0.97 - 0.085 * row, text, color=colour, fontsize=8, ha="right", va="top",
                  transform=axes.transAxes)  # fmt: skip


def picture_grid(rows: Sequence[np.ndarray], labels: Sequence[str], titles: Sequence[Sequence[str]]) -> plt.Figure:
    """Rows of pictures: each (n, H, W, 3) uint8, with a label at its left, and a title above each where there is one."""
    count = max(len(row) for row in rows)
    title_inches = 0.28 * sum(bool(row) for row in titles)
    size = (0.85 * count + 0.5, 0.95 * len(rows) + 0.1 + title_inches)
    drawn, axes = plt.subplots(len(rows), count, figsize=size, squeeze=False)
    for row, (pictures, label) in enumerate(zip(rows, labels, strict=True)):
        for column in range(count):
            cell = axes[row, column]
            cell.set(xticks=[], yticks=[])
            cell.grid(False)
            for spine in cell.spines.values():
                spine.set_visible(False)
            if column < len(pictures):
                cell.imshow(pictures[column], interpolation="nearest")
                if titles:
                    cell.set_title(titles[row][column], fontsize=7, pad=2)
        axes[row, 0].set_ylabel(label, fontsize=7.5)
    return drawn
