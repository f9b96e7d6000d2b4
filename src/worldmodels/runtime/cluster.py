"""What must hold before a head submits its first job: a profile that exists, a SLURM that answers, jobs that fit.

Snakemake ignores a misspelt workflow profile, SLURM keeps a job that fits on no node in its queue for ever, and
Snakemake waits for ever for the status of jobs on a cluster that keeps no accounting. Each is found at once here.
"""

import difflib
import math
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldmodels.errors import UserError

ANSWER_SECONDS = 30
RUN_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
"""How Snakemake names its jobs: the UUID of the run, after a prefix if there is one."""
PROFILE_OPTION = re.compile(r"--workflow-p\w*(?:-\w+)*")
"""`--workflow-profile` and its unique abbreviations."""


def require_workflow_profile(arguments: Sequence[str], folder: Path) -> None:
    """Raise UserError when Snakemake's `arguments` name a workflow profile that neither exists nor lies in `folder`."""
    name = _workflow_profile(arguments)
    if name is None or name == "none":
        return
    if not any(place.is_file() or _is_profile(place) for place in (Path(name), folder / name)):
        known = sorted(path.name for path in folder.glob("*") if _is_profile(path))
        near = difflib.get_close_matches(Path(name).name, known, n=1)
        hint = f" Did you mean '{folder / near[0]}'?" if near else ""
        raise UserError(
            f"there is no workflow profile '{name}' (Snakemake would run without one).{hint} Profiles here: "
            f"{', '.join(known) or 'none'}."
        )


def _is_profile(folder: Path) -> bool:
    """Whether Snakemake finds a profile in `folder`: it prefers the file for its own major version."""
    return any(path.is_file() for name in ("profile*.yaml", "config*.yaml") for path in folder.glob(name))


def _workflow_profile(arguments: Sequence[str]) -> str | None:
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if PROFILE_OPTION.fullmatch(option):
            return value if equals else following
    return None


def require_slurm(limits: Mapping[str, float], cores: int) -> None:
    """Raise UserError unless SLURM answers and could start every job.

    limits: what profiles/slurm/partitions.yaml allows a job in each partition, in minutes; infinite where it says nothing.
    cores: what the largest job asks.
    """
    if shutil.which("sbatch") is None:
        raise UserError(
            "this machine has no sbatch, so it cannot submit to SLURM. Run this on the cluster's login node, or without "
            "--workflow-profile for this machine alone."
        )
    # --exact: one row for each kind of node. Without it a partition of unequal nodes has one row, with the smallest.
    rows = [line.split() for line in _ask("sinfo", "--exact", "--noheader", "--format=%R %c %l").splitlines()]
    _require_partitions(limits, {name: minutes(limit) for name, _, limit in rows})
    largest = max(int(count) for _, count, _ in rows)
    if cores > largest:
        raise UserError(
            f"a job asks for {cores} cores, but the largest node has {largest}: it would wait for ever. Set max-threads: "
            f"{largest} (or less) in profiles/slurm/profile.yaml, or give --max-threads {largest}."
        )


def _require_partitions(limits: Mapping[str, float], allowed: Mapping[str, float]) -> None:
    """`allowed`: longest job of each partition that SLURM has, in minutes."""
    for name, limit in limits.items():
        if name not in allowed:
            raise UserError(
                f"SLURM has no partition '{name}'; it has {', '.join(sorted(allowed))}. Correct "
                "profiles/slurm/partitions.yaml."
            )
        if allowed[name] < limit < math.inf:
            raise UserError(
                f"partition '{name}' runs no job longer than {allowed[name]:.0f} minutes, and one that asks for more would "
                f"wait for ever. Set its max_runtime to {allowed[name]:.0f} in profiles/slurm/partitions.yaml."
            )


def minutes(limit: str) -> float:
    """A time limit in minutes, from how sinfo prints it: [days-][[hours:]minutes:]seconds or `infinite`."""
    if limit == "infinite":
        return math.inf
    days, _, clock = limit.rpartition("-")
    hours, mins, seconds = ([0, 0, 0] + [int(part) for part in clock.split(":")])[-3:]
    return 1440 * int(days or 0) + 60 * hours + mins + seconds / 60


def require_place(job: Any, partitions: Sequence[Any]) -> None:
    """Raise UserError where no partition of profiles/slurm/partitions.yaml takes `job`.

    The executor would submit it to the cluster's default partition, which may have no GPU, or a shorter limit. job and
    partitions: Snakemake's, and the SLURM plugin's, whose judgement it is.
    """
    if not partitions or job.resources.get("slurm_partition"):
        return
    if all(partition.score_job_fit(job) is None for partition in partitions):
        names = {"runtime": "minutes", "mem_mb": "MB", "gpu": "GPUs"}
        asked = [f"{job.resources.get(name)} {unit}" for name, unit in names.items() if job.resources.get(name)]
        raise UserError(
            f"no partition of profiles/slurm/partitions.yaml takes a job of {job.name}, which asks for {job.threads} cores, "
            f"{', '.join(asked)}. Correct the limits there, or give the rule less: set-resources in "
            "profiles/slurm/profile.yaml. A stage that reaches its time limit goes on in the next job."
        )


def keeps_accounting() -> bool:
    """Whether `sacct` can tell what became of a job. Where it cannot, `squeue` must be asked."""
    if shutil.which("sacct") is None:
        return False
    try:
        answer = subprocess.run(
            ["sacct", "--noheader"], check=False, capture_output=True, text=True, timeout=ANSWER_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    return answer.returncode == 0 and "accounting storage is disabled" not in answer.stdout + answer.stderr


def cancel_orphans(folder: Path) -> list[str]:
    """Cancel jobs that an earlier head submitted from `folder` and left behind; returns their numbers.

    Only for the owner of the head lock: then no other head can be waiting for them. They would compute what this head
    submits again, and keep its jobs from the state folders; cancelled, they save a checkpoint and the new ones go on.
    """
    rows = [line.split(maxsplit=2) for line in _ask("squeue", "--me", "--noheader", "--format=%A %j %Z").splitlines()]
    orphans = [job for job, name, place in rows if RUN_NAME.search(name) and Path(place) == folder.resolve()]
    if orphans:
        _ask("scancel", *orphans)
    return orphans


def _ask(*words: str) -> str:
    """Output of one of SLURM's commands. Raises UserError when SLURM does not answer."""
    try:
        answer = subprocess.run(words, check=False, capture_output=True, text=True, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        raise UserError(f"SLURM does not answer `{' '.join(words)}` within {ANSWER_SECONDS} s. Is it up?") from None
    if answer.returncode != 0:
        reason = answer.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise UserError(f"SLURM does not answer: `{' '.join(words)}` says '{reason[0]}'. Is slurmctld up?")
    return answer.stdout
