"""Targets in Snakemake's command line: a name that nobody has gets the nearest one."""

from pathlib import Path

import pytest

from worldmodels.config.load import load_config
from worldmodels.config.targets import check_targets
from worldmodels.errors import UserError


@pytest.fixture(scope="module")
def config():
    return load_config(Path(__file__).parents[2] / "config.yaml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-n", "results/doom-smok/table.csv"], "there is no experiment 'doom-smok'. Did you mean 'doom-smoke'"),
        (["results/atari-res-lptop/table.csv"], "Did you mean 'atari-res-laptop'"),
        (
            ["--cores", "2", "results/doom/tabel.csv"],
            "an experiment with agents makes no tabel.csv. Did you mean 'table.csv'",
        ),
        (["results/doom/speed.csv"], "an experiment with agents makes no speed.csv"),
        (["results/atari-res/table.html"], "an experiment with simulators makes no table.html"),
        (["results/data/doom-randm/000.h5"], "no data set 'doom-randm'. Did you mean 'doom-random'"),
        (["results/data/atari-res-pomg/train-000.h5"], "no data set 'atari-res-pomg'. Did you mean 'atari-res-pong'"),
        (["results/agents/dqm/pong/agent.safetensors"], "no agent 'dqm'. Did you mean 'dqn'"),
        (["results/doom/figures/evolutoin.svg"], "doom has no evolutoin.svg. Did you mean 'evolution.svg'"),
        (["results/doom-laptop/figures/temperature.svg"], "doom-laptop has no temperature.svg"),
        (["results/atari-res/figures/eror.pdf"], "atari-res has no eror.pdf. Did you mean 'error.pdf'"),
        (["results/doom/videos/reall.mp4"], "doom has no reall.mp4. Did you mean 'real.mp4'"),
        (["results/doom/seed-1/controllers/tau-1.16/episodes.csv"], "no variant tau-1.16. Did you mean 'tau-1.15'"),
        (["results/doom/seed-1/controllers/random/controller.json"], "policy of random is 'random', so nothing is"),
        (["results/atari-acvp-smoke/agents.csv"], "no trained agent plays for atari-acvp-smoke"),
    ],
)
def test_misspelt_target_gets_the_nearest_name(config, words, message):
    with pytest.raises(UserError, match=message):
        check_targets(config, words)


@pytest.mark.parametrize(
    "words",
    [
        ["--cores", "2", "results/doom-smoke/table.csv", "results/atari-res/speed.csv"],
        ["results/doom/seed-1/controllers/tau-1.15/controller.json", "results/data/doom-random/000.h5"],
        ["results/doom/figures/temperature.svg", "results/doom-smoke/seed-1/controllers/random/episodes.csv"],
        ["results/atari-acvp-laptop-data/agents.csv", "results/atari-acvp-laptop-data/videos/ms-pacman.mp4"],
        ["--report", "results/mine.html", "quickstart", "results/", "results"],
        ["results/agents/dqn/ms-pacman/agent.safetensors", "results/data/atari-res-ms-pacman/test-000.h5"],
    ],
)
def test_everything_else_is_left_to_snakemake(config, words):
    check_targets(config, words)
