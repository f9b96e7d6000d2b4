"""The SLURM profile on a real SLURM: munge, slurmctld and two slurmd, started here and taken down again."""

import re
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from heads import TABLE, head_log, record, running_job, start, state_of, submit, wait_for_stage
from safetensors import safe_open

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]


def test_gpu_stages_get_gpus_of_their_own_and_queue_for_them(submitting, cluster):
    """Three stages that want a GPU, on a cluster with two: two run beside each other, the third waits."""
    targets = [f"results/doom-smoke/seed-{seed}/models/vae-untrained/weights.safetensors" for seed in (1, 2, 3)]
    status, output = submit(submitting, "--set-resources", "initialise_vae:gpu=1", "--", *targets)
    assert status == 0, output[-4000:]
    assert "Using workflow specific profile profiles/slurm" in output
    allocations = [record(submitting.folder / target)["slurm"] for target in targets]
    assert {one["gpus"] for one in allocations} == {"0", "1"} and {one["node"] for one in allocations} == {"n1"}
    spans = sorted(line.split() for line in cluster.jobs("%S %e %P %k") if "initialise_vae" in line)
    (_, first_end, *_), (second_start, second_end, *_), (third_start, _, partition, *_) = spans
    assert partition == "gpu" and second_start < first_end and third_start >= min(first_end, second_end)


def test_mistakes_end_in_one_sentence_before_anything_is_submitted(submitting, cluster):
    known = cluster.jobs()
    target = "results/data/doom-random-smoke/000.h5"
    status, output = submit(submitting, "--max-threads", "64", TABLE)
    assert status != 0 and "a job asks for 64 cores, but the largest node has 8" in output
    submitting.edit("profiles/slurm/partitions.yaml", "  gpu:\n    max_runtime: 1440", "  gpu:\n    max_runtime: 9000")
    status, output = submit(submitting, target)
    assert status != 0 and "partition 'gpu' runs no job longer than 1440 minutes" in output
    submitting.edit("profiles/slurm/partitions.yaml", "  gpu:", "  gpus:")
    status, output = submit(submitting, target)
    assert status != 0 and "SLURM has no partition 'gpus'; it has cpu, gpu" in output
    (submitting.folder / "slurm.conf").write_text("this is no configuration\n")
    submitting.environment["SLURM_CONF"] = str(submitting.folder / "slurm.conf")
    status, output = submit(submitting, target)
    assert status != 0 and "SLURM does not answer" in output
    assert cluster.jobs() == known


def test_machine_without_slurm_says_so(checkout):
    programs = checkout.folder / "bin"
    programs.mkdir()
    for name in ("bash", "sh", "which", "git"):
        (programs / name).symlink_to(shutil.which(name))
    checkout.environment["PATH"] = f"{Path(sys.executable).parent}:{programs}"
    status, output = submit(checkout, TABLE)
    assert status != 0 and "this machine has no sbatch" in output


def wait_for_an_episode(checkout, seconds=120):
    """Until a checkpoint of a shard holds an episode, so that going on from it can be told from beginning anew."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for path in (checkout.folder / "results").glob("data/*/.state/*/checkpoint.safetensors"):
            with suppress(OSError), safe_open(path, "numpy") as checkpoint:
                if "seeds" in checkpoint.keys():  # noqa: SIM118 (safe_open is no dict)
                    return
        time.sleep(0.02)
    pytest.fail(f"no episode was saved within {seconds} s")


def test_cancelled_job_is_submitted_again_and_goes_on(submitting, cluster):
    """Somebody's scancel in the middle of a stage: the profile's retries submit it again, and it resumes."""
    target = "results/data/doom-random-smoke/000.h5"
    submitting.edit(
        "config.yaml", "    episodes_per_shard: 4\n    shards: 2", "    episodes_per_shard: 12\n    shards: 1"
    )
    head = start(submitting, target)
    stage = wait_for_stage(submitting, "collect_rollouts")
    wait_for_an_episode(submitting)
    stage.suspend()  # or it might end before scancel reaches it
    job, _ = running_job(cluster, "collect_rollouts")
    assert not (submitting.folder / target).exists()
    cluster.run("scancel", job)
    with suppress(psutil.NoSuchProcess):  # SLURM itself lets it go on before it sends SIGTERM
        stage.resume()
    assert head.wait(timeout=200) == 0, head_log(submitting)[-4000:]
    assert state_of(cluster, job) == "CANCELLED"
    again = record(submitting.folder / target)
    assert again["slurm"]["job"] != job and state_of(cluster, again["slurm"]["job"]) == "COMPLETED"
    assert again["checkpoints"]["earlier_processes"] == 1, "the cancelled job's work is in the record of the second"
    log = (submitting.folder / "results/data/doom-random-smoke/logs/000.log").read_text()
    assert re.search(r"shard 0: going on at \d+ of 12 episodes", log), "the stage began again from nothing"
