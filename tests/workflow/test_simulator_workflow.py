"""Experiments with simulators through Snakemake, on the real emulator at smoke scale."""

import csv
import json
import re
import subprocess
import sys
import time
import zipfile
from contextlib import ExitStack

import h5py
import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image
from player import Player
from rocrate.rocrate import ROCrate

from worldmodels.config.load import load_config
from worldmodels.config.simulator_products import simulator_products
from worldmodels.figures.claims_page import REPOSITORY
from worldmodels.figures.crate import result_files
from worldmodels.play.sources import Request, playable

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
    """Oh's networks on five games: four stages or three, of which the last is scored, or all; `compression` goes on from `paper`'s first."""
    planned = checkout.planned("results/atari-acvp/table.csv")
    assert planned == {
        "train_agent": 5,
        "collect_atari": 5 * 11,
        "train_simulator": 5 * (3 * 4 + 3 + 2 * 3 + 2),
        "evaluate_simulator": 5 * (2 * 4 + 6),
        "tabulate_simulators": 1,
    }


def test_names_do_not_collide_and_mistakes_are_one_sentence(checkout):
    """Both kinds of experiment have a results/NAME/table.csv."""
    both = checkout.planned("results/doom-smoke/table.csv", "results/atari-res-smoke/table.csv")
    assert both["tabulate"] == both["tabulate_simulators"] == 1
    wrong = checkout.snakemake("-n", "results/atari-res-smok/table.csv")
    assert wrong.returncode != 0 and "Did you mean 'atari-res-smoke'" in wrong.stdout + wrong.stderr
    wrong = checkout.snakemake("-n", "results/atari-res-smoke/figures/eror.svg")
    sentence = "atari-res-smoke has no eror.svg. Did you mean 'error.svg'?"
    assert wrong.returncode != 0 and sentence in wrong.stdout + wrong.stderr
    checkout.edit(
        "config.yaml", "{preset: res-laptop, batch_size: 8, updates:", "{preset: res-laptop, batch_size: 8, updtes:"
    )
    wrong = checkout.snakemake("-n", "quickstart")
    message = "unknown key simulator_experiments.atari-res-laptop.training.updtes. Did you mean 'updates'"
    assert wrong.returncode != 0 and message in wrong.stdout + wrong.stderr


@pytest.mark.timeout(1800)
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
    for name in ("error", "training", "speed", "schemes", "frames", "agent", "strip-pong", "saliency-pong"):
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
    stages = ["acvp-recurrent.1-step", "acvp-recurrent.3-step", "acvp-recurrent.5-step"]
    assert [row["simulator"] for row in chained] == [
        *stages,
        *("acvp-recurrent", "acvp-feed-forward", "acvp-no-action", "acvp-perceptron", "acvp-paper", "acvp-compression"),
        *("vae-mdn-rnn", "copy-last", "mean-frame"),
    ]
    for name in ("actions-ms-pacman", "stages"):
        assert (checkout.folder / f"results/atari-acvp-smoke/figures/{name}.svg").stat().st_size > 2000
    assert all(
        float(row[f"steps_per_second_{batch}"]) > 0 for row in chained for batch in ("1", "1_drawn", "4", "4_drawn")
    )
    copied = chained[-2]
    assert copied["error_1"] == copied["copy_last_1"] and copied["parameters"] == copied["training_updates"] == "0"
    assert [row["training_updates"] for row in chained[:5]] == ["2", "4", "6", "8", "2"], (
        "up to four stages of two updates; one"
    )
    assert int(chained[8]["operations"]) < int(chained[7]["operations"]), "compression imagines without drawing"

    assert checkout.planned("smoke_simulators") == {}
    checkout.edit("config.yaml", "sequences: 6, horizon: 50", "sequences: 5, horizon: 50")
    planned = checkout.planned("results/atari-res-smoke/table.csv")
    assert planned == {"evaluate_simulator": 5, "tabulate_simulators": 1}


ONLINE = "atari-res-online-smoke"


@pytest.mark.timeout(1800)
def test_simulator_learns_while_an_agent_plays(simulated):
    """No train shard is collected; the agent is trained first."""
    data = simulated.folder / "results/data/atari-dqn-smoke-pong"
    assert [path.name for path in sorted(data.glob("*.h5"))] == ["test-000.h5"]
    (row,) = csv.DictReader((simulated.folder / f"results/{ONLINE}/table.csv").open())
    assert float(row["error_1"]) > 0


