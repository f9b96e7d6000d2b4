"""Figures: what is drawn is what histories and papers say."""

import numpy as np
from matplotlib import pyplot as plt

from worldmodels.figures.plots import mark_generations, plot_evolution, score_range
from worldmodels.figures.published import CURVES, PUBLISHED

HISTORY = {
    "generation": np.array([1.0, 2.0, 3.0]),
    "best": np.array([100.0, 300.0, 500.0]),
    "mean": np.array([10.0, 100.0, 200.0]),
    "worst": np.array([-50.0, 0.0, 10.0]),
    "evaluation": np.array([np.nan, np.nan, 400.0]),
}
CARS = CURVES["world-models-carracing"]["z-h"]


def test_published_training_curves_stand_beside_ours_and_within_the_axes():
    drawn, axes = plt.subplots()
    plot_evolution(axes, [HISTORY], "z-h", "score", CARS)
    mark_generations(axes, logarithmic=True)
    axes.set_ylim(*score_range([HISTORY], CARS))
    lines = {line.get_label(): line for line in axes.lines}
    for curve in CARS:
        points = lines[f"that, {curve.label}"].get_xydata()
        assert dict(points) == curve.points
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        assert all(left < x < right and low < y < high for x, y in points)
    plt.close(drawn)


def test_published_training_curves_end_at_scores_of_published_rows():
    """Each is of a variant of its table, and the paper's ends within the spread of the score that the table gives it."""
    for table, curves in CURVES.items():
        for variant, (paper, *_) in curves.items():
            mean, sd = PUBLISHED[table][variant].actual
            assert abs(paper.points[max(paper.points)] - mean) < sd
