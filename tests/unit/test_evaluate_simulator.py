"""The stage that scores simulators: resumed after a kill with the same bytes; and the baselines that know nothing."""

import json

import h5py
import numpy as np
import pytest
import torch
from test_atari_store import make_shard
from test_train_simulator import train

from worldmodels.__main__ import INTERRUPTED, main
from worldmodels.config.acvp_presets import mean_frame
from worldmodels.data.windows import Windows
from worldmodels.models.video.files import build_network
from worldmodels.simulators.error_file import read_errors
from worldmodels.simulators.prediction_error import batch_errors, frame_error
from worldmodels.simulators.video import VideoSimulator
from worldmodels.stages import evaluate_simulator


@pytest.fixture
def trained(tmp_path):
    for number in range(2):
        make_shard(tmp_path / f"train-{number:03d}.h5", start=60 * number)
    assert train(tmp_path) == 0
    return tmp_path


def evaluate(folder, name):
    block = {"kind": "res", "sequences": 7, "horizon": 4, "warm_up": 2, "batch_size": 2}
    words = [
        "--weights",
        folder / "a.safetensors",
        "--shards",
        folder / "train-000.h5",
        "--output",
        folder / f"{name}.h5",
    ]
    words += ["--device", "cpu", "--threads", 1, "--config", json.dumps(block)]
    return main(["evaluate_simulator", *map(str, words)])


def test_simulator_of_another_game_is_refused(trained, caplog):
    """Nearly all games have the same 18 actions: only its own word tells."""
    with h5py.File(trained / "train-000.h5", "r+") as file:
        game, file.attrs["game"] = file.attrs["game"], "seaquest"
    assert evaluate(trained, "other") == 1
    assert f"was trained on {game}, not on seaquest" in caplog.text and "Traceback" not in caplog.text


def test_killed_after_two_batches_it_goes_on_to_the_same_bytes(trained, monkeypatch):
    assert evaluate(trained, "whole") == 0
    scored, wanted = [], evaluate_simulator.batch_errors

    def dies_in_the_third(*words, **options):
        for number, part in enumerate(wanted(*words, **options)):
            if number == 2:
                raise KeyboardInterrupt
            scored.append(part)
            yield part

    monkeypatch.setenv("WORLDMODELS_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr(evaluate_simulator, "batch_errors", dies_in_the_third)
    assert evaluate(trained, "killed") == INTERRUPTED
    seen = []

    def counted(*words, **options):
        for part in wanted(*words, **options):
            seen.append(part)
            yield part

    monkeypatch.setattr(evaluate_simulator, "batch_errors", counted)
    assert evaluate(trained, "killed") == 0
    assert (len(scored), len(seen)) == (2, 2), "four batches in all, none of them twice"
    assert (trained / "killed.h5").read_bytes() == (trained / "whole.h5").read_bytes()
    assert read_errors(trained / "whole.h5")[0].errors.shape == (7, 4)


def test_mean_frame_is_that_of_the_first_frames():
    """What it shows does not depend on what it sees; its error is that of the mean."""
    source = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (3, 7, 8, 8, 1), dtype=torch.uint8, generator=source)
    network = build_network(mean_frame(height=8, width=8, channels=1, actions=3).model)
    network.set_mean(frames.flatten(0, 1))
    windows = Windows(
        frames, torch.zeros(3, 6, dtype=torch.long), torch.zeros(3, 6), torch.zeros(3, 6, dtype=torch.bool)
    )
    (errors,) = batch_errors(VideoSimulator(network), [windows], 2, 3)
    mean = frames.flatten(0, 1).float().mean(dim=0).round().to(torch.uint8)
    expected = [frame_error(mean.expand(3, -1, -1, -1), frames[:, step]).numpy() for step in (3, 4, 5)]
    np.testing.assert_allclose(errors.errors, np.stack(expected, axis=1), rtol=1e-6)
