"""Shards: whole, checked, the same bytes each time, and memory that stays flat."""

import json
import os

import h5py
import numpy as np
import psutil
import pytest

from worldmodels.config.datasets import HeldRandomPolicy, ShardOptions
from worldmodels.config.tasks import TakeCoverOptions
from worldmodels.data import collection
from worldmodels.data.collection import collect_shard, shard_seed
from worldmodels.data.rollouts import RolloutFrames, ShardFacts, open_shard, write_shard
from worldmodels.envs.games import load_task
from worldmodels.errors import UserError
from worldmodels.runtime.stop import Interrupted
from worldmodels.seeds import COLLECTION_SEEDS, generator


def make_shard(path, lengths=(70, 30), start=0):
    """Frame n of a shard is filled with the number start + n."""
    steps = sum(lengths)
    frames = (
        np.zeros((steps, 64, 64, 3), np.uint8) + (start + np.arange(steps) % 200).astype(np.uint8)[:, None, None, None]
    )
    facts = ShardFacts(
        np.zeros((steps, 1), np.float32),
        np.ones(steps, np.float32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.ones(len(lengths), bool),
        np.arange(len(lengths)),
    )
    write_shard(path, iter(np.array_split(frames, 7)), facts, "{}", 0)
    return path


def test_frames_come_back_across_chunks_and_shards(tmp_path):
    frames = RolloutFrames([make_shard(tmp_path / "000.h5"), make_shard(tmp_path / "001.h5", (50,), start=100)])
    assert len(frames) == 150
    assert frames.read(60, 110)[:, 0, 0, 0].tolist() == [*range(60, 100), *range(100, 110)]
    assert frames.episode_offsets.tolist() == [0, 70, 100, 150]
    assert frames.chunk_bounds == [(0, 64), (64, 100), (100, 150)]


def test_same_content_is_same_bytes(tmp_path):
    assert make_shard(tmp_path / "a.h5").read_bytes() == make_shard(tmp_path / "b.h5").read_bytes()


def test_truncated_foreign_and_missing_files_are_named(tmp_path):
    path = make_shard(tmp_path / "000.h5")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match=r"000\.h5 is not a complete HDF5 file .* only this shard is collected again"):
        RolloutFrames([path])
    (tmp_path / "001.h5").write_text("no HDF5 at all")
    with pytest.raises(UserError, match=r"001\.h5 is not a complete HDF5 file"):
        open_shard(tmp_path / "001.h5")
    with pytest.raises(UserError, match=r"002\.h5 does not exist"):
        open_shard(tmp_path / "002.h5")


