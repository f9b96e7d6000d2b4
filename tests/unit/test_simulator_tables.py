"""Tables and figures of simulators: that numbers are those of the raw errors."""

import csv
import io

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from worldmodels.config import simulator_products
from worldmodels.config.load import load_config
from worldmodels.config.simulator_experiments import SimulatorEntry
from worldmodels.config.simulator_products import figure_inputs, figure_names
from worldmodels.config.simulators import RESOptions
from worldmodels.config.video import convolution
from worldmodels.errors import UserError
from worldmodels.figures.claims_page import REPOSITORY
from worldmodels.figures.simulator_plots import means_of_bins, panels, plot_frames
from worldmodels.figures.simulator_tables import (
    Scored,
    build_simulator_rows,
    frames_seen,
    read_speeds,
    simulator_csv,
    simulator_latex,
    simulator_markdown,
)
from worldmodels.models.res.network import RES
from worldmodels.models.video.operations import multiply_adds
from worldmodels.simulators.costs import costs_of, seconds_in_turns
from worldmodels.simulators.error_file import Costs, read_errors, write_errors
from worldmodels.simulators.prediction_error import HorizonErrors
from worldmodels.simulators.video import VideoSimulator

CONFIG = load_config(REPOSITORY / "config.yaml")
SMALL = RESOptions(
    height=20, width=20, channels=1, actions=3, convolutions=[convolution(4, 4)], hidden_size=8, fusion_size=8
)


def errors_of(level, sequences=40, horizon=100, seed=0):
    """Errors around `level` at every horizon, copies around 0.01."""
    noise = np.random.default_rng(seed).normal(1, 0.01, (2, sequences, horizon))
    return HorizonErrors(level * noise[0], 0.01 * noise[1], None, None, (20, 20, 1))


def test_raw_errors_come_back_from_disk_byte_for_byte(tmp_path):
    errors = errors_of(0.005)._replace(reward_hits=np.ones((40, 100), bool))
    write_errors(tmp_path / "one.h5", errors, Costs(5, 7, 6))
    write_errors(tmp_path / "two.h5", errors, Costs(5, 7, 6))
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    again, costs = read_errors(tmp_path / "one.h5")
    assert costs == Costs(5, 7, 6) and again.frame_shape == (20, 20, 1) and again.done_hits is None
    np.testing.assert_array_equal(again.errors, errors.errors)
    np.testing.assert_array_equal(again.reward_hits, errors.reward_hits)
    (tmp_path / "one.h5").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"one.h5 is not a file of prediction errors"):
        read_errors(tmp_path / "one.h5")


def test_table_gives_means_of_the_raw_errors():
    options = CONFIG.simulator_experiments["atari-res-laptop"]
    scored = [
        Scored(name, "pong", seed, errors_of(level, seed=seed), Costs(1000, 2_000_000, undrawn))
        for name, level, undrawn in (("pdt-0", 0.004, 2_000_000), ("independent", 0.02, 500))
        for seed in (1, 2)
    ]
    rows = build_simulator_rows(options, scored)
    cells = {row["simulator"]: row for row in csv.DictReader(io.StringIO(simulator_csv(rows, "laptop")))}
    expected = np.mean([one.errors.errors[:, 49].mean() for one in scored[:2]])
    assert float(cells["pdt-0"]["error_50"]) == pytest.approx(expected, rel=1e-5)
    assert float(cells["pdt-0"]["error_low_50"]) < expected < float(cells["pdt-0"]["error_high_50"])
    assert cells["pdt-0"]["verdict"] == "smaller scale" and cells["pdt-0"]["training_seeds"] == "2"
    text = simulator_markdown(rows, options)
    assert "| copy the last frame |" in text and "training seeds and sequences" in text
    assert "| 500 |" in text and "| draws |" in text, "only one of the two imagines without drawing"
    assert r"\bottomrule" in simulator_latex(rows, options)


