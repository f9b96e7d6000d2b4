"""The survey as text for people: colours on a terminal, plain lines elsewhere."""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from worldmodels.config.job import FILES
from worldmodels.runtime.progress import clock
from worldmodels.status.activity import Activity
from worldmodels.status.staleness import ABSENT, Change, Staleness
from worldmodels.status.survey import STATES, JobStatus, Survey

COLOURS = {"running": "32", "stopped": "33", "failed": "31", "stale": "35", "finished": "32", "bold": "1", "dim": "2"}
QUIET_SECONDS = 60
"""A living process whose heart did not beat for so long is suspended, or waits for its disk."""
WIDTH = 110
Paint = Callable[[str, str], str]


def plain(text: str, _colour: str) -> str:
    """No colours."""
    return text


def coloured(text: str, colour: str) -> str:
    """Text between a terminal's codes of a colour."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if colour in COLOURS else text


def as_text(found: Survey, paint: Paint = plain) -> str:
    """The whole screen."""
    sections = [_header(found, paint)]
    for state, describe in (("running", _running), ("stopped", _stopped), ("failed", _failed)):
        jobs = found.in_state(state)
        if jobs:
            lines = [line for one in jobs for line in describe(one, paint)]
            sections.append([paint(state.upper(), state), *lines])
    sections += [_stale(found, paint), _libraries(found, paint), _experiments(found, paint)]
    return "\n\n".join("\n".join(section) for section in sections if section)


def _header(found: Survey, paint: Paint) -> list[str]:
    lines = [paint(str(found.results.resolve()), "bold")]
    if found.head is not None:
        lines.append(f"snakemake is working on it ({found.head})")
    for host, seconds in found.clocks_ahead.items():
        side = "ahead of" if seconds > 0 else "behind"
        lines.append(
            f"the clock of {host} is {clock(abs(seconds))} {side} this one's; ages are by the file system's clock"
        )
    if found.config_problem is not None:
        lines.append(f"staleness and experiments are not known: {found.config_problem}")
    return lines


def _running(one: JobStatus, paint: Paint) -> Iterator[str]:
    activity = one.activity
    assert activity is not None
    yield f"  {paint(one.name, 'bold')}"
    yield f"    {_progress(activity)}"
    values = ", ".join(f"{name} {_number(value)}" for name, value in activity.beat.get("values", {}).items())
    if values:
        yield f"    {values}"
    quiet = f"; NO HEARTBEAT for {clock(activity.age)}" if activity.age > QUIET_SECONDS else ""
    yield paint(f"    {_where(activity)}{quiet}", "dim")


def _progress(activity: Activity) -> str:
    beat = activity.beat
    if not beat.get("total"):
        started = beat.get("started", beat.get("since"))
        return f"working for {clock(beat['time'] - started)}" if started and "time" in beat else "working"
    left = activity.seconds_left
    parts = [
        f"{100 * (activity.share or 0):.0f} %",
        f"{beat['done']:,} of {beat['total']:,} {beat.get('unit', '')}".rstrip(),
        f"{_rate(beat.get('rate', 0))}/s",
        f"{clock(left)} left" if left is not None and left < 1e7 else "time left not known yet",
    ]
    return ", ".join(parts)


def _where(activity: Activity) -> str:
    beat = activity.beat
    words = [f"{beat.get('host', '?')}, process {beat.get('pid', '?')}"]
    if beat.get("slurm_job_id"):
        words.append(f"SLURM job {beat['slurm_job_id']}")
    if beat.get("cuda_visible_devices"):
        words.append(f"GPU {beat['cuda_visible_devices']}")
    return ", ".join(words)


def _stopped(one: JobStatus, paint: Paint) -> Iterator[str]:
    activity = one.activity
    assert activity is not None
    place = "at the beginning" if activity.share is None else f"at {100 * activity.share:.0f} %"
    why = activity.beat.get("stopped", "killed?")
    yield f"  {paint(one.name, 'bold')}"
    yield f"    stopped {place} ({why}), {ago(activity.age)}; {_what_next(one)}"
    yield paint(f"    {_where(activity)}", "dim")


def _what_next(one: JobStatus) -> str:
    assert one.activity is not None
    if not one.activity.has_checkpoint:
        return "it had no checkpoint yet: the same command begins anew"
    if one.goes_on is False:
        return "its config, code or inputs changed since: the same command begins anew"
    return "the same command goes on from its last checkpoint"


def _failed(one: JobStatus, paint: Paint) -> Iterator[str]:
    when = f"  {ago(one.activity.age)}, {_where(one.activity)}" if one.activity is not None else ""
    yield f"  {paint(one.name, 'bold')}{paint(when, 'dim')}"
    yield f"    {one.error}"
    if one.log is not None:
        yield paint(f"    log: {_short(one.log)}", "dim")
    said = [line for line in one.log_tail if one.error is None or one.error not in line]
    yield from (paint(f"    | {line}", "dim") for line in said)


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _stale(found: Survey, paint: Paint) -> list[str]:
    """Stale jobs, those of the same stage and reason in one place; a changed key is shown once."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[JobStatus]] = {}
    named: set[str] = set()
    for one in found.in_state("stale"):
        assert one.job is not None
        groups.setdefault((one.job.owner, one.job.stage, tuple(_all_reasons(one.staleness))), []).append(one)
    if not groups:
        return []
    lines = [f"{paint('STALE', 'stale')} (the next run makes them again)"]
    for (owner, stage, _), jobs in groups.items():
        lines.append(f"  {paint(f'{owner} {stage}', 'bold')}{_which(jobs)}")
        lines += [f"    {reason}" for reason in reasons(jobs[0].staleness, named)]
        named |= {change.name for change in jobs[0].staleness.config}
    return lines


