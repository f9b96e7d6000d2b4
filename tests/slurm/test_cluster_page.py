"""docs/cluster.md, followed literally: every command of the page runs on the local SLURM, or is parsed by what would run it.

Commands that compute are given `-n`, and `sbatch` is given `--test-only`; `test_the_five_steps` runs the fourth step in
earnest. Of the first step, it is only looked whether there is such a target: these tests run in what it makes.
"""

import re
import shlex
import subprocess
import sys

import pytest
import yaml

from on_path import CONDA_ANSWERS, put_first_on_path
from worldmodels.figures.claims_page import REPOSITORY

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]
PAGE = (REPOSITORY / "docs" / "cluster.md").read_text()
PROGRAMS = ("snakemake", "generate-slurm-partition-config", "sbatch", "python", "make", "source")
LOCAL_CORES = "8"


def commands_of(page):
    """Every command line of a page: of its sh blocks, and of its code spans that begin with one of PROGRAMS."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    spans = [span for span in spans if span.split()[0] in PROGRAMS and " " in span]
    found = [tuple(shlex.split(line.split(" > ")[0], comments=True)) for line in [*lines, *spans]]
    return list(dict.fromkeys(found))


COMMANDS = commands_of(PAGE)


@pytest.fixture
def follow(submitting):
    """A function that runs words in the copy of the project on the cluster; returns what they print."""

    def run(*words, timeout=280):
        settings = {"capture_output": True, "text": True, "cwd": submitting.folder, "env": submitting.environment}
        result = subprocess.run(words, timeout=timeout, **settings)
        assert result.returncode == 0, f"{shlex.join(words)}\n{result.stdout[-2000:]}{result.stderr[-4000:]}"
        return result.stdout + result.stderr

    # Step 2 of the page: the cores of the smallest node.
    submitting.edit("profiles/slurm/profile.yaml", "max-threads: 16", f"max-threads: {LOCAL_CORES}")
    run.checkout = submitting
    return run


def dry(follow, words):
    """Run Snakemake with the page's own words, and `-n`."""
    if "--containerize" in words:
        return follow(*words)
    return follow("snakemake", "-n", *words[1:])


@pytest.mark.parametrize("words", COMMANDS, ids=shlex.join)
def test_every_command_of_the_page_is_understood(follow, words, tmp_path):
    program = words[0]
    if "conda" in words or "--containerize" in words:
        put_first_on_path(follow.checkout, tmp_path, "conda", CONDA_ANSWERS)
    if program == "snakemake":
        printed = dry(follow, words)
        assert "--containerize" in words or "This was a dry-run" in printed or "Nothing to be done" in printed
    elif program == "python":
        script, *command = words[1:]
        assert command[0] == "snakemake"
        printed = follow(sys.executable, str(REPOSITORY / script), "snakemake", "-n", *command[1:])
        assert "This was a dry-run" in printed
    elif program == "sbatch":
        assert words[-2] == "--wrap"
        assert "to start at" in follow("sbatch", "--test-only", *words[1:])
        assert "This was a dry-run" in dry(follow, shlex.split(words[-1]))
    elif program == "generate-slurm-partition-config":
        follow(*words)
        assert set(draft(follow)["partitions"]) == {"cpu", "gpu"}
    elif program == "make":
        assert re.search(rf"^{words[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    else:
        assert words == ("source", ".venv/bin/activate"), f"this test does not know how to check {shlex.join(words)}"


def draft(follow):
    """Step 2's draft of the partitions."""
    return yaml.safe_load((follow.checkout.folder / "profiles/slurm/partitions.yaml").read_text())


def test_the_page_has_its_five_steps():
    """Or the tests here would pass on an empty page."""
    steps = re.findall(r"^(\d)\. \*\*", PAGE.split("## The first run on a new cluster, in five steps")[1], re.MULTILINE)
    assert steps[:5] == list("12345")
    programs = [words[0] for words in COMMANDS]
    assert set(programs) == set(PROGRAMS) and programs.count("snakemake") >= 6


def test_settings_that_the_page_names_are_known(follow):
    """What it says to put into the profile."""
    settings = (
        "set-resources: {train_vae: {gpu_model: a100}}",
        "slurm-array-jobs: collect_rollouts",
        "latency-wait",
        "retries: 3",
    )
    assert all(f"`{one}" in PAGE for one in settings)
    profile = follow.checkout.folder / "profiles/slurm/profile.yaml"
    profile.write_text("\n".join([profile.read_text(), *settings[:2]]) + "\n")
    printed = follow("snakemake", "-n", "--workflow-profile", "profiles/slurm", "results/doom/table.csv")
    assert "gpu_model=a100" in printed


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_five_steps(follow):
    """In order, on one copy: the draft that step 2 writes, with max_gpu added as it says, carries steps 3 and 4."""
    generate = next(words for words in COMMANDS if words[0] == "generate-slurm-partition-config")
    look = next(words for words in COMMANDS if words[:2] == ("snakemake", "-n"))
    whole_path = next(words for words in COMMANDS if words[0] == "snakemake" and words[-1] == "smoke")
    follow(*generate)
    partitions = draft(follow)
    for name, options in partitions["partitions"].items():
        if name == "gpu" and not options.get("max_gpu"):
            options["max_gpu"] = 2  # the node's
    (follow.checkout.folder / "profiles/slurm/partitions.yaml").write_text(yaml.safe_dump(partitions))
    assert re.search(r"train_vae +3\n", follow(*look))
    follow(*whole_path, timeout=1300)
    assert (follow.checkout.folder / "results/doom-smoke/videos/dream.html").exists()
