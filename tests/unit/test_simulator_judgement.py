"""Claims about simulators: intervals decide, those of differences on the same sequences where the raw errors are there."""

import csv

import numpy as np
import pytest

from worldmodels.config.atari_blocks import game_label
from worldmodels.config.load import load_config
from worldmodels.errors import UserError
from worldmodels.figures.claims import MIXED_GAMES, PREDICTED_GAMES
from worldmodels.figures.claims import RES as CLAIMS
from worldmodels.figures.claims_page import REPOSITORY, claims_text, numbers_text, read_reports
from worldmodels.figures.judgement import Score
from worldmodels.figures.simulator_judgement import (
    AgentPlays,
    BeatsCopy,
    ErrorFalls,
    GainsShrink,
    LowerError,
    answers,
    over_games,
)
from worldmodels.figures.simulator_scores import Played, read_simulator_scores
from worldmodels.figures.simulator_tables import COLUMNS
from worldmodels.simulators.error_file import Costs, write_errors
from worldmodels.simulators.prediction_error import HorizonErrors

CONFIG = load_config(REPOSITORY / "config.yaml")


def table(folder, levels, scale="paper", games=("pong",), seeds=1):
    """A table.csv; levels: simulator -> {horizon: error}, with intervals of 2 % around."""
    folder.mkdir(parents=True)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for game in games:
            for name, errors in levels.items():
                cells = {"simulator": name, "game": game, "sequences": 100, "training_seeds": seeds, "scale": scale}
                for horizon, error in errors.items():
                    cells |= {f"error_{horizon}": error, f"error_low_{horizon}": 0.98 * error}
                    cells |= {f"error_high_{horizon}": 1.02 * error, f"copy_last_{horizon}": 0.01}
                writer.writerow(cells | {"verdict": "no published number"})
    return folder / "table.csv"


LEVELS = {
    "pdt-0": {5: 0.001, 10: 0.002, 100: 0.02},
    "pdt-0-100": {5: 0.003, 10: 0.004, 100: 0.008},
    "near": {5: 0.001, 10: 0.002, 100: 0.0081},
    "sequences-of-10": {100: 0.012},
    "sequences-of-20": {100: 0.0075},
    "independent": {10: 0.005, 100: 0.02},
}


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        (LowerError("pdt-0-100", "pdt-0", 100), "holds"),
        (LowerError("pdt-0-100", "pdt-0", 5), "does not hold"),
        (LowerError("pdt-0-100", "near", 100), "unclear"),
        (ErrorFalls(("pdt-0-100", "pdt-0"), (5, 10)), "holds"),
        (ErrorFalls(("pdt-0-100", "pdt-0"), (5, 10, 100)), "does not hold"),
        (GainsShrink(("sequences-of-10", "pdt-0-100", "sequences-of-20"), 100), "holds"),
        (GainsShrink(("sequences-of-20", "pdt-0-100", "sequences-of-10"), 100), "does not hold"),  # it rises
        (GainsShrink(("pdt-0-100", "near", "sequences-of-20"), 100), "does not hold"),
        (BeatsCopy("pdt-0-100", (10, 100)), "holds"),
        (BeatsCopy("independent", (10, 100)), "does not hold"),
    ],
)
def test_intervals_decide(tmp_path, test, holds):
    assert test.judge(read_simulator_scores(table(tmp_path / "a", LEVELS))).holds == holds


def raw_errors(folder, game, errors):
    """The files of raw errors beside a table, for each simulator one of each training seed."""
    rng = np.random.default_rng(0)
    hard = rng.exponential(1, 100)  # some sequences are hard for all
    for name, levels in errors.items():
        for seed in (1, 2):
            noise = rng.normal(0, 0.01, (100, 100))
            values = np.ones((100, 100)) * hard[:, None] / hard.mean() + noise - noise.mean(axis=0)
            for horizon, level in levels.items():
                values[:, horizon - 1] *= level
            file = folder / game / f"seed-{seed}" / "simulators" / name / "horizon.h5"
            file.parent.mkdir(parents=True)
            copied = np.ones((100, 100)) * 0.01 * hard[:, None]
            write_errors(file, HorizonErrors(values, copied, None, None, frame_shape=(84, 84, 1)), Costs(1, 2, 3))


def test_differences_on_the_same_sequences_decide(tmp_path):
    """8 and 8.1 thousandths cannot be told apart by two intervals, and can be sequence by sequence."""
    path = table(tmp_path / "a", LEVELS, seeds=2)
    test, gains = (
        LowerError("pdt-0-100", "near", 100),
        GainsShrink(("sequences-of-10", "pdt-0-100", "sequences-of-20"), 100),
    )
    assert test.judge(read_simulator_scores(path)).holds == "unclear"
    raw_errors(tmp_path / "other", "pong", {name: levels for name, levels in LEVELS.items() if 100 in levels})
    scores = read_simulator_scores(path, lambda _: "other")
    assert scores["near"].raw["pong"].errors.shape == (2, 100, 100)
    assert test.judge(scores).holds == gains.judge(scores).holds == "holds"
    assert LowerError("near", "pdt-0-100", 100).judge(scores).holds == "does not hold"
    assert BeatsCopy("pdt-0-100", (100,)).judge(scores).holds == "holds"
    elsewhere = scores["near"].raw["pong"]
    moved = scores | {
        "near": scores["near"]._replace(raw={"pong": elsewhere._replace(copy_last=elsewhere.copy_last + 1)})
    }
    assert test.judge(moved).holds == "unclear", "other sequences, or other frames: the table's intervals decide"


