"""Checkpoints and locks: what survives, and what never goes on over the wrong work."""

import json
import multiprocessing
import os
import signal
import time

import pytest
import torch

from worldmodels.errors import UserError
from worldmodels.runtime import heartbeat
from worldmodels.runtime import state as state_module
from worldmodels.runtime.state import StateFolder, state_root
from worldmodels.runtime.stop import Interrupted, StopRequest


def test_checkpoint_comes_back_as_it_was(state):
    state.save({"weights": torch.arange(3.0)}, {"step": 7})
    tensors, meta = state.load()
    assert tensors["weights"].tolist() == [0, 1, 2]
    assert meta == {"step": 7}


def test_truncated_checkpoint_falls_back_to_the_one_before(state):
    state.save({"weights": torch.zeros(1000)}, {"step": 1})
    state.save({"weights": torch.ones(1000)}, {"step": 2})
    newest = state.path / "checkpoint.safetensors"
    os.truncate(newest, newest.stat().st_size // 2)
    assert state.load()[1] == {"step": 1}


def test_other_key_means_other_folder(tmp_path):
    """Changed code, config or inputs must not go on from a checkpoint of the old ones."""
    output = tmp_path / "results" / "toy" / "output.bin"
    with StateFolder(output, "a" * 64, StopRequest()) as old:
        old.save({}, {"step": 1})
    with StateFolder(output, "b" * 64, StopRequest()) as new:
        assert new.load() is None


def _owner(work, output):
    """A process that does `work`, once it has the lock."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    owner = context.Process(target=work, args=(output, ready))
    owner.start()
    assert ready.wait(30)
    return owner


def _hold(output, ready):
    with StateFolder(output, "0" * 64, StopRequest()):
        ready.set()
        time.sleep(60)


def test_lock_is_respected_and_ends_with_a_killed_owner(tmp_path, monkeypatch):
    monkeypatch.setattr(state_module, "LOCK_PATIENCE_SECONDS", 0.5)
    output = tmp_path / "results" / "toy" / "output.bin"
    owner = _owner(_hold, output)
    with pytest.raises(UserError, match=f"in use by process {owner.pid}"), StateFolder(output, "0" * 64, StopRequest()):
        pass
    os.kill(owner.pid, signal.SIGKILL)
    owner.join()
    with StateFolder(output, "0" * 64, StopRequest()) as folder:
        assert json.loads((folder.path / "lock").read_text())["pid"] == os.getpid()


def _finish_while_others_wait(output, ready):
    with StateFolder(output, "0" * 64, StopRequest()) as folder:
        ready.set()
        time.sleep(1)
        folder.remove()


def test_who_waited_for_a_lock_that_was_removed_takes_the_new_one(tmp_path, monkeypatch):
    """The lock of a file that is no more keeps nobody out."""
    monkeypatch.setattr(state_module, "LOCK_PATIENCE_SECONDS", 20)
    output = tmp_path / "results" / "toy" / "output.bin"
    owner = _owner(_finish_while_others_wait, output)
    with StateFolder(output, "0" * 64, StopRequest()) as folder:
        owner.join()
        assert (folder.path / "lock").exists()
        monkeypatch.setattr(state_module, "LOCK_PATIENCE_SECONDS", 0.5)
        with pytest.raises(UserError, match="in use by process"), StateFolder(output, "0" * 64, StopRequest()):
            pass


def test_finishing_leaves_the_folder_of_another_key_to_who_works_in_it(tmp_path):
    output = tmp_path / "results" / "toy" / "output.bin"
    with StateFolder(output, "a" * 64, StopRequest()) as running, StateFolder(output, "b" * 64, StopRequest()) as other:
        other.remove()
        assert running.path.exists() and not other.path.exists()


def _save_once_and_hold(output):
    heartbeat.BEAT_SECONDS = 0.1
    with StateFolder(output, "0" * 64, StopRequest()) as folder:
        folder.save({"weights": torch.zeros(10)}, {"step": 1})
        time.sleep(60)


def _kill_after_a_second(output):
    """Kill a process that holds the folder; returns what its last beats but one say that it lived, and what we saw."""
    begin = time.monotonic()
    owner = multiprocessing.get_context("spawn").Process(target=_save_once_and_hold, args=(output,))
    owner.start()
    beat = {"started": 0, "time": 0}
    while beat.get("pid") != owner.pid or beat["time"] - beat["started"] < 1 or not beat["checkpoints"]:
        assert owner.is_alive() and time.monotonic() - begin < 60
        time.sleep(0.05)
        found = list(output.parent.glob(".state/*/heartbeat.json"))
        beat = json.loads(found[0].read_text()) if found else beat
    os.kill(owner.pid, signal.SIGKILL)
    owner.join()
    return beat["time"] - beat["started"], time.monotonic() - begin


def test_costs_are_of_all_processes_though_they_were_killed(tmp_path):
    """What the next process knows of them is their last heartbeat."""
    output = tmp_path / "results" / "toy" / "output.bin"
    kills = [_kill_after_a_second(output) for _ in range(2)]
    with StateFolder(output, "0" * 64, StopRequest()) as folder:
        folder.save({"weights": torch.zeros(10)}, {"step": 2})
        costs = folder.finish()
        assert folder.costs.count == 1, "of this process alone"
        folder.remove()
    assert costs.earlier_processes == 2 and costs.count == 3
    assert sum(lived for lived, _ in kills) <= costs.earlier_seconds <= sum(seen for _, seen in kills)
    assert costs.seconds > folder.costs.seconds
    with StateFolder(output, "0" * 64, StopRequest()) as again:
        assert again.finish().earlier_processes == 0, "the work was finished: this is another one"


def test_stop_request_ends_work_after_a_checkpoint(state):
    state.stop.reason = "received SIGTERM"
    assert state.due
    with pytest.raises(Interrupted, match="received SIGTERM"):
        state.leave_if_stopped()


def test_state_lies_in_the_experiments_folder(tmp_path):
    results = tmp_path / "results"
    assert state_root(results / "doom" / "seed-1" / "latents.h5") == results / "doom" / ".state"
    assert state_root(results / "data" / "doom-random" / "003.h5") == results / "data" / "doom-random" / ".state"
    assert state_root(tmp_path / "elsewhere" / "x.csv") == tmp_path / "elsewhere" / ".state"


def test_checkpoint_on_a_full_disk_is_one_sentence_and_keeps_the_one_before(on_small_disk):
    script = """
from pathlib import Path
import torch
from worldmodels.errors import UserError
from worldmodels.runtime.state import StateFolder
from worldmodels.runtime.stop import StopRequest
with StateFolder(Path("small/results/toy/output.bin"), "0" * 64, StopRequest()) as state:
    state.save({"x": torch.zeros(100)}, {"step": 1})
    try:
        state.save({"x": torch.zeros(1_000_000)}, {"step": 2})
    except UserError as error:
        print(error)
    print(state.load()[1])
"""
    output = on_small_disk(script, 500)
    assert "the disk is full" in output and "{'step': 1}" in output
