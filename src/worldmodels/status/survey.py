"""All that status knows of a results folder: every job's state, unfinished work, failures, and the two clocks."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from worldmodels.config.experiments import Config
from worldmodels.config.job import Job
from worldmodels.config.jobs import experiment_jobs
from worldmodels.runtime.state import lock_is_held, state_key, work_facts
from worldmodels.status.activity import (
    Activity,
    file_system_now,
    read_activities,
    skewed_clocks,
    state_folders,
)
from worldmodels.status.staleness import Change, Records, Staleness, fingerprint, library_changes, staleness

LOG_LINES = 5
STATES = ("finished", "stale", "running", "stopped", "failed", "missing")
FRESH = Staleness()
JobState = Literal["finished", "stale", "running", "stopped", "failed", "missing"]


@dataclass(frozen=True)
class JobStatus:
    """One job of the inventory, or unfinished work that is in no experiment (`job` is None)."""

    job: Job | None
    state: JobState
    activity: Activity | None = None
    staleness: Staleness = FRESH
    libraries: tuple[Change, ...] = ()
    recorded: bool = True  # whether a finished product has a provenance record
    error: str | None = None
    log: Path | None = None
    log_tail: tuple[str, ...] = ()
    goes_on: bool | None = None  # whether a checkpoint is of today's config, code and inputs; None: not known

    @property
    def name(self) -> str:
        """Owner, stage and what sets it apart: 'doom train_vae, seed 1'."""
        if self.job is not None:
            return " ".join((self.job.owner, self.job.stage)) + (f", {self.job.what}" if self.job.what else "")
        assert self.activity is not None
        return self.activity.output.removeprefix("results/")


@dataclass
class Survey:
    """The state of a results folder."""

    results: Path
    now: float  # the file system's clock
    head: str | None = None  # the Snakemake that works on it
    experiments: dict[str, list[JobStatus]] = field(default_factory=dict)
    others: list[JobStatus] = field(default_factory=list)  # unfinished work of no job of these experiments
    clocks_ahead: dict[str, float] = field(default_factory=dict)
    config_problem: str | None = None

    def jobs(self) -> list[JobStatus]:
        """Every job once, though experiments share some."""
        found = {one.job.outputs: one for jobs in self.experiments.values() for one in jobs if one.job is not None}
        return [*found.values(), *self.others]

    def in_state(self, *states: str) -> list[JobStatus]:
        """Jobs in one of `states`."""
        return [one for one in self.jobs() if one.state in states]

    def library_changes(self) -> dict[tuple[str, str, str], int]:
        """(library, version then, version now) -> how many finished jobs were made with the other version."""
        return Counter(
            (change.name, str(change.old), str(change.new)) for one in self.jobs() for change in one.libraries
        )


def survey(results: Path, config: Config | None, names: list[str], problem: str | None = None) -> Survey:
    """Look at a results folder. names: experiments to look at; none means all. Raises UserError for an unknown name."""
    working = results.is_dir() and any(True for _ in state_folders(results))
    now = file_system_now(results) if working else 0.0
    activities = read_activities(results, now)
    found = Survey(results, now, head=_head(results), config_problem=problem)
    seen: dict[tuple[str, ...], JobStatus] = {}
    records = Records(results)
    for name in (names or all_names(config)) if config is not None else ():
        assert config is not None
        found.experiments[name] = list(_experiment(config, name, records, activities, seen))
    known = {one.job.outputs[0] for one in seen.values() if one.job is not None}
    elsewhere = _all_jobs(config) if config is not None and set(activities) - known else {}
    found.others = [
        _unlisted(activity, elsewhere.get(output))
        for output, activity in activities.items()
        if output not in known and (not names or Path(output).parts[1] in names)
    ]
    found.clocks_ahead = skewed_clocks(list(activities.values()), now)
    return found


def _experiment(
    config: Config,
    name: str,
    records: Records,
    activities: dict[str, Activity],
    seen: dict[tuple[str, ...], JobStatus],
) -> Iterator[JobStatus]:
    remade = {path for one in seen.values() for path in _remade(one)}
    for job in experiment_jobs(config, name):
        if job.outputs not in seen:
            found = job_status(config, job, records, activities.get(job.outputs[0]), remade)
            seen[job.outputs] = found
            remade |= {*_remade(found)}
        yield seen[job.outputs]


def _remade(one: JobStatus) -> tuple[str, ...]:
    """Products that will be or are being made again."""
    return one.job.outputs if one.job is not None and one.state not in ("finished", "missing") else ()


def job_status(config: Config, job: Job, records: Records, activity: Activity | None, remade: set[str]) -> JobStatus:
    """The state of one job. remade: products that will be or are being made again."""
    log = records.place(job.log)
    present = all(records.place(path).is_file() for path in job.outputs)
    if activity is not None and (activity.state == "running" or not present):
        return JobStatus(
            job,
            activity.state,
            activity,
            error=activity.failure.get("error"),
            log=log,
            log_tail=_tail(log, activity) if activity.state == "failed" else (),
            goes_on=_is_of_today(job, records, activity),
        )
    if not present:
        error = failure_before_work(log, job.stage)
        return JobStatus(job, "failed" if error else "missing", error=error, log=log)
    why = staleness(config, job, records, remade)
    record = records.of(job.outputs[0])
    state: JobState = "stale" if why else "finished"
    return JobStatus(job, state, staleness=why, libraries=tuple(library_changes(record)), recorded=bool(record))


def all_names(config: Config) -> list[str]:
    """Every experiment, of World Models and of simulators."""
    return [*config.experiments, *config.simulator_experiments]


def _all_jobs(config: Config) -> dict[str, Job]:
    return {job.outputs[0]: job for name in all_names(config) for job in experiment_jobs(config, name)}


def _unlisted(activity: Activity, job: Job | None) -> JobStatus:
    """Unfinished work of an experiment that was not asked for, or of none that is in config.yaml."""
    log = Path(activity.beat["log"]) if "log" in activity.beat else None
    tail = _tail(log, activity) if activity.state == "failed" else ()
    return JobStatus(job, activity.state, activity, error=activity.failure.get("error"), log=log, log_tail=tail)


def _tail(log: Path | None, activity: Activity) -> tuple[str, ...]:
    """The last lines of a failed stage: of its traceback where the error was unexpected, else of its log."""
    lines = activity.failure.get("traceback") or _lines(log)
    return tuple(line for line in lines if line.strip())[-LOG_LINES:]


def _lines(log: Path | None) -> list[str]:
    try:
        return log.read_text(errors="replace").splitlines() if log is not None else []
    except OSError:
        return []


def failure_before_work(log: Path, stage: str) -> str | None:
    """The error of a stage that ended before it had a state folder: its log then holds nothing else."""
    text = "\n".join(_lines(log))
    found = re.match(rf"\d\d:\d\d:\d\d {re.escape(stage)}: (.*)", text, re.DOTALL)
    return found[1].strip() if found else None


def _is_of_today(job: Job, records: Records, activity: Activity) -> bool | None:
    """Whether a state folder's key is that of today's config, code and inputs, as the stage itself makes it.

    None where an input has no record of its checksum; the stage would have to read it to know.
    """
    recorded = {path: records.of(path).get("sha256") for path in job.inputs}
    checksums = {path: checksum for path, checksum in recorded.items() if checksum is not None}
    if len(checksums) < len(recorded):
        return None
    facts = work_facts(
        stage=job.stage,
        config=job.block.model_dump(mode="json"),
        code=fingerprint(job.modules),
        inputs=checksums,
        options=activity.beat.get("options", {}),
    )
    return state_key(facts).startswith(activity.key)


def _head(results: Path) -> str | None:
    """The process that holds the results folder's lock: a Snakemake at work."""
    lock = results / ".lock"
    if not lock.is_file() or not lock_is_held(lock):
        return None
    try:
        owner = json.loads(lock.read_text())
        return f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, TypeError, KeyError):
        return "process ?"