def test_raw_errors_of_another_run_are_refused(tmp_path):
    path = table(tmp_path / "a", LEVELS, seeds=2)
    raw_errors(tmp_path / "a", "pong", {"near": {5: 0.001, 10: 0.002, 100: 0.009}})
    with pytest.raises(UserError, match="are not of one run: `near` has other errors there"):
        read_simulator_scores(path)


@pytest.mark.parametrize(
    ("returns", "holds"), [((300, 320), "holds"), ((40, 60), "does not hold"), ((10, 500), "unclear")]
)
def test_agents_inside_simulators_are_judged_by_their_games(tmp_path, returns, holds):
    """Beside the table lie what an agent and uniform actions scored, seed by seed."""
    path, test = table(tmp_path / "a", LEVELS), AgentPlays("pdt-0", 5)
    assert not answers(test, read_simulator_scores(path)), "no agent played"
    for seed in (1, 2):
        file = tmp_path / "a" / "pong" / f"seed-{seed}" / "agent" / "pdt-0.csv"
        file.parent.mkdir(parents=True)
        rows = [
            ("random", 1, 100),
            ("random", 1, 110),
            *(("agent", 5, value) for value in returns),
            ("agent", 1, 900),
            ("agent", 1, 910),
        ]
        file.write_text(
            "policy,chain_period,return\n" + "".join(f"{who},{period},{score}\n" for who, period, score in rows)
        )
    scores = read_simulator_scores(path)
    assert answers(test, scores) and not answers(AgentPlays("pdt-0", 50), scores)
    answer = test.judge(scores)
    assert answer.holds == holds and answer.variants == ("pdt-0",)
    assert "uniform actions 105.0 [100.0, 110.0]" in answer.ours and "real frames alone 905.0" in answer.ours
    against = AgentPlays("pdt-0", 5, control="near")
    assert not answers(against, scores), "it did not act inside the control"
    scores |= {"near": scores["near"]._replace(played={"pong": Played(Score(0, 0, 0), {5: Score(30, 25, 35)})})}
    assert answers(against, scores) and "inside `near` 30.0" in against.judge(scores).ours


def test_most_games_decide():
    assert over_games({"a": "holds", "b": "holds", "c": "does not hold"}) == "holds"
    assert over_games({"a": "holds", "b": "does not hold"}) == "unclear"
    assert over_games({"a": "unclear", "b": "does not hold", "c": "does not hold"}) == "does not hold"


def test_claims_about_some_games_ask_no_others(tmp_path):
    """Pong is not among the games in which mixing is better: a table of it alone says nothing of them."""
    scores = read_simulator_scores(table(tmp_path / "a", LEVELS, games=("pong", "qbert")))
    anywhere, here, elsewhere = (
        LowerError("pdt-0-100", "pdt-0", 100, games) for games in ((), ("qbert",), ("bowling",))
    )
    assert "games: 2 hold" in anywhere.judge(scores).ours
    assert here.judge(scores).ours.startswith("qbert, ") and answers(here, scores)
    assert answers(anywhere, scores) and not answers(elsewhere, scores)


def test_claims_are_answered_from_committed_tables(tmp_path):
    table(tmp_path / "atari-res", LEVELS, games=("pong", "qbert", "seaquest"))
    table(tmp_path / "atari-res-laptop", LEVELS, scale="laptop")
    table(tmp_path / "atari-res-smoke", LEVELS, scale="smoke")
    reports = read_reports(tmp_path, CONFIG)
    assert list(reports) == ["atari-res", "atari-res-laptop"], "smoke runs answer nothing"
    lines = [line for line in claims_text(reports, CONFIG).splitlines() if "has the lower error 100 steps" in line]
    assert len(lines) == 2
    assert "games: 3 hold, 0 unclear, 0 do not" in lines[0] and "| reproduced |" in lines[0]
    assert "100 held-out sequences a game, 3 games" in lines[0]
    assert "`pdt-0-100` 8 [7.84, 8.16]" in lines[1] and "| smaller scale (holds) |" in lines[1]
    works = [line for line in claims_text(reports, CONFIG).splitlines() if "(prediction-independent) works" in line]
    assert len(works) == 1 and "not run" in works[0], "the rows say nothing of 1 step ahead"
    assert r"\newcommand{\AtariResLaptopPdtZeroPongErrorFive}{1}" in numbers_text(reports)


def test_games_that_claims_name_are_the_papers():
    """Each of the ten games is said to be better off with one kind of training or the other."""
    labels = {game_label(game) for game in CONFIG.simulator_experiments["atari-res"].games}
    assert {*MIXED_GAMES, *PREDICTED_GAMES} == labels and len(MIXED_GAMES + PREDICTED_GAMES) == 10


def test_every_row_that_a_claim_needs_is_in_the_papers_experiment():
    rows = {name for paper in ("atari-res", "simulators") for name in CONFIG.simulator_experiments[paper].simulators}
    needed = {name for claim in CLAIMS.claims if claim.test for name in claim.test.variants()}
    assert needed <= rows and len(needed) > 10