@pytest.mark.timeout(1800)
def test_report_has_every_product_with_a_caption_that_states_the_protocol(simulated, tmp_path):
    products = simulator_products(load_config(simulated.folder / "config.yaml"), ONLINE)
    result = simulated.snakemake(*products, "--report", str(tmp_path / "report.html"))
    assert result.returncode == 0, result.stdout + result.stderr
    text = (tmp_path / "report.html").read_text()
    results = json.loads(re.search(r'<script id="results">\s*var results = (.*);\n', text)[1])
    assert sorted(results) == sorted(products)
    for path, one in results.items():
        caption = " ".join(re.sub(r"<[^>]+>", "", one["caption"]).split())
        assert "system-message" not in one["caption"], f"{path}: the caption is not valid reStructuredText"
        assert "its numbers mean nothing" in caption and "Training seeds: 1 (1)." in caption
        assert "Data: pong, played meanwhile by an agent (dqn-smoke, ε = 0.2)" in caption
        assert "Budget of a simulator: 4 updates of 2 windows of 7 steps." in caption
        assert "6 held-out sequences, 50 steps ahead after 11 real frames" in caption
        assert f"snakemake --cores all results/{ONLINE}/table.csv" in caption
    film = " ".join(results[f"results/{ONLINE}/videos/pong.mp4"]["caption"].split())
    assert "One held-out sequence of pong" in film and "each simulator imagines" in film
    assert results[f"results/{ONLINE}/figures/training.svg"]["labels"]["figure"] == "Training of simulators"
    assert results[f"results/{ONLINE}/speed.csv"]["labels"]["table"] == "Speed"


@pytest.mark.timeout(1800)
def test_simulator_and_its_game_begin_at_the_same_moment(simulated, monkeypatch):
    """The real game plays the recorded episode again up to where the simulator begins; then both take the same actions."""
    monkeypatch.chdir(simulated.folder)
    config = load_config(simulated.folder / "config.yaml")
    with ExitStack() as closing:
        dream, real = playable(config, Request(ONLINE, real=True), closing).views
        for seed in (1, 2):
            dream.reset(seed)
            real.reset(seed)
            height, width = dream.picture.shape[:2]
            small = Image.fromarray(real.picture).convert("L").resize((width, height), Image.Resampling.BOX)
            seen = dream.picture[..., 0].astype(np.int16)  # grey
            assert np.abs(seen - np.asarray(small)).mean() < 3, "what the simulator last saw is what the game shows"
        before = real.picture
        for _ in range(5):
            dream.step(np.array([2.0]))
            real.step(np.array([2.0]))
        assert (dream.steps, real.steps) == (5, 5) and not np.array_equal(real.picture, before)


def test_keys_play_an_atari_simulator_beside_its_game(simulated, display, tmp_path):
    player = Player(simulated, display, ONLINE, "--real", "--film", str(tmp_path / "played.mp4"))
    player.wait()
    player.xdotool("keydown", "Up")
    time.sleep(2)
    player.xdotool("keyup", "Up")
    player.xdotool("key", "plus")
    player.xdotool("key", "r")
    time.sleep(0.5)
    player.xdotool("key", "Escape")
    told = player.end()
    steps = int(told.split("real game: ")[1].split()[0])
    pictures = [picture[::4, ::4].astype(np.int16) for picture in imageio.get_reader(tmp_path / "played.mp4")]
    assert 0 < steps < len(pictures), "r began another episode"
    assert np.abs(pictures[0] - pictures[-1]).mean() > 0.5


def test_crate_has_every_product_and_what_is_behind_it(simulated, tmp_path):
    command = [sys.executable, "-m", "worldmodels", "crate", ONLINE, "--output", str(tmp_path / "crate.zip")]
    result = subprocess.run([*command, "--directory", str(simulated.folder)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(tmp_path / "crate.zip") as archive:
        archive.extractall(tmp_path / "crate")
    crate = ROCrate(tmp_path / "crate")
    listed = {entity.id: entity for entity in crate.data_entities}
    wanted = set(result_files(load_config(simulated.folder / "config.yaml"), ONLINE))
    folder = f"results/{ONLINE}/pong/seed-1/simulators/pdt-0-100"
    assert {f"results/{ONLINE}/videos/pong.mp4", f"{folder}/horizon.h5", f"{folder}/metrics.csv"} <= wanted
    assert wanted | {f"{path}.provenance.json" for path in wanted} <= set(listed)
    for path in wanted:
        assert (tmp_path / "crate" / path).read_bytes() == (simulated.folder / path).read_bytes()
    about = crate.root_dataset["description"]
    for fact in (
        "Scale: smoke test",
        "Training seeds: 1 (1).",
        "Budget of a simulator: 4 updates of 2 windows of 7 steps.",
    ):
        assert fact in about
    (action,) = crate.get_by_type("CreateAction")
    block = json.loads((tmp_path / "crate" / action["object"][0].id).read_text())
    assert block["experiment"]["evaluation"]["sequences"] == 6
    assert block["atari_datasets.atari-dqn-smoke"]["epsilon"] == 0.2
    agent = block["atari_agents.dqn-smoke"]
    assert agent["algorithm"] == "dqn" and agent["steps"] == 600


def test_crate_of_a_joint_table_takes_files_from_where_they_are():
    """Simulators that another experiment made lie in its folder, earlier stages of curricula in files of their own."""
    files = list(result_files(load_config(REPOSITORY / "config.yaml"), "simulators-laptop"))
    assert len(files) == len(set(files))
    folder = "results/{}/ms-pacman/seed-1/simulators/{}"
    assert f"{folder.format('atari-acvp-laptop', 'acvp-recurrent')}/horizon.h5" in files
    assert f"{folder.format('atari-acvp-laptop', 'acvp-recurrent.1-step')}/metrics.csv" in files
    assert f"{folder.format('simulators-laptop', 'res')}/horizon.h5" in files