def test_table_has_speeds_where_simulators_were_timed(tmp_path):
    options = CONFIG.simulator_experiments["atari-res-laptop"]
    rows = build_simulator_rows(options, [Scored("pdt-0", "pong", 1, errors_of(0.1), Costs(1, 1, 1))])
    (tmp_path / "speed.csv").write_text(
        "simulator,batch,drawn,steps_per_second,device,threads\n"
        "pdt-0,1,True,90.0,cpu,2\npdt-0,1,False,95.5,cpu,2\npdt-0,64,True,1500.25,cpu,2\npdt-0,64,False,26523.0,cpu,2\n"
    )
    speeds = read_speeds(tmp_path / "speed.csv")
    (cells,) = csv.DictReader(io.StringIO(simulator_csv(rows, "laptop", speeds)))
    names = ("steps_per_second_1_drawn", "steps_per_second_1", "steps_per_second_64_drawn", "steps_per_second_64")
    assert [float(cells[name]) for name in names] == pytest.approx([90, 95.5, 1500.25, 26523], abs=0.06)
    assert "| pdt-0 | 90 | 96 | 1,500 | 26,523 |" in simulator_markdown(rows, options, speeds)
    (cells,) = csv.DictReader(io.StringIO(simulator_csv(rows, "laptop")))
    assert not any(name in cells for name in names)


def test_joint_tables_have_speeds():
    for name in ("simulators", "simulators-laptop"):
        assert simulator_products.table_inputs(CONFIG, name)["speed"] == [f"results/{name}/speed.csv"]
        assert CONFIG.simulator_experiments[name].evaluation.speed_batches == [1, 64]


def test_table_says_which_rows_learned_from_other_frames():
    name = "atari-acvp-laptop-data"
    options = CONFIG.simulator_experiments[name]
    scored = [Scored(row, "ms-pacman", 1, errors_of(0.1), Costs(1, 1, 1)) for row in options.scored]
    text = simulator_markdown(build_simulator_rows(options, scored), options)
    assert "Data: `atari-a2c-laptop`, on which all are scored. `acvp-feed-forward-random`, `acvp" in text
    assert "`acvp-paper-random` learned from `atari-laptop`." in text


def test_short_horizons_leave_cells_empty():
    options = CONFIG.simulator_experiments["atari-res-smoke"]
    scored = [Scored("two-class", "pong", 1, errors_of(0.1, horizon=50), Costs(1, 1, 1))]
    (cells,) = csv.DictReader(io.StringIO(simulator_csv(build_simulator_rows(options, scored), "smoke")))
    assert cells["error_50"] and not cells["error_100"]
    assert "mean nothing" in simulator_markdown(build_simulator_rows(options, scored), options)


def test_frames_seen_are_the_papers():
    """One update sees 16 x (10 + 15) frames, and half a million of them 200 million."""
    assert frames_seen([SimulatorEntry()], [500_000]) == 200_000_000
    assert frames_seen([SimulatorEntry(subsequences=2, scheme="100%PDT")], [2]) == 16 * (10 + 30)


def test_budget_is_what_was_made_and_not_what_was_allowed():
    """A plateau ends a stage of a curriculum early; two training seeds need not end together."""
    options = CONFIG.simulator_experiments["atari-acvp-smoke"]
    stages = options.chain("acvp-recurrent")
    assert [options.simulators[name].updates for name in stages] == [2] * 4
    scored = [Scored("acvp-recurrent", "ms-pacman", seed, errors_of(0.1), Costs(1, 1, 1)) for seed in (1, 2)]
    made = {("ms-pacman", seed, stages[0]): 1 for seed in (1, 2)} | {("ms-pacman", 2, stages[1]): 0}
    rows = build_simulator_rows(options, scored, made)
    assert rows[0].updates == [1, 1, 2, 2]
    (cells,) = csv.DictReader(io.StringIO(simulator_csv(rows, "smoke")))
    entries = [options.simulators[name] for name in stages]
    assert cells["training_updates"] == "6" and int(cells["frames_seen"]) == frames_seen(entries, [1, 1, 2, 2])
    assert "came to a plateau of its loss: 6 of at most 8 updates" in simulator_markdown(rows, options)
    (whole,) = csv.DictReader(io.StringIO(simulator_csv(build_simulator_rows(options, scored), "smoke")))
    assert whole["training_updates"] == "8"


