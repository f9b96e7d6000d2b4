"""Kill -9 in every long stage, and of Snakemake itself: the same command ends with the bytes of an undisturbed run."""

import re
import subprocess
import time

import psutil
import pytest

from products import checksums

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
LONG_STAGES = {
    "collect_rollouts": "shard ",
    "train_vae": "train_vae",
    "encode_latents": "encode_latents",
    "train_mdn_rnn": "train_mdn_rnn",
    "evolve_controller": "evolve",
    "evaluate_controller": "play",
}
"""Stages, and what each calls its work in the log."""


def stages_of(head):
    """Running stage processes below a Snakemake head, by stage name."""
    found = {}
    for child in psutil.Process(head.pid).children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.Error:
            continue
        if "worldmodels" in words and words[0].endswith("python"):
            found[words[words.index("worldmodels") + 1]] = child
    return found


def _wait_for_a_checkpoint(checkout, process):
    """Let the stage work until it has something to lose; whether it got there before its end."""
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        for lock in (checkout.folder / "results").glob("**/.state/*/lock"):
            if f'"pid": {process.pid},' in lock.read_text() and (lock.parent / "checkpoint.safetensors").exists():
                return True
        time.sleep(0.01)
    return False


def kill_in(checkout, stage, victim):
    """Start the smoke table, wait until `stage` has saved a checkpoint, and kill it or the head."""
    log = (checkout.folder / "head.log").open("a")
    command = checkout.command("results/doom-smoke/table.csv")
    environment = checkout.environment | {"WORLDMODELS_CHECKPOINT_SECONDS": "0.1"}
    head = subprocess.Popen(command, cwd=checkout.folder, env=environment, stdout=log, stderr=log)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and head.poll() is None:
        running = stages_of(head)
        if stage in running and _wait_for_a_checkpoint(checkout, running[stage]):
            target = psutil.Process(head.pid) if victim == "head" else running[stage]
            target.kill()
            head.wait(timeout=120)
            return
        time.sleep(0.05)
    pytest.fail(f"{stage} was not killed:\n{(checkout.folder / 'head.log').read_text()[-4000:]}")


@pytest.mark.timeout(2400)
def test_killed_everywhere_and_still_the_same_bytes(checkout, finished):
    for stage in LONG_STAGES:
        kill_in(checkout, stage, "stage")
    for stage in ("train_mdn_rnn",):
        for path in (checkout.folder / "results").glob("doom-smoke/seed-1/models/mdn_rnn/*"):
            path.unlink()
        kill_in(checkout, stage, "head")
    result = checkout.snakemake("results/doom-smoke/table.csv")
    assert result.returncode == 0, result.stderr[-5000:]
    expected = checksums(finished)
    ours = checksums(checkout)
    assert ours == {name: expected[name] for name in ours}
    assert "doom-smoke/table.csv" in ours
    # Without this the test would also pass if every stage began again from nothing.
    resumed = (checkout.folder / "head.log").read_text() + result.stdout + result.stderr
    for stage, work in LONG_STAGES.items():
        assert re.search(rf"{work}\d*: going on at [1-9]", resumed), f"{stage} began again from nothing"


@pytest.mark.timeout(1800)
def test_two_runs_make_the_same_bytes(checkout, finished):
    result = checkout.snakemake("results/doom-smoke/table.csv")
    assert result.returncode == 0, result.stderr[-5000:]
    ours, expected = checksums(checkout), checksums(finished)
    assert ours == {name: expected[name] for name in ours} and len(ours) > 10
