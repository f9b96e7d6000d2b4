"""A person plays: a real window on a virtual display, and real key events."""

import subprocess
import sys
import time

import imageio.v2 as imageio
import numpy as np
import pytest
from player import Player

pytestmark = [pytest.mark.workflow, pytest.mark.doom, pytest.mark.timeout(1800)]


def pictures(path):
    """The real game's part of each picture of a film, with few pixels."""
    return [picture[60:-80:4, 400::4].astype(np.int16) for picture in imageio.get_reader(path)]


def test_keys_move_both_games_and_begin_and_end_them(finished, display, tmp_path):
    still = Player(finished, display, "doom-smoke", "--real", "--steps", "70", "--film", str(tmp_path / "still.mp4"))
    told = still.end()
    assert "dream: " in told and "real game: " in told and "steps a second" in told
    moved = Player(finished, display, "doom-smoke", "--real", "--steps", "5000", "--film", str(tmp_path / "moved.mp4"))
    moved.wait()
    moved.xdotool("keydown", "Left")
    time.sleep(4)
    moved.xdotool("keyup", "Left")
    moved.xdotool("key", "plus", "plus", "minus", "plus")
    moved.xdotool("key", "r")
    time.sleep(0.5)
    moved.xdotool("key", "Escape")
    told = moved.end()
    without, with_key = pictures(tmp_path / "still.mp4"), pictures(tmp_path / "moved.mp4")
    steps = int(told.split("real game: ")[1].split()[0])
    assert "at temperature 1.25" in told  # 1.15 and two steps of 0.05
    assert steps < len(with_key) < 5000  # r began another episode, and esc ended it
    assert np.abs(without[0] - with_key[0]).mean() < 4  # the same episode, less what two films lose
    step = min(len(without), len(with_key) - steps) - 1
    assert np.abs(without[step] - with_key[step]).mean() > 5  # seen from another place


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["doom-smok"], "there is no experiment 'doom-smok'"),
        (["atari-res-smok", "--simulator", "pdt-0"], "Did you mean 'atari-res-smoke'"),
        (["doom-smoke", "--simulator", "pdt-0"], "--simulator is for experiments with Atari simulators"),
        (["doom-smoke", "--film", "dream.gif"], "--film is dream.gif, but it must be a file *.mp4"),
        (["doom"], "is not built: snakemake --cores all results/doom/seed-1/models/vae/weights.safetensors"),
        (["doom-smoke", "--temperature", "0"], "--temperature is 0.0, but it must be a finite number above 0."),
        (["atari-res-smoke", "--simulator", "ress"], "has no simulator 'ress'."),
        (["doom-smoke"], "there is no display to play on"),
    ],
)
def test_mistakes_end_in_one_sentence(finished, words, sentence):
    command = [sys.executable, "-m", "worldmodels", "play", *words]
    environment = {key: value for key, value in finished.environment.items() if not key.endswith("DISPLAY")}
    result = subprocess.run(
        command, cwd=finished.folder, env=environment | {"SDL_VIDEODRIVER": "x11"}, capture_output=True, text=True
    )
    assert result.returncode == 1 and sentence in result.stderr and len(result.stderr.splitlines()) == 1
