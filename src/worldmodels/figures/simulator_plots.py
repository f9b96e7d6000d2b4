"""The figures of an experiment with simulators, from plain data: no file layout is known here."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worldmodels.figures.simulator_tables import THOUSANDTHS
from worldmodels.figures.statistics import summarise
from worldmodels.figures.style import BLACK, CYCLE

Curves = Mapping[str, Sequence[np.ndarray]]
"""By simulator: for each training seed, an array."""
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D")
PANELS_A_ROW = 3
DECADE = 10
"""Errors that span more than this factor are drawn on a logarithmic axis."""


def panels(names: Sequence[str]) -> tuple[Figure, Mapping[str, Axes]]:
    """One pair of axes for each name, as titles, three in a row."""
    columns = min(PANELS_A_ROW, len(names))
    rows = -(-len(names) // columns)
    drawn, grid = plt.subplots(rows, columns, figsize=(0.4 + 3.0 * columns, 0.3 + 2.5 * rows), squeeze=False)
    for cell in grid.flat[len(names) :]:
        cell.set_visible(False)
    axes = dict(zip(names, grid.flat, strict=False))
    for name, cell in axes.items():
        cell.set_title(name)
    return drawn, axes


def line_of(index: int) -> dict[str, Any]:
    """Colour and stroke of the n-th simulator: all different for 24 of them."""
    return {"color": CYCLE[index % len(CYCLE)], "linestyle": STYLES[index // len(CYCLE) % len(STYLES)]}


def plot_error(axes: Axes, errors: Curves, copy_last: Mapping[str, np.ndarray]) -> None:
    """Error against horizon: a line a simulator with its range over training seeds, and the last frame copied.

    errors: for each seed (N, K). copy_last: (N, K) for each kind of frame, by label.
    """
    for index, (name, seeds) in enumerate(errors.items()):
        curves = np.stack([seed.mean(axis=0) for seed in seeds]) * THOUSANDTHS  # (S, K)
        horizon = np.arange(1, curves.shape[1] + 1)
        axes.plot(horizon, curves.mean(axis=0), label=name, **line_of(index))
        low, high = band(seeds)
        axes.fill_between(
            horizon, low * THOUSANDTHS, high * THOUSANDTHS, color=line_of(index)["color"], alpha=0.15, linewidth=0
        )
    for number, (label, copied) in enumerate(copy_last.items()):
        curve = copied.mean(axis=0) * THOUSANDTHS
        dashes = (0, (1, 1 + 2 * number))
        axes.plot(np.arange(1, len(curve) + 1), curve, color=BLACK, linestyle=dashes, linewidth=1, label=label)
    _, highest = axes.get_ylim()
    if min(float(np.min(line.get_ydata())) for line in axes.get_lines()) * DECADE < highest:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set(xlabel="steps ahead", ylabel="squared error, thousandths")


def plot_frames(
    axes: Axes, series: Mapping[str, Sequence[tuple[float, Sequence[np.ndarray]]]], horizons: Sequence[int]
) -> None:
    """Error some steps ahead against frames seen in training: a colour a simulator, a stroke a horizon, with its band.

    series: by simulator, for each length of its training the frames seen and the errors (N, K) of each training seed.
    """
    for index, (name, points) in enumerate(series.items()):
        frames = [seen for seen, _ in points]
        means = np.stack([np.mean([seed.mean(axis=0) for seed in seeds], axis=0) for _, seeds in points])  # (P, K)
        low, high = (np.stack(ends) for ends in zip(*(band(seeds) for _, seeds in points), strict=True))
        for number, horizon in enumerate(horizons):
            look = {"color": line_of(index)["color"], "linestyle": STYLES[number % len(STYLES)], "marker": "o"}
            axes.plot(frames, means[:, horizon - 1] * THOUSANDTHS, label=f"{name}, {horizon} ahead", **look)
            below, above = (end[:, horizon - 1] * THOUSANDTHS for end in (low, high))
            axes.fill_between(frames, below, above, color=look["color"], alpha=0.15, linewidth=0)
    axes.set(xscale="log", xlabel="frames seen in training", ylabel="squared error, thousandths")
    axes.set_ylim(bottom=0)


def band(seeds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What lies around a curve: the range over training seeds, or with one seed 95 % of its mean over sequences, (K,) each."""
    if len(seeds) > 1:
        curves = np.stack([seed.mean(axis=0) for seed in seeds])
        return curves.min(axis=0), curves.max(axis=0)
    mean = seeds[0].mean(axis=0)
    half = 1.96 * seeds[0].std(axis=0, ddof=1) / np.sqrt(len(seeds[0]))
    return np.maximum(mean - half, mean / 10), mean + half


def plot_losses(axes: Axes, losses: Curves) -> None:
    """Loss of a frame against updates: for each simulator and training seed an array (2, n) of updates and losses.

    Shown are means over 50ths of the longest training, since those of single batches hide each other.
    """
    width = max(float(np.nanmax(steps)) for seeds in losses.values() for steps, _ in seeds) / 50
    for index, (name, seeds) in enumerate(losses.items()):
        for number, curve in enumerate(seeds):
            axes.plot(*means_of_bins(curve, width), label=name if number == 0 else None, **line_of(index))
    axes.set(xlabel=f"update, means of {max(1, round(width))}", ylabel="loss of a frame", yscale="log")


