"""One look for all figures: readable at column width, in print, and by colour-blind readers; the same bytes each time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worldmodels.runtime.files import atomic_path

# Okabe & Ito's palette, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK, GREY = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#8A8A8A"),
)
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
COLUMN_INCHES = 4.6
SETTINGS: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "worldmodels",  # without it, element names are random
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


@contextmanager
def figure(width: float = COLUMN_INCHES, height: float = 3.0) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes in the shared style, closed afterwards. Inches."""
    with mpl.rc_context(SETTINGS):
        drawn, axes = plt.subplots(figsize=(width, height))
        try:
            yield drawn, axes
        finally:
            plt.close(drawn)


def save_figure(drawn: Figure, svg: Path, pdf: Path) -> None:
    """Write a figure as SVG and PDF, without dates, so that equal figures are equal bytes."""
    for path, metadata in ((svg, {"Date": None}), (pdf, {"CreationDate": None, "ModDate": None})):
        with atomic_path(path) as temporary, mpl.rc_context(SETTINGS):
            drawn.savefig(temporary, metadata=metadata, dpi=200)