def test_accuracies_stand_beside_those_of_always_saying_none():
    """One reward in four steps, never foretold: as good as knowing nothing."""
    options = CONFIG.simulator_experiments["atari-res-smoke"]
    rare = np.arange(40 * 50).reshape(40, 50) % 4 > 0
    known = {"reward_hits": rare, "no_reward": rare, "done_hits": rare | True, "no_end": rare | True}
    scored = [Scored("pdt-0-100", "pong", 1, errors_of(0.1, horizon=50)._replace(**known), Costs(1, 1, 1))]
    rows = build_simulator_rows(options, scored)
    (cells,) = csv.DictReader(io.StringIO(simulator_csv(rows, "smoke")))
    assert (cells["reward_accuracy"], cells["no_reward"], cells["no_end"]) == ("0.7500", "0.7500", "1.0000")
    text = simulator_markdown(rows, options)
    assert "reward 75.00% (always saying none: 75.00%), end 100.00% (always saying none: 100.00%)" in text


def test_reward_heads_are_judged_by_how_they_rank_steps():
    """Never above one half, and so never right; yet half of the rewards have a higher probability than every other step.

    In the first ten steps here all rewards have.
    """
    options = CONFIG.simulator_experiments["atari-res-smoke"]
    rewarded = np.arange(40 * 50).reshape(40, 50) % 4 == 0
    ranked = np.where(np.arange(40 * 50).reshape(40, 50) % 8 == 0, 0.4, 0.1).astype(np.float32)
    ranked[:, :10][rewarded[:, :10]] = 0.4
    known = {"reward_hits": ~rewarded, "no_reward": ~rewarded, "reward_scores": ranked, "rewarded": rewarded}
    scored = [Scored("pdt-0-100", "pong", 1, errors_of(0.1, horizon=50)._replace(**known), Costs(1, 1, 1))]
    rows = build_simulator_rows(options, scored)
    (cells,) = csv.DictReader(io.StringIO(simulator_csv(rows, "smoke")))
    sure = (ranked[rewarded] == 0.4).mean()  # of a pair these win; the other half is drawn
    assert float(cells["reward_roc_area"]) == pytest.approx(sure + (1 - sure) / 2, abs=1e-4)
    assert cells["reward_roc_area_10"] == "1.0000"
    area = f"area under the ROC curve {float(cells['reward_roc_area']):.2f}, 1.00 in the first 10 steps (chance: 0.5)"
    assert area in simulator_markdown(rows, options)


def test_figures_compare_rows_that_differ_in_one_thing():
    """The paper's eight schemes and Oh's phases; lengths of training where an experiment asks for them."""
    paper = CONFIG.simulator_experiments["atari-res"]
    assert paper.schemes == [
        *(
            "pdt-0",
            "pdt-33",
            "pdt-0-20-33",
            "pdt-46-alternating",
            "pdt-46",
            "pdt-67",
            "pdt-0-100",
            "pdt-100",
            "oh-phases",
        )
    ]
    assert paper.budgets == [] and CONFIG.simulator_experiments["atari-res-pong2"].schemes == []
    frames = CONFIG.simulator_experiments["atari-res-laptop-frames"]
    assert frames.budgets == [["pdt-0-100-quarter", "pdt-0-100-half", "pdt-0-100"]] and frames.schemes == []
    smoke = CONFIG.simulator_experiments["atari-res-smoke"]
    assert smoke.schemes == ["pdt-0", "pdt-0-100"], "of two lengths of training the longer"
    assert {"schemes", "frames"} <= {*figure_names(CONFIG, "atari-res-smoke")}
    inputs = figure_inputs(CONFIG, "atari-res-smoke", "frames")
    folder = "results/atari-res-smoke/pong/seed-1/simulators"
    assert inputs["errors"] == [f"{folder}/{name}/horizon.h5" for name in ("pdt-0-100-half", "pdt-0-100")]
    assert [path.rsplit("/", 1)[0] for path in inputs["weights"]] == [
        path.rsplit("/", 1)[0] for path in inputs["errors"]
    ]


