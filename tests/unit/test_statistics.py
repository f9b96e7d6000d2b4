"""Intervals and tables: a wrong interval is a false claim."""

import csv
import io

import numpy as np
import pytest

from worldmodels.config.datasets import AgentPolicy, UniformPolicy
from worldmodels.config.experiments import ExperimentOptions, Variant
from worldmodels.config.training import EvolutionOptions, ShortEpisodeOptions
from worldmodels.errors import UserError
from worldmodels.figures.episodes import Episode, read_episodes, write_episodes
from worldmodels.figures.published import PublishedRow
from worldmodels.figures.statistics import Summary, roc_area, summarise
from worldmodels.figures.tables import COLUMNS, Budget, build_rows, csv_text, latex_text, markdown_text, verdict
from worldmodels.figures.wording import WORDING

DOOM = WORDING["take_cover"]


def test_one_seed_gives_the_interval_of_the_standard_error():
    scores = np.random.default_rng(1).normal(100, 20, 400)
    summary = summarise([scores])
    half = 1.96 * scores.std(ddof=1) / 20
    assert summary.low == pytest.approx(scores.mean() - half, abs=0.25)
    assert summary.high == pytest.approx(scores.mean() + half, abs=0.25)
    assert (summary.episodes, summary.seeds) == (400, 1)


def test_differences_between_training_seeds_widen_the_interval():
    """300 episodes of three agents are not 300 episodes of one: pooling them would hide training noise."""
    rng = np.random.default_rng(2)
    groups = [rng.normal(mean, 5, 100) for mean in (50, 100, 150)]
    summary = summarise(groups)
    assert summary.high - summary.low > 60
    pooled = summarise([np.concatenate(groups)])
    assert pooled.high - pooled.low < 15


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(60):
        summary = summarise([rng.exponential(10, 80)])
        hits += summary.low <= 10 <= summary.high
    assert hits >= 50


def test_training_seeds_that_add_nothing_do_not_narrow_the_interval():
    """Simulators are scored on the same sequences whatever their training seed: a hard sequence is hard for all."""
    errors = np.random.default_rng(4).exponential(10, 200)
    (low, high), same = summarise([errors])[2:4], summarise([errors] * 3, same_episodes=True)
    assert (same.low, same.high) == pytest.approx((low, high), rel=0.01)
    assert summarise([errors] * 3).high - summarise([errors] * 3).low < 0.7 * (high - low)


def test_interval_over_seeds_and_the_same_episodes_covers_the_truth():
    """Scores are an episode's difficulty, an agent's skill and chance; with ten agents the bootstrap is about right."""
    rng, hits = np.random.default_rng(5), 0
    for _ in range(60):
        scores = rng.normal(0, 5, 60) + rng.normal(0, 2, (10, 1)) + rng.normal(0, 1, (10, 60))
        summary = summarise(scores, same_episodes=True)
        hits += summary.low <= 0 <= summary.high
    assert hits >= 50


def test_same_scores_same_interval():
    scores = [[1.0, 2.0, 5.0], [2.0, 3.0]]
    assert summarise(scores) == summarise(scores)


def test_no_episodes_is_an_error_not_a_number():
    with pytest.raises(ValueError, match="at least one episode"):
        summarise([[1.0], []])


PAPER = PublishedRow((918, 546), (1092, 556), 1.15)


@pytest.mark.parametrize(
    ("low", "mean", "high", "expected"),
    [(1000, 1100, 1200, "reproduced"), (1100, 1200, 1300, "better"), (850, 900, 950, "partly"), (300, 400, 500, "not")],
)
def test_verdicts(low, mean, high, expected):
    assert verdict("paper", Summary(mean, 500, low, high, 3000, 3), PAPER) == expected


def test_only_the_papers_scale_earns_a_verdict():
    assert verdict("laptop", Summary(1100, 500, 1000, 1200, 600, 3), PAPER) == "smaller scale"


def experiment(scale="laptop"):
    variants = {"tau-1.15": Variant(temperature=1.15), "random": Variant(policy="random")}
    return ExperimentOptions(scale=scale, published="world-models-doom", variants=variants, training_seeds=[1, 2])


def episodes():
    rows = []
    for seed in (1, 2):
        rows += [Episode("toy", seed, "tau-1.15", "real", 10 + n, 700 + n, 700 + n, "death") for n in range(4)]
        rows += [Episode("toy", seed, "tau-1.15", "dream", n, 900 + n, 900 + n, "timeout") for n in range(4)]
        rows += [Episode("toy", seed, "random", "real", 10 + n, 300 + n, 300 + n, "death") for n in range(4)]
    return rows


