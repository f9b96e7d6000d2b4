"""Whether an agent of Take Cover runs like clockwork: whether its deaths share a phase of some period.

Who runs from wall to wall whatever it sees reaches the walls at fixed times, and is hit there. The concentration of the
times of death t at a period T is the length of the mean of exp(2 pi i t / T) (the statistic of Rayleigh's test): 1 where all
share a phase, about 0.2 at the best of all periods for 200 deaths at random times.
"""

from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.errors import UserError
from worldmodels.figures.episodes import read_episodes

PERIODS = np.arange(60, 251)
"""Tics; from wall to wall and back takes about 100."""
REPORTS = Path("reports")


def measure_rhythm() -> dict[str, Any]:
    """Period and concentration of every agent whose episodes of the real game are in reports/."""
    files = sorted(REPORTS.glob("doom-*/seed-*/controllers/*/episodes.csv"))
    if not files:
        raise UserError(f"there are no episodes of Doom in {REPORTS.resolve()}: run this in the checkout's folder.")
    found = {}
    for path in files:
        rows = [row for row in read_episodes([path]) if row.environment == "real" and row.ended == "death"]
        period, concentration = rhythm(np.array([row.steps for row in rows]))
        found[f"{rows[0].experiment} {rows[0].variant} seed {rows[0].training_seed}"] = f"{period} {concentration:.2f}"
    return found


def rhythm(times: np.ndarray) -> tuple[int, float]:
    """Period, in tics, at which the times of death (N,) share a phase most, and how much: 0 to 1."""
    concentrations = np.abs(np.exp(2j * np.pi * times[None] / PERIODS[:, None]).mean(axis=1))
    best = int(concentrations.argmax())
    return int(PERIODS[best]), float(concentrations[best])