def test_writing_needs_no_memory_for_the_whole_shard(tmp_path):
    """125 GB of frames in RAM was the complaint about the original: here 490 MB pass through less than 120."""
    steps = 40_000
    facts = ShardFacts(
        np.zeros((steps, 1), np.float32),
        np.ones(steps, np.float32),
        np.array([0, steps]),
        np.ones(1, bool),
        np.zeros(1),
    )
    piece = generator("test").integers(0, 128, (100, 64, 64, 3), dtype=np.uint8)
    process, before, peak = psutil.Process(), psutil.Process().memory_info().rss, 0

    def pieces():
        nonlocal peak
        for _ in range(steps // 100):
            peak = max(peak, process.memory_info().rss)
            yield piece

    write_shard(tmp_path / "000.h5", pieces(), facts, "{}", 0)
    assert peak - before < 120e6


def narrow_frames(file):
    del file["frames"]
    file["frames"] = np.zeros((100, 32, 32, 3), np.uint8)


def fewer_deaths(file):
    del file["deaths"]
    file["deaths"] = np.ones(1, bool)


def falling_offsets(file):
    del file["episode_offsets"]
    file["episode_offsets"] = np.array([0, 120, 100])


def no_seeds(file):
    del file["seeds"]


@pytest.mark.parametrize("damage", [narrow_frames, fewer_deaths, falling_offsets, no_seeds])
def test_shard_that_contradicts_itself_is_refused(tmp_path, damage):
    """It would train a model on the wrong actions without a word."""
    path = make_shard(tmp_path / "000.h5")
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(UserError, match=r"000\.h5 is not .* only this shard is collected again"):
        RolloutFrames([path])


def test_full_disk_is_one_sentence_and_leaves_nothing_behind(on_small_disk):
    """HDF5 used to end the interpreter with a segmentation fault here."""
    script = """
from pathlib import Path
import numpy as np
from worldmodels.errors import UserError
from worldmodels.seeds import generator
from worldmodels.data.rollouts import ShardFacts, write_shard
noise = generator("test").integers(0, 128, (500, 64, 64, 3), dtype=np.uint8)
facts = ShardFacts(np.zeros((500, 1)), np.ones(500), np.array([0, 500]), np.ones(1, bool), np.zeros(1))
try:
    write_shard(Path("small/000.h5"), [noise], facts, "{}", 0)
except UserError as error:
    print(error, list(Path("small").iterdir()))
"""
    output = on_small_disk(script, kilobytes=3000)
    assert "small/000.h5 could not be written: the disk is full" in output
    assert output.rstrip().endswith("[]")


OPTIONS = ShardOptions(
    task=TakeCoverOptions(screen_resolution="160x120", max_steps=120),
    policy=HeldRandomPolicy(),
    episodes_per_shard=3,
    shortest_episode=100,
    seed=0,
)
PLAYER = collection.blind_player(OPTIONS.policy, load_task("take_cover"))


@pytest.mark.doom
def test_collection_that_was_killed_ends_with_the_same_bytes(state, tmp_path, monkeypatch):
    collect_shard(tmp_path / "undisturbed.h5", 0, OPTIONS, state, PLAYER)
    for file in state.path.glob("*.safetensors"):
        file.unlink()
    played = 0

    def play_and_stop(*arguments):
        nonlocal played
        played += 1
        if played == 2:
            state.stop.reason = "test"
        return real_play(*arguments)

    real_play = collection.play
    monkeypatch.setattr(collection, "play", play_and_stop)
    with pytest.raises(Interrupted):
        collect_shard(tmp_path / "resumed.h5", 0, OPTIONS, state, PLAYER)
    state.stop.reason = None
    # What a kill leaves behind after the checkpoint must not matter.
    with (state.path / "frames.chunks").open("ab") as file:
        file.write(b"torn")
    collect_shard(tmp_path / "resumed.h5", 0, OPTIONS, state, PLAYER)
    assert (tmp_path / "resumed.h5").read_bytes() == (tmp_path / "undisturbed.h5").read_bytes()
    with open_shard(tmp_path / "resumed.h5") as shard:
        assert len(shard["deaths"]) == 3
        assert np.diff(shard["episode_offsets"][:]).min() >= 100
        assert json.loads(shard.attrs["options"])["episodes_per_shard"] == 3


def test_shards_share_no_episode():
    of_seed = [OPTIONS.model_copy(update={"seed": seed}) for seed in (0, 1, 99)]
    seeds = [shard_seed(one, shard, attempt) for one in of_seed for shard in (0, 1, 999) for attempt in (0, 1, 9999)]
    assert len(set(seeds)) == len(seeds) and max(seeds) in COLLECTION_SEEDS


def test_shard_that_keeps_no_episode_says_so():
    with pytest.raises(UserError, match="too few had 100 frames"):
        shard_seed(OPTIONS, 0, 10_000)


def test_too_little_disk_is_found_before_the_first_frame(state, tmp_path):
    huge = OPTIONS.model_copy(update={"episodes_per_shard": 10**9})
    with pytest.raises(UserError, match=r"needs about .* of disk"):
        collect_shard(tmp_path / "000.h5", 0, huge, state, PLAYER)