def _all_reasons(why: Staleness) -> Iterator[str]:
    return reasons(why, set())


def _which(jobs: list[JobStatus]) -> str:
    names = [one.job.what for one in jobs if one.job is not None and one.job.what]
    if len(names) > 3:
        return f", {names[0]} to {names[-1]} ({len(names)})"
    return f", {'; '.join(names)}" if names else ""


def reasons(why: Staleness, named: set[str]) -> Iterator[str]:
    """One line a reason. named: keys that were shown before."""
    new = [change for change in why.config if change.name not in named]
    for change in new:
        yield f"config: {_change(change)}"
    again = [change.name for change in why.config if change.name in named]
    if again:
        yield f"config: {again[0] if len(again) == 1 else _count(len(again), 'key')}, as above"
    if why.code_changed:
        files = ", ".join(why.code_files)
        yield f"code changed: {files}" if files else "code changed (its record is too old to name the file)"
    yield from why.inputs


def _change(change: Change) -> str:
    return f"{change.name} {_value(change.old)} → {_value(change.new)}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_value(inner)}" for name, inner in value.items()) + "}"
    return ABSENT if value == ABSENT else "none" if value is None else str(value)


def _libraries(found: Survey, paint: Paint) -> list[str]:
    changes = found.library_changes()
    if not changes:
        return []
    lines = [f"{paint('LIBRARIES', 'bold')} differ from those that products were made with (nothing reruns for it)"]
    return lines + [f"  {name} {old} → {new} ({_count(count, 'job')})" for (name, old, new), count in changes.items()]


def _experiments(found: Survey, paint: Paint) -> list[str]:
    if not found.experiments:
        return []
    begun = {name: jobs for name, jobs in found.experiments.items() if any(one.state != "missing" for one in jobs)}
    width = max((len(name) for name in begun), default=0)
    lines = [paint("EXPERIMENTS", "bold")]
    for name, jobs in begun.items():
        lines.append(f"  {name:<{width}}  {_summary(jobs, paint)}")
        missing = _missing(jobs)
        if missing:
            lines += [paint(line, "dim") for line in _wrapped(f"{'':<{width}}  missing: ", missing)]
    absent = [name for name in found.experiments if name not in begun]
    return lines + (_wrapped("not begun: ", ", ".join(absent)) if absent else [])


def _wrapped(label: str, text: str) -> list[str]:
    indent = " " * (2 + len(label))
    return textwrap.wrap(text, WIDTH, initial_indent=f"  {label}", subsequent_indent=indent, break_on_hyphens=False)


def _summary(jobs: list[JobStatus], paint: Paint) -> str:
    counts: Counter[str] = Counter(one.state for one in jobs)
    finished = f"{counts['finished']} of {_count(len(jobs), 'job')} finished"
    others = [paint(f"{counts[state]} {state}", state) for state in STATES[1:] if counts[state]]
    unrecorded = sum(not one.recorded for one in jobs)
    notes = [f"{unrecorded} without a record of its making"] if unrecorded else []
    return ", ".join([paint(finished, "finished") if len(jobs) == counts["finished"] else finished, *others, *notes])


def _missing(jobs: list[JobStatus]) -> str:
    """Missing jobs by stage, in the workflow's order."""
    counts = Counter(one.job.stage for one in jobs if one.state == "missing" and one.job is not None)
    shown = [(stage, counts[stage]) for stage in FILES if counts[stage]]
    return ", ".join(stage if count == 1 else f"{stage} ({count})" for stage, count in shown)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def ago(seconds: float) -> str:
    """An age in the largest unit that fits."""
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{_count(int(seconds // size), unit)} ago"
    return f"{_count(int(seconds), 'second')} ago"