def test_stages_of_a_curriculum_have_a_figure_of_their_own():
    """They are rows of the table, and would only crowd the other figures."""
    name, rows = "atari-acvp-smoke", ("acvp-recurrent.1-step", "acvp-recurrent.3-step", "acvp-recurrent.5-step")
    options = CONFIG.simulator_experiments[name]
    assert options.stages == [*rows, "acvp-recurrent"]
    assert options.pictured == [row for row in options.scored if row not in rows]
    shown = {
        figure: [path.split("/")[-2] for path in next(iter(figure_inputs(CONFIG, name, figure).values()))]
        for figure in ("stages", "error", "strip-ms-pacman", "actions-ms-pacman")
    }
    assert shown["stages"] == options.stages
    assert shown["error"] == shown["strip-ms-pacman"] == options.pictured
    assert shown["actions-ms-pacman"] == ["acvp-recurrent", "acvp-feed-forward", "acvp-paper", "acvp-compression"]
    assert CONFIG.simulator_experiments["simulators-laptop"].stages == []
    assert "stages" not in figure_names(CONFIG, "simulators-laptop")


def test_error_against_frames_is_drawn_of_the_trainings_own_numbers():
    points = [
        (100.0, [errors_of(0.004), errors_of(0.006, seed=1)]),
        (1000.0, [errors_of(0.001), errors_of(0.002, seed=1)]),
    ]
    drawn, axes = panels(["pong"])
    plot_frames(
        axes["pong"], {"pdt-0-100": [(seen, [seed.errors for seed in seeds]) for seen, seeds in points]}, (5, 100)
    )
    lines = axes["pong"].get_lines()
    assert [line.get_label() for line in lines] == ["pdt-0-100, 5 ahead", "pdt-0-100, 100 ahead"]
    for line in lines:
        assert list(line.get_xdata()) == [100, 1000]
        np.testing.assert_allclose(line.get_ydata(), [5, 1.5], rtol=0.02)
    plt.close(drawn)


@pytest.mark.parametrize("feedback", ["frame", "hidden"])
def test_counted_operations_are_those_of_the_layers(feedback):
    options = SMALL.model_copy(update={"feedback": feedback, "separate_weights": feedback == "hidden"})
    torch.manual_seed(1)
    costs = costs_of(VideoSimulator(RES(options)))
    counted = multiply_adds(options)
    drawn = counted.imagine + (0 if feedback == "frame" else counted.draw)
    # The last layer is run as a denser convolution, which takes in a border that the layer itself does not have.
    assert 2 * drawn <= costs.operations_drawn < 2.4 * drawn
    assert costs.operations == (costs.operations_drawn if feedback == "frame" else 2 * counted.imagine)
    assert costs.parameters == sum(value.numel() for value in RES(options).parameters())


def test_works_are_timed_in_turns():
    calls = []
    spent = seconds_in_turns([lambda: calls.append("a"), lambda: calls.append("b")], 0.01)
    assert len(spent) == 2 and "".join(calls[:6]) == "ababab"


def test_curves_are_thinned_and_keep_the_gaps_between_trainings():
    nan = np.nan
    curve = np.array([[1.0, 2, 3, 4, nan, 5, 6, 7, 8], [1.0, 1, 3, 3, nan, 10, 10, 20, 20]])
    thinned = [[1, 2.5, 4, nan, 5, 6.5, 8], [1, 2, 3, nan, 10, 15, 20]]
    np.testing.assert_array_equal(means_of_bins(curve, 2), thinned)
    learns_nothing_of_frames = np.array([[1.0, 2], [nan, nan]])
    assert np.isnan(means_of_bins(learns_nothing_of_frames, 1)).all()
