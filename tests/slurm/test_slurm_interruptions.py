"""Minutes on a real SLURM: walltimes, dead nodes and dead heads cost time, and not one byte."""

import time

import psutil
import pytest
from heads import TABLE, head_log, running_job, start, state_of, wait_for_stage

from products import checksums

pytestmark = [pytest.mark.slurm, pytest.mark.workflow, pytest.mark.slow]
ON_GPUS = ("--set-resources", "train_vae:gpu=1", "train_mdn_rnn:gpu=1")


def let_walltime_strike(cluster, stage, job):
    """Hold the stage still until its time is over, so that this happens at any speed, then let it answer SIGTERM."""
    stage.suspend()
    deadline = time.monotonic() + 180
    while state_of(cluster, job) == "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.2)
    stage.resume()


@pytest.mark.timeout(1200)
def test_walltime_dead_node_and_dead_head(submitting, cluster, finished):
    head = start(submitting, *ON_GPUS, "train_vae:runtime=1", "--", TABLE)
    stage = wait_for_stage(submitting, "train_vae")
    job, _ = running_job(cluster, "train_vae")
    let_walltime_strike(cluster, stage, job)

    wait_for_stage(submitting, "train_mdn_rnn")
    assert state_of(cluster, job) == "TIMEOUT"
    vae_log = (submitting.folder / "results/doom-smoke/logs/seed-1/train_vae.log").read_text()
    assert "train_vae: going on at" in vae_log, "the stage began again from nothing"
    job, node = running_job(cluster, "train_mdn_rnn")
    assert node == "n1"
    cluster.kill_node(node)
    time.sleep(12)
    cluster.start_node(node)

    stage = wait_for_stage(submitting, "evolve_controller")
    mdn_rnn_log = (submitting.folder / "results/doom-smoke/logs/seed-1/train_mdn_rnn.log").read_text()
    assert "train_mdn_rnn: going on at" in mdn_rnn_log
    job, _ = running_job(cluster, "evolve_controller")
    head.kill()
    head.wait()
    before = head_log(submitting)
    assert psutil.pid_exists(stage.pid), "the job of a dead head goes on, until the next head cancels it"
    head = start(submitting, *ON_GPUS, "--", TABLE)
    assert head.wait(timeout=400) == 0, head_log(submitting)[-5000:]
    again = head_log(submitting)[len(before) :]
    assert f"Cancelled SLURM job {job}" in again
    assert "rule train_vae" not in again and "rule train_mdn_rnn" not in again, "finished work was done again"
    ours, expected = checksums(submitting), checksums(finished)
    assert ours == {name: expected[name] for name in ours} and "doom-smoke/table.csv" in ours
