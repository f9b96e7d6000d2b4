"""What checkpoints cost, and what a kill could have cost: read from the provenance of everything in `results/`.

`at_risk` is the longest time, in seconds, from one checkpoint of a stage (or its start) to the end of the next; a kill -9 loses
at most that. `share` is the time spent on checkpoints over the stage's whole time, that of processes which were killed or
stopped included. Stages shorter than a minute say little.
"""

import json
from pathlib import Path
from typing import Any

from worldmodels.errors import UserError

SHORTEST_SECONDS = 60.0


def measure_checkpoints(folder: Path = Path("results")) -> dict[str, Any]:
    """For each stage that ran for a minute or more: how many runs, seconds, share and longest time at risk."""
    runs: dict[str, dict[str, list[float]]] = {}
    for path in sorted(folder.rglob("*.provenance.json")):
        record = json.loads(path.read_text())
        costs, seconds = record.get("checkpoints"), record.get("wall_clock_seconds", 0)
        if costs and seconds >= SHORTEST_SECONDS:
            # A stage with several outputs leaves the same record beside each: the runs of one stage are told apart by place.
            key = f"{path.parent}, {seconds}"
            runs.setdefault(record["stage"], {})[key] = [seconds, costs["seconds"], costs["longest_at_risk"]]
    if not runs:
        raise UserError(
            f"{folder} has no finished stage of {SHORTEST_SECONDS:.0f} s or more: build a laptop experiment first."
        )
    figures: dict[str, Any] = {}
    for stage, found in sorted(runs.items()):
        seconds, spent, risks = zip(*found.values(), strict=True)
        figures[f"{stage}_runs"] = len(found)
        figures[f"{stage}_seconds"] = round(sum(seconds))
        figures[f"{stage}_share"] = f"{sum(spent) / sum(seconds):.2%}"
        figures[f"{stage}_at_risk"] = round(max(risks), 1)
    return figures
