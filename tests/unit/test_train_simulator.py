"""The stage that trains simulators, on shards of Atari's format: from the command line, and what it refuses."""

import csv
import json
import logging
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from test_atari_store import make_shard

from worldmodels.__main__ import main
from worldmodels.envs.atari.screens import GameFacts
from worldmodels.errors import UserError
from worldmodels.runtime.files import file_checksum
from worldmodels.simulators.fit import require_fit
from worldmodels.simulators.load import load_simulator

MODEL = {
    **{"height": 8, "width": 8, "channels": 1, "actions": 6, "hidden_size": 12, "fusion_size": 12},
    "convolutions": [{"channels": 4, "kernel": 4, "padding": [1, 1]}],
}
TRAINING = {"updates": 6, "batch_size": 2, "warm_up": 2, "subsequence": 3, "scheme": "46%PDT", "precision": "fp32"}


def command(folder, model=None, name="a", **changes):
    block = {"training": {**TRAINING, "model": {**MODEL, **(model or {})}, **changes}}
    words = ["--dataset", folder, "--shards", 2, "--seed", 1, "--device", "cpu", "--threads", 1]
    words += ["--weights", folder / f"{name}.safetensors", "--metrics", folder / f"{name}.csv"]
    return ["train_simulator", *map(str, words), "--config", json.dumps(block)]


def train(folder, model=None, name="a", **changes):
    return main(command(folder, model, name, **changes))


@pytest.fixture
def shards(tmp_path):
    for number in range(2):
        make_shard(tmp_path / f"train-{number:03d}.h5", start=60 * number)
    return tmp_path


def test_stage_writes_weights_history_and_provenance_and_the_same_bytes_again(shards):
    assert train(shards) == 0 and train(shards, name="b") == 0
    assert (shards / "a.safetensors").read_bytes() == (shards / "b.safetensors").read_bytes()
    assert [row["step"] for row in csv.DictReader((shards / "a.csv").open())] == list("123456")
    assert (shards / "a.safetensors.provenance.json").exists()
    simulator = load_simulator(shards / "a.safetensors", torch.device("cpu"))
    assert simulator.options.height == 8 and simulator.network.mean.item() > 0


def test_shorter_training_is_the_beginning_of_a_longer_one(shards):
    """With a constant step size: so that rows of several lengths show the error of one training against frames seen."""
    assert train(shards, name="short", updates=3) == 0 and train(shards, name="long") == 0
    short, long = ((shards / f"{name}.csv").read_text().splitlines() for name in ("short", "long"))
    assert len(short) == 4 and short == long[:4]


def kill_with_a_checkpoint(words, folder):
    """Run a stage until it has saved a checkpoint somewhere below `folder`, and kill -9 it."""
    environment = os.environ | {"WORLDMODELS_CHECKPOINT_SECONDS": "0.05"}
    command = [sys.executable, "-m", "worldmodels", *words]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(folder.rglob("checkpoint.safetensors")):
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_killed_process_goes_on_to_the_same_weights(shards, caplog):
    """kill -9 after a checkpoint, between two updates or in one: the same command ends with the bytes of an undisturbed run."""
    changes = {"updates": 400, "subsequences": 2, "scheme": "100%PDT"}
    assert train(shards, name="whole", **changes) == 0
    kill_with_a_checkpoint(command(shards, name="killed", **changes), shards)
    assert not (shards / "killed.safetensors").exists()
    caplog.set_level(logging.INFO, logger="worldmodels")
    assert train(shards, name="killed", **changes) == 0
    assert "going on at" in caplog.text, "it must not begin anew"
    for suffix in ("safetensors", "csv"):
        assert (shards / f"killed.{suffix}").read_bytes() == (shards / f"whole.{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ({"actions": 4}, "has 6 actions here, but the simulator has 4"),
        ({"height": 8, "width": 12}, "no frames of 8x12 can be made"),
        ({"height": 210, "width": 160}, "x1, but the simulator's 210x160x1: set model.height"),
    ],
)
def test_what_does_not_fit_ends_in_one_sentence(shards, caplog, model, problem):
    assert train(shards, model) == 1
    assert problem in caplog.text and "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("frames", "told"),
    [((84, 84, 3), "84x84x3, but the simulator's 84x84x1: set model.channels"), ((96, 96, 1), "set model.height")],
)
def test_grey_and_colour_are_told_from_sizes(frames, told):
    with pytest.raises(UserError, match=told):
        require_fit(GameFacts("pong", 6, frames), 6, (84, 84, 1))


def test_bit_that_flips_in_a_shard_is_noticed(shards, caplog):
    """Zstd decodes most of such shards to other pixels without a word: their checksum tells."""
    path = shards / "train-001.h5"
    path.with_name("train-001.h5.provenance.json").write_text(json.dumps({"sha256": file_checksum(path)}))
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    assert train(shards) == 1
    assert "train-001.h5 is not what its stage wrote" in caplog.text and "Traceback" not in caplog.text
    assert (shards / "train-001.h5.damaged").exists() and not list(shards.glob("*.safetensors"))


def test_windows_longer_than_the_episodes_are_refused(shards, caplog):
    assert train(shards, subsequence=40) == 1
    assert "no window of 42 steps" in caplog.text


def test_missing_shard_is_named(tmp_path, caplog):
    assert train(tmp_path) == 1
    assert "train-000.h5 does not exist" in caplog.text


def online_block(**changes):
    play = {"task": {"name": "atari", "game": "pong"}, "epsilon": 0, "uses_agent": False, "frames_per_shard": 200}
    model = {**MODEL, "height": 16, "width": 16, "actions": 18}
    return {
        "training": {**TRAINING, "model": model},
        "play": {**play, "parallel_games": 2, "seed": 0},
        "online": {"memory": 64, "first_frames": 16},
        **changes,
    }


def test_simulator_learns_while_the_game_goes_on(tmp_path):
    words = ["--seed", "1", "--threads", "1", "--device", "cpu", "--config", json.dumps(online_block())]
    assert main(["train_simulator", "--weights", str(tmp_path / "w"), "--metrics", str(tmp_path / "m"), *words]) == 0
    simulator = load_simulator(tmp_path / "w", torch.device("cpu"))
    assert 20 < simulator.network.mean.item() < 150  # Pong's brown and green, as grey


def test_killed_training_on_games_that_go_on_goes_on_with_new_games(tmp_path, caplog):
    """Not bit by bit: the games begin anew, the network and its optimiser do not."""
    block = online_block()
    block["training"]["updates"] = 60
    words = ["--seed", "1", "--threads", "1", "--device", "cpu", "--config", json.dumps(block)]
    words = ["train_simulator", "--weights", str(tmp_path / "w"), "--metrics", str(tmp_path / "m"), *words]
    kill_with_a_checkpoint(words, tmp_path)
    caplog.set_level(logging.INFO, logger="worldmodels")
    assert main(words) == 0 and (tmp_path / "w").exists()
    assert "going on at" in caplog.text
    assert [*csv.DictReader((tmp_path / "m").open())][-1]["step"] == "60"


def test_stored_and_online_frames_exclude_each_other(shards, caplog):
    words = ["--dataset", str(shards), "--shards", "2", "--config", json.dumps(online_block()), "--seed", "1"]
    assert main(["train_simulator", "--weights", str(shards / "w"), "--metrics", str(shards / "m"), *words]) == 1
    assert "needs neither" in caplog.text
