"""Experiments with simulators through Snakemake, on the real emulator at smoke scale."""

import csv
import json

import h5py
import pytest

pytestmark = pytest.mark.workflow
GAMES, SIMULATORS = 10, 26


def test_paper_scale_is_planned(checkout):
    """Every simulator is trained and scored on every game; an agent plays each game's frames once."""
    planned = checkout.planned("results/atari-res/table.csv")
    assert planned == {
        "train_agent": GAMES,
        "collect_atari": GAMES * (50 + 10),
        "train_simulator": GAMES * SIMULATORS,
        "evaluate_simulator": GAMES * SIMULATORS,
        "tabulate_simulators": 1,
    }


def test_curricula_are_chains_of_jobs(checkout):
    """Oh's networks on five games: four stages or three, of which the last is scored; `compression` goes on from `paper`'s first."""
    planned = checkout.planned("results/atari-acvp/table.csv")
    assert planned == {
        "train_agent": 5,
        "collect_atari": 5 * 11,
        "train_simulator": 5 * (3 * 4 + 3 + 2 * 3 + 2),
        "evaluate_simulator": 5 * 8,
        "tabulate_simulators": 1,
    }


def test_names_do_not_collide_and_mistakes_are_one_sentence(checkout):
    """Both kinds of experiment have a results/NAME/table.csv."""
    both = checkout.planned("results/doom-smoke/table.csv", "results/atari-res-smoke/table.csv")
    assert both["tabulate"] == both["tabulate_simulators"] == 1
    wrong = checkout.snakemake("-n", "results/atari-res-smok/table.csv")
    assert wrong.returncode != 0 and "Did you mean 'atari-res-smoke'" in wrong.stdout + wrong.stderr
    wrong = checkout.snakemake("-n", "results/atari-res-smoke/figures/eror.svg")
    assert wrong.returncode != 0 and "has no figure 'eror'; it has error" in wrong.stdout + wrong.stderr
    checkout.edit("config.yaml", "updates: 700", "updtes: 700")
    wrong = checkout.snakemake("-n", "quickstart")
    message = "unknown key simulator_experiments.atari-res-laptop.training.updtes. Did you mean 'updates'"
    assert wrong.returncode != 0 and message in wrong.stdout + wrong.stderr


@pytest.mark.timeout(600)
def test_one_command_makes_every_product(checkout):
    """Table, speeds, figures and a film; then nothing is left to do, and another evaluation trains nothing again."""
    result = checkout.snakemake("smoke_simulators")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    folder = checkout.folder / "results" / "atari-res-smoke"
    rows = {row["simulator"]: row for row in csv.DictReader((folder / "table.csv").open())}
    assert list(rows) == ["pdt-0", "pdt-0-100-half", "pdt-0-100", "independent", "two-class"]
    assert [row["training_updates"] for row in rows.values()] == ["4", "2", "4", "4", "4"]
    assert all(float(row["error_50"]) > 0 and not row["error_100"] for row in rows.values()), "it looks 50 steps ahead"
    assert 0 <= float(rows["pdt-0-100"]["reward_accuracy"]) <= 1 and not rows["independent"]["reward_accuracy"]
    assert rows["pdt-0"]["no_reward"] == rows["pdt-0-100"]["no_reward"] != "" and not rows["independent"]["no_reward"]
    assert int(rows["independent"]["operations"]) < int(rows["independent"]["operations_drawn"])
    copies = {name: row["copy_last_1"] for name, row in rows.items()}
    assert copies["pdt-0-100"] == copies["independent"], "all are scored on the same sequences"
    assert {row["verdict"] for row in rows.values()} == {"smaller scale"}
    assert "mean nothing" in (folder / "table.md").read_text()
    speeds = list(csv.DictReader((folder / "speed.csv").open()))
    assert len(speeds) == 5 * 2 * 2 and all(float(row["steps_per_second"]) > 0 for row in speeds)
    for name in ("error", "training", "speed", "schemes", "frames", "agent", "strip-pong"):
        assert (folder / f"figures/{name}.svg").stat().st_size > 2000
    assert (folder / "videos/pong.mp4").stat().st_size > 2000
    for name in ("pdt-0-100", "independent"):
        played = list(csv.DictReader((folder / f"pong/seed-1/agent/{name}.csv").open()))
        assert [row["chain_period"] for row in played] == ["1"] * 4 + ["5"] * 2 + ["20"] * 2
        assert [row["policy"] for row in played] == ["random"] * 2 + ["agent"] * 6
        assert all(0 <= float(row["agreement"]) <= 1 and float(row["error"]) > 0 for row in played[4:])
        assert (folder / f"pong/seed-1/agent/{name}.mp4").stat().st_size > 2000
    (agent,) = csv.DictReader((folder / "agents.csv").open())
    assert (agent["agent"], agent["game"], agent["paper_dqn"], agent["verdict"]) == (
        "dqn-smoke",
        "pong",
        "20.88",
        "smaller scale",
    )
    with h5py.File(folder / "pong/seed-1/simulators/two-class/horizon.h5") as file:
        assert file["errors"].shape == (6, 50)
    record = json.loads((folder / "pong/seed-1/simulators/two-class/horizon.h5.provenance.json").read_text())
    assert record["stage"] == "evaluate_simulator"
    assert "results/data/atari-smoke-pong/test-000.h5" in record["inputs"]

    chained = list(csv.DictReader((checkout.folder / "results/atari-acvp-smoke/table.csv").open()))
    assert [row["simulator"] for row in chained] == [
        *("acvp-recurrent", "acvp-feed-forward", "acvp-no-action", "acvp-perceptron", "acvp-paper", "acvp-compression"),
        *("vae-mdn-rnn", "copy-last", "mean-frame"),
    ]
    assert (checkout.folder / "results/atari-acvp-smoke/figures/actions-ms-pacman.svg").stat().st_size > 2000
    copied = chained[-2]
    assert copied["error_1"] == copied["copy_last_1"] and copied["parameters"] == copied["training_updates"] == "0"
    assert [row["training_updates"] for row in chained[:2]] == ["8", "2"], "four stages of two updates; one"
    assert int(chained[5]["operations"]) < int(chained[4]["operations"]), "compression imagines without drawing"

    assert checkout.planned("smoke_simulators") == {}
    checkout.edit("config.yaml", "sequences: 6, horizon: 50", "sequences: 5, horizon: 50")
    planned = checkout.planned("results/atari-res-smoke/table.csv")
    assert planned == {"evaluate_simulator": 5, "tabulate_simulators": 1}


def test_simulator_learns_while_an_agent_plays(checkout):
    """No train shard is collected; the agent is trained first."""
    result = checkout.snakemake("results/atari-res-online-smoke/table.csv")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    data = checkout.folder / "results/data/atari-dqn-smoke-pong"
    assert [path.name for path in sorted(data.glob("*.h5"))] == ["test-000.h5"]
    (row,) = csv.DictReader((checkout.folder / "results/atari-res-online-smoke/table.csv").open())
    assert float(row["error_1"]) > 0
