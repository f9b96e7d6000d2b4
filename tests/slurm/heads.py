"""Heads that submit to the test cluster, and what tests ask of them."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

PROFILE = ("--workflow-profile", "profiles/slurm", "--max-threads", "2", "--latency-wait", "10")
QUICK = ("--slurm-init-seconds-before-status-checks", "2")
TABLE = "results/doom-smoke/table.csv"


def submit(checkout, *words, timeout=280):
    """Run a head to its end; a hang is killed, since SIGTERM alone does not end one."""
    command = [sys.executable, "-m", "snakemake", *PROFILE, *QUICK, *words]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    head = subprocess.Popen(command, cwd=checkout.folder, env=checkout.environment, **settings)
    try:
        output, _ = head.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(head.pid, signal.SIGKILL)
        pytest.fail(f"the head hung:\n{head.communicate()[0][-4000:]}")
    return head.returncode, output


def start(checkout, *words):
    """Start a head in the background; it adds to head.log."""
    command = [sys.executable, "-m", "snakemake", *PROFILE, *QUICK, *words]
    with (checkout.folder / "head.log").open("a") as log:
        return subprocess.Popen(command, cwd=checkout.folder, env=checkout.environment, stdout=log, stderr=log)


def record(path):
    return json.loads(path.with_name(f"{path.name}.provenance.json").read_text())


def wait_for_stage(checkout, stage, seconds=300):
    """The process of `stage` that works in the copy, once it has something to lose."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for lock in (checkout.folder / "results").glob("**/.state/*/lock"):
            if not list(lock.parent.glob("checkpoint*")):
                continue
            try:
                process = psutil.Process(json.loads(lock.read_text())["pid"])
                if stage in process.cmdline():
                    return process
            except (psutil.Error, ValueError):
                continue
        time.sleep(0.05)
    pytest.fail(f"{stage} saved no checkpoint within {seconds} s")


def head_log(checkout):
    """What all heads of the copy have printed so far."""
    return (checkout.folder / "head.log").read_text()


def state_of(cluster, job):
    """RUNNING, COMPLETING, TIMEOUT, ... as the controller has it."""
    return dict(line.split() for line in cluster.jobs("%A %T"))[job]


def running_job(cluster, stage):
    """Number and node of the job that runs `stage`."""
    lines = [line.split() for line in cluster.jobs("%A %T %N %k")]
    return next((job, node) for job, status, node, *comment in lines if status == "RUNNING" and stage in comment[0])
