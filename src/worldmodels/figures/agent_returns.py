"""What agents scored while they saw what simulators imagine: the tables that stage `play_agent` writes."""

import csv
from pathlib import Path


def read_returns(path: Path) -> dict[str, dict[int, list[float]]]:
    """Returns of every game, by policy ('agent', 'random') and chain period: steps from one real frame to the next."""
    found: dict[str, dict[int, list[float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["policy"], {}).setdefault(int(row["chain_period"]), []).append(float(row["return"]))
    return found
