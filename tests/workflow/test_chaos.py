"""Chaos: processes of doom-smoke are killed at random moments, the disk fills up, files are cut short; no byte differs.

`make chaos` runs it and writes its counts into docs/architecture.md.
"""

import os
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from products import checksums
from worldmodels.figures.claims_page import REPOSITORY
from worldmodels.provenance import git_commit

pytestmark = pytest.mark.workflow
SEED = 2026
KILLS = 20
LIMIT_SECONDS = 900
"""For all of it but the undisturbed run that it is compared with."""
PAGE_VARIABLE = "WORLDMODELS_CHAOS_PAGE"
"""Environment variable that names the page to write the counts into."""
MARKS = "<!-- make chaos -->", "<!-- end of make chaos -->"
LONGEST_PAUSE_SECONDS = 12.0
DISK_MEGABYTES = 400
TARGET = "results/doom-smoke/table.csv"


@pytest.fixture
def small_disk(checkout):
    """The results folder of the copy on a file system of its own, which a test can fill."""
    folder = checkout.folder / "results"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def start_head(checkout):
    environment = checkout.environment | {"WORLDMODELS_CHECKPOINT_SECONDS": "0.2"}
    with (checkout.folder / "head.log").open("a") as log:
        return subprocess.Popen(checkout.command(TARGET), cwd=checkout.folder, env=environment, stdout=log, stderr=log)


def processes_below(head):
    """The head, its stages and their workers."""
    try:
        ours = psutil.Process(head.pid)
        return [ours, *ours.children(recursive=True)]
    except psutil.Error:
        return []


def description(process):
    words = process.cmdline()
    if "worldmodels" in words:
        return words[words.index("worldmodels") + 1]
    return "snakemake" if "snakemake" in words else "worker"


def wait_until_quiet(head, processes):
    """The head's end, and that of all its processes: stages notice within seconds that their head is gone."""
    head.wait(timeout=200)
    psutil.wait_procs(processes, timeout=60)


def kill_one(checkout, source):
    """Run the command, kill one of its processes at a random moment; returns which, or None if it finished before."""
    head = start_head(checkout)
    pause = source.uniform(2.0, LONGEST_PAUSE_SECONDS)
    try:
        head.wait(timeout=pause)
    except subprocess.TimeoutExpired:
        processes = processes_below(head)
        victim = source.choice(processes)
        try:
            name = description(victim)
            victim.kill()
        except psutil.Error:
            name = None  # it ended by itself in this very moment
        wait_until_quiet(head, processes)
        return name
    return None


def fill_disk(checkout, folder):
    """One run on a full disk: it must end by itself, and say why."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        while True:
            try:
                file.write(bytes(1 << 20))
                file.flush()
            except OSError:
                break
    head = start_head(checkout)
    assert head.wait(timeout=200) != 0, "the run went on without a disk"
    filler.unlink()


def cut_short(path):
    os.truncate(path, path.stat().st_size // 2)


def in_words(kills, remade, compared, seconds):
    """The counts of a run in which no byte differed."""
    counts = ", ".join(f"{name} {kills.count(name)}" for name in sorted(set(kills)))
    return (
        f"One run (commit {(git_commit() or 'unknown')[:7]}, seed {SEED}): {len(kills)} kills ({counts}), 1 full disk, 2 files cut, "
        f"{remade} finished files that Snakemake had deleted and the stage took back or made again; losses: 0 of {compared} "
        f"products differ; {seconds:.0f} s of at most {LIMIT_SECONDS}."
    )


def publish(page, words):
    """Replace what stands between the marks of a page."""
    first, last = MARKS
    text, count = re.subn(f"{first}.*?{last}", lambda _: f"{first}{words}{last}", page.read_text(), flags=re.DOTALL)
    assert count == 1, f"{page} has the marks {count} times"
    page.write_text(text)


def test_counts_are_published_where_the_page_has_them(tmp_path):
    """Nothing else of the page changes, and a second run replaces the first."""
    page = tmp_path / "architecture.md"
    shutil.copy(REPOSITORY / "docs/architecture.md", page)
    before, after = (re.split("|".join(MARKS), page.read_text())[part] for part in (0, 2))
    for words in ("first words", in_words(["snakemake", "worker", "worker"], 1, 30, 487.2)):
        publish(page, words)
        assert page.read_text() == f"{before}{MARKS[0]}{words}{MARKS[1]}{after}"
    assert (
        "3 kills (snakemake 1, worker 2)" in words and "losses: 0 of 30 products differ; 487 s of at most 900" in words
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_chaos_changes_no_byte(small_disk, checkout, finished, capsys):
    source = random.Random(SEED)
    kills, remade, known = [], [], {}
    full_at, cut_at, spoiled = 6, 12, None
    begin = time.monotonic()
    while len(kills) < KILLS:
        kills += [name for name in [kill_one(checkout, source)] if name is not None]
        present = sound_products(checkout, spoiled)
        # A head that dies between a stage's end and its own note of it lets the next one delete the output: the stage takes
        # it back (runtime/finished.py), but another kill may come before.
        remade += [path for path, checksum in known.items() if present.get(path) != checksum]
        if TARGET.removeprefix("results/") in checksums(checkout):
            shutil.rmtree(
                small_disk / "doom-smoke"
            )  # finished before all kills were done: begin anew, from the rollouts
        if len(kills) >= full_at:
            fill_disk(checkout, small_disk)
            full_at = KILLS + 1
        if len(kills) >= cut_at and spoiled is None:
            spoiled = cut_files(small_disk)
        known = sound_products(checkout, spoiled)
    assert spoiled is not None and full_at > KILLS, "there was nothing to cut, or no kill before the disk was filled"
    for _ in range(2):  # the first may only find the file that was cut
        if start_head(checkout).wait(timeout=400) == 0:
            break
    ours, expected = checksums(checkout), checksums(finished)
    assert ours == {path: expected[path] for path in ours} and "doom-smoke/table.csv" in ours
    log = (checkout.folder / "head.log").read_text()
    assert "the disk is full" in log and "going on at" in log
    seconds = time.monotonic() - begin
    words = in_words(kills, len(remade), len(ours), seconds)
    with capsys.disabled():
        print(f"\nchaos: {words}", end="")
    assert seconds <= LIMIT_SECONDS, f"it took {seconds:.0f} s"
    if PAGE_VARIABLE in os.environ:
        publish(Path(os.environ[PAGE_VARIABLE]), words)


def sound_products(checkout, spoiled):
    """Checksums of finished products that nothing may change from here on: where a file was cut, what follows it may."""
    products = checksums(checkout)
    if spoiled is None:
        return products
    return {
        path: checksum for path, checksum in products.items() if path.startswith("data/") and not spoiled.endswith(path)
    }


def cut_files(results):
    """Cut a finished file and a checkpoint in the middle, as a dying machine leaves them; the former, or None without both."""
    finished = sorted(results.glob("doom-smoke/seed-1/latents.h5")) or sorted(results.glob("data/*/000.h5"))
    checkpoints = sorted(results.glob("**/.state/*/checkpoint.safetensors"))
    if not finished or not checkpoints:
        return None
    cut_short(finished[0])
    cut_short(checkpoints[0])
    return str(finished[0])
