"""What is checked before a head submits anything, as far as no SLURM is needed."""

import json
import math
import os

import pytest
from snakemake_executor_plugin_slurm.partitions import read_partition_file

from worldmodels.errors import UserError
from worldmodels.runtime import head
from worldmodels.runtime.cluster import minutes, require_place, require_workflow_profile


@pytest.fixture
def profiles(tmp_path):
    for name in ("default", "slurm"):
        (tmp_path / "profiles" / name).mkdir(parents=True)
        (tmp_path / "profiles" / name / "profile.yaml").write_text("jobs: 1\n")
    return tmp_path / "profiles"


@pytest.mark.parametrize(
    "words", [["--workflow-profile", "slrum"], ["--workflow-profile=slrum"], ["--workflow-prof", "slrum"]]
)
def test_misspelt_profile_is_an_error(profiles, words):
    with pytest.raises(UserError, match=r"Did you mean '.*slurm'"):
        require_workflow_profile(["snakemake", "-n", *words, "smoke"], profiles)


def test_profiles_by_name_by_path_and_none_are_fine(profiles):
    for value in ("slurm", str(profiles / "slurm"), str(profiles / "slurm" / "profile.yaml"), "none"):
        require_workflow_profile(["snakemake", "--workflow-profile", value], profiles)
    require_workflow_profile(["snakemake", "--cores", "2"], profiles)
    (profiles / "slurm" / "profile.yaml").rename(profiles / "slurm" / "profile.v9+.yaml")
    require_workflow_profile(["snakemake", "--workflow-profile", "slurm"], profiles)


def test_time_limits_as_sinfo_prints_them():
    assert [minutes(limit) for limit in ("30:00", "4:00:00", "1-12:00:00", "infinite")] == [30, 240, 2160, math.inf]


class Job:
    """What the SLURM plugin asks of one of Snakemake's jobs."""

    name, threads = "train_simulator", 8

    def __init__(self, **resources):
        self.resources = {"mem_mb": 8000, "_cores": 8, **resources}


def test_job_that_no_partition_takes_is_an_error(tmp_path):
    """Without this a stage that wants a GPU for too long went to the default partition, which may have none."""
    path = tmp_path / "partitions.yaml"
    path.write_text("partitions:\n  cpu: {max_runtime: 1d, max_gpu: 0}\n  gpu: {max_runtime: 1440, max_gpu: 4}\n")
    partitions = read_partition_file(path)
    for fine in (Job(runtime=1440, gpu=1), Job(runtime=60), Job(runtime=9000, slurm_partition="long")):
        require_place(fine, partitions)
    require_place(Job(runtime=9000), [])  # a profile without a list leaves the choice to SLURM
    for long in (Job(runtime=1441, gpu=1), Job(runtime=60, gpu=5)):
        with pytest.raises(UserError, match="takes a job of train_simulator, which asks for 8 cores, "):
            require_place(long, partitions)


def test_second_head_learns_who_is_first(tmp_path):
    first = head.take_lock(tmp_path / "results")
    with pytest.raises(UserError, match=f"another snakemake \\(process {os.getpid()} on "):
        head.take_lock(tmp_path / "results")
    first.close()
    with head.take_lock(tmp_path / "results"):
        assert json.loads((tmp_path / "results" / ".lock").read_text())["pid"] == os.getpid()


def test_clocks_that_differ_are_an_error(tmp_path, monkeypatch):
    now = head.time.time
    monkeypatch.setattr(head.time, "time", lambda: now() + 60)
    with pytest.raises(UserError, match="differ by 60 s"):
        head.take_lock(tmp_path / "results")


def test_results_that_cannot_be_written(on_small_disk):
    """A file system mounted read-only stops root too."""
    script = """
import subprocess
from pathlib import Path
from worldmodels.errors import UserError
from worldmodels.runtime.head import take_lock
subprocess.run(["mount", "-o", "remount,ro", "small"], check=True)
try:
    take_lock(Path("small/results"))
except UserError as error:
    print(error)
"""
    assert "cannot be written: Read-only file system" in on_small_disk(script, 100)


@pytest.mark.parametrize("folder", ["results", ".snakemake"])
@pytest.mark.parametrize("words", [["--cores", "2"], ["-np"], ["--report", "report.html"]])
def test_old_results_that_cannot_be_written(on_small_disk, folder, words):
    """Snakemake would end in a list of protected files or in a traceback; whoever only reads results may."""
    script = f"""
import subprocess
from pathlib import Path
from worldmodels.errors import UserError
from worldmodels.runtime.head import require_writable
for name in ("results", ".snakemake"):
    Path("small", name).mkdir()
require_writable(Path("small"), {words!r})
subprocess.run(["mount", "-o", "remount,ro", "small"], check=True)
Path("kept").mkdir()
for name in {{"results", ".snakemake"}} - {{{folder!r}}}:
    Path("kept", name).mkdir()
Path("kept/{folder}").symlink_to(Path("small/{folder}").resolve())
try:
    require_writable(Path("kept"), {words!r})
    print("may be read")
except UserError as error:
    print(error)
"""
    said = on_small_disk(script, 100)
    if folder == "results" and words[0] != "--cores":
        assert "may be read" in said
    else:
        assert f"small/{folder} cannot be written: it is read-only for you" in said