def test_table_has_every_column_our_numbers_and_the_papers():
    rows = build_rows(experiment(), episodes(), {"tau-1.15": Budget(1000, 25, 5000)})
    table = list(csv.DictReader(io.StringIO(csv_text(rows, experiment()))))
    assert tuple(table[0]) == COLUMNS
    assert [row["variant"] for row in table] == ["tau-1.15", "random", "gym leaderboard"]
    ours = table[0]
    assert (ours["virtual_mean"], ours["actual_mean"], ours["actual_n"], ours["training_seeds"]) == (
        "901.5",
        "701.5",
        "8",
        "2",
    )
    assert (ours["paper_virtual"], ours["paper_actual"]) == ("918 ± 546", "1092 ± 556")
    assert (ours["environment_frames"], ours["generations"], ours["dream_steps"]) == ("1000", "25", "5000")
    assert table[1]["paper_actual"] == "210 ± 108" and table[1]["virtual_mean"] == ""
    assert table[2]["paper_actual"] == "820 ± 58" and table[2]["actual_mean"] == ""


def test_markdown_shows_every_seed_and_smoke_says_that_it_means_nothing():
    rows = build_rows(experiment(), episodes(), {})
    assert markdown_text(rows, experiment(), DOOM).count("| τ = 1.15 | ") == 3
    assert "mean nothing" in markdown_text(rows, experiment("smoke"), DOOM)
    assert "mean nothing" in latex_text(rows, experiment("smoke"), DOOM)
    assert "mean nothing" not in markdown_text(rows, experiment(), DOOM)


@pytest.mark.parametrize(
    ("variant", "idle", "reported"),
    [
        (Variant(environment="real"), 100, True),
        (Variant(selection="validation"), 100, True),
        (Variant(environment="real"), 0, False),
        (Variant(), 100, False),
    ],
)
def test_early_stop_is_reported_where_it_was_on(variant, idle, reported):
    options = ExperimentOptions(variants={"v": variant}, evolution=EvolutionOptions(hopeless_after=idle))
    text = markdown_text(build_rows(options, [], {}), options, DOOM)
    assert ("ended after 100 steps without a reward above 0" in text) == reported


@pytest.mark.parametrize("environment", ["real", "dream"])
def test_short_episodes_are_reported_where_controllers_evolved_in_them(environment):
    evolution = EvolutionOptions(short_episodes=ShortEpisodeOptions(steps=500, generations=79))
    options = ExperimentOptions(variants={"v": Variant(environment=environment)}, evolution=evolution)
    text = markdown_text(build_rows(options, [], {}), options, DOOM)
    assert ("first 79 generations" in text and "cut off after 500 steps" in text) == (environment == "real")


def test_budget_says_where_an_agent_played_the_data():
    """The frames that this agent learned on are nobody's budget in the table, and no reader may think there were none."""
    player = AgentPolicy(experiment="teacher", variant="z-h", random_policy=UniformPolicy())
    told = markdown_text(build_rows(experiment(), [], {}), experiment(), DOOM, player)
    assert "was played by the agent `z-h` of `teacher`" in told and "not counted in the budget" in told
    assert "not counted" not in markdown_text(build_rows(experiment(), [], {}), experiment(), DOOM)


def test_roc_area_is_the_share_of_pairs_that_are_ordered_right():
    rng = np.random.default_rng(3)
    scores, positive = rng.integers(0, 9, 200) / 8, rng.random(200) < 0.3  # with ties
    high, low = scores[positive][:, None], scores[~positive][None]
    assert roc_area(scores, positive) == pytest.approx(((high > low) + 0.5 * (high == low)).mean())
    assert roc_area(scores, np.zeros(200, bool)) is None


def test_latex_is_escaped_and_rectangular():
    text = latex_text(build_rows(experiment(), episodes(), {}), experiment(), DOOM)
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {5}
    assert "τ" not in text and "±" not in text


def test_episodes_come_back_and_damage_is_named_with_its_line(tmp_path):
    path = tmp_path / "episodes.csv"
    write_episodes(path, episodes())
    assert read_episodes([path]) == episodes()
    path.write_text(path.read_text().replace("toy,1,tau-1.15,real,11,701,701,death", "toy,1,tau"))
    with pytest.raises(UserError, match=r"episodes\.csv, line 3"):
        read_episodes([path])


def test_scores_above_a_million_keep_every_digit(tmp_path):
    """Atlantis ends with such; six digits would round them."""
    path = tmp_path / "episodes.csv"
    rows = [Episode("dqn", 1, "atlantis", "real", 11, 900, total, "timeout") for total in (1_234_567.0, 906.125)]
    write_episodes(path, rows)
    assert read_episodes([path]) == rows