def means_of_bins(curve: np.ndarray, width: float) -> np.ndarray:
    """Mean update and loss (2, m) of each `width` updates of a curve (2, n); a gap (nan) in it stays one."""
    gap = np.full((2, 1), np.nan)
    found = []
    for part in np.split(curve, np.flatnonzero(np.isnan(curve[1])), axis=1):
        seen = part[:, ~np.isnan(part[1])]
        bins = seen[0] // width
        found += [gap, *(seen[:, bins == place].mean(axis=1, keepdims=True) for place in np.unique(bins))]
    return np.concatenate(found[1:], axis=1)


def plot_speed(
    axes: Axes, errors: Mapping[str, float], speeds: Mapping[str, Mapping[bool, float]], horizon: int, batch: int
) -> None:
    """Error of each simulator against its imagined steps a second: a full dot without drawing, a ring with every frame drawn.

    speeds: by simulator, then by whether frames are drawn.
    """
    for index, (name, error) in enumerate(errors.items()):
        colour, marker = line_of(index)["color"], MARKERS[index // len(CYCLE) % len(MARKERS)]
        fast, drawn = speeds[name][False], speeds[name][True]
        height = error * THOUSANDTHS
        axes.plot([drawn, fast], [height, height], color=colour, linewidth=1)
        axes.plot([drawn], [height], marker, color=colour, markerfacecolor="white")
        axes.plot([fast], [height], marker, color=colour, label=name)
    axes.set(xscale="log")
    axes.set_ylim(
        bottom=0
    )  # errors differ by less than a power of ten, so that a logarithmic axis would have one number
    axes.set(
        xlabel=f"imagined steps a second, {batch} games at once", ylabel=f"error {horizon} steps ahead, thousandths"
    )
    axes.tick_params(axis="x", which="minor", labelsize=5)


def plot_agent(
    axes: Axes, returns: Mapping[str, Mapping[int, Sequence[Sequence[float]]]], random: Sequence[float]
) -> None:
    """Score in the real game of an agent that sees one real frame in so many: a line a simulator with 95 % intervals.

    returns: by simulator and chain period, for each training seed its games'. random: returns of random play, the dotted line.
    """
    for index, (name, by_period) in enumerate(returns.items()):
        summaries = [summarise(seeds, same_episodes=True) for seeds in by_period.values()]
        means = np.array([one.mean for one in summaries])
        low, high = (np.array([getattr(one, end) for one in summaries]) for end in ("low", "high"))
        periods = list(by_period)
        axes.plot(periods, means, marker="o", label=name, **line_of(index))
        axes.fill_between(periods, low, high, color=line_of(index)["color"], alpha=0.15, linewidth=0)
    axes.axhline(float(np.mean(random)), color=BLACK, linestyle=":", linewidth=1, label="random actions")
    axes.set(xscale="log", xlabel="steps from one real frame to the next", ylabel="score in the real game")
    shown = sorted({period for by_period in returns.values() for period in by_period})
    axes.set_xticks(shown, [str(period) for period in shown])
    axes.set_xticks([], minor=True)


ACTION_NAMES = (
    *("noop", "fire", "up", "right", "left", "down", "up-right", "up-left", "down-right", "down-left"),
    *(f"{name}, fire" for name in ("up", "right", "left", "down", "up-right", "up-left", "down-right", "down-left")),
)
"""Atari's 18 actions, in the emulator's order."""


def plot_similarity(axes: Axes, cosines: np.ndarray, names: Sequence[str]) -> None:
    """Cosines (A, A) between the factors of each two actions; the names are used where there are as many."""
    count = len(cosines)
    labels = names if len(names) == count else [str(number) for number in range(count)]
    image = axes.imshow(cosines, vmin=-1, vmax=1, cmap="RdBu_r", interpolation="nearest")
    axes.set_xticks(range(count), labels, rotation=90, fontsize=5)
    axes.set_yticks(range(count), labels, fontsize=5)
    axes.grid(False)
    axes.figure.colorbar(image, ax=axes, shrink=0.7, label="cosine")


def finish(drawn: Figure, axes: Mapping[str, Axes]) -> None:
    """One legend for all panels, at their right."""
    handles, labels = next(iter(axes.values())).get_legend_handles_labels()
    drawn.set_figwidth(drawn.get_figwidth() + 0.5 + 0.065 * max(map(len, labels)))
    drawn.legend(handles, labels, loc="outside right upper")


def frame_strip(rows: Mapping[str, np.ndarray], titles: Sequence[str]) -> Figure:
    """Rows of pictures, each (n, H, W, 3) uint8, with its name, of one line or more, at its left, under one line of n titles."""
    height, width = next(iter(rows.values())).shape[1:3]
    cell = 1.1
    label = 0.075 * max(len(line) for name in rows for line in name.splitlines()) + 0.1
    size = (label + cell * width / height * len(titles), 0.25 + cell * len(rows))
    drawn, grid = plt.subplots(len(rows), len(titles), figsize=size, squeeze=False)
    for (name, pictures), cells in zip(rows.items(), grid, strict=True):
        for axes, picture in zip(cells, pictures, strict=True):
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
            axes.imshow(picture, interpolation="nearest")
        cells[0].set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center")
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=8, pad=3)
    return drawn
