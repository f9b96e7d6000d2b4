"""The survey as JSON: the same facts as on the screen."""

from dataclasses import asdict
from typing import Any

from worldmodels.status.survey import STATES, JobStatus, Survey


def as_json(found: Survey) -> dict[str, Any]:
    """All facts, ready for json.dumps."""
    return {
        "results": str(found.results.resolve()),
        "head": found.head,
        "config_problem": found.config_problem,
        "clocks_ahead_seconds": found.clocks_ahead,
        **{state: [_job(one) for one in found.in_state(state)] for state in ("running", "stopped", "failed", "stale")},
        "libraries": [
            {"name": name, "old": old, "new": new, "products": count}
            for (name, old, new), count in found.library_changes().items()
        ],
        "experiments": {name: _experiment(jobs) for name, jobs in found.experiments.items()},
    }


def _experiment(jobs: list[JobStatus]) -> dict[str, Any]:
    counts = {state: sum(one.state == state for one in jobs) for state in STATES}
    listed = {state: [one.name for one in jobs if one.state == state] for state in STATES}
    return {"jobs": len(jobs), "counts": counts, **{state: names for state, names in listed.items() if names}}


def _job(one: JobStatus) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": one.name}
    if one.job is not None:
        facts |= {"stage": one.job.stage, "place": dict(one.job.place), "outputs": list(one.job.outputs)}
    if one.activity is not None:
        facts |= {"output": one.activity.output, **one.activity.beat, **one.activity.failure}
        facts |= {"share": one.activity.share, "seconds_left": one.activity.seconds_left, "age": one.activity.age}
        facts |= {"has_checkpoint": one.activity.has_checkpoint, "goes_on": one.goes_on}
    if one.state == "stale":
        facts |= asdict(one.staleness)
    if one.state == "failed":
        facts |= {"error": one.error, "log_tail": list(one.log_tail)}
    return facts | ({"log": str(one.log)} if one.log is not None else {})
