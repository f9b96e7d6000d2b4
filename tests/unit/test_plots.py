"""Figures: what is drawn is what histories and papers say."""

import numpy as np
from matplotlib import pyplot as plt

from worldmodels.figures.plots import mark_generations, plot_evolution, plot_score_panel, score_range
from worldmodels.figures.published import CURVES, PUBLISHED
from worldmodels.figures.wording import WORDING

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


def test_a_mean_that_outlives_short_dreams_is_within_the_axes():
    """Its score is of whole dreams, where the population's are cut off."""
    lowest, highest = score_range([HISTORY | {"evaluation": np.array([np.nan, np.nan, 1700.0])}])
    assert lowest == -50 and highest > 1700


def test_published_training_curves_end_at_scores_of_published_rows():
    """Each is of a variant of its table, and the paper's ends within the spread of the score that the table gives it."""
    for table, curves in CURVES.items():
        for variant, (paper, *_) in curves.items():
            mean, sd = PUBLISHED[table][variant].actual
            assert abs(paper.points[max(paper.points)] - mean) < sd


def test_panel_of_one_variant_holds_all_its_episodes_and_the_random_policys():
    drawn, axes = plt.subplots()
    plot_score_panel(axes, "τ = 1.15", [100.0, 900.0, 2100.0], {"random policy": [90.0, 110.0]}, WORDING["take_cover"])
    assert axes.get_title() == "τ = 1.15:\nmean 1033 (n = 3)"
    random, ours = axes.patches
    assert random.get_label() == "random policy" and random.get_fill() and not ours.get_fill()
    for outline in (random, ours):  # each bin has two corners
        assert np.isclose(outline.get_xy()[:, 1].sum() / 2, 100)
    plt.close(drawn)
