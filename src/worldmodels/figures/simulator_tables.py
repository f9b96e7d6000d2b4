"""The table of an experiment with simulators: how far each one's frames are from the real ones, as CSV, Markdown and LaTeX.

Errors are `per-number` (see simulators/prediction_error.py): mean squared difference of bytes over 255. Intervals are a
bootstrap over training seeds and over sequences, which are the same for all seeds.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from worldmodels.config.simulator_experiments import HORIZONS, SimulatorEntry, SimulatorExperiment
from worldmodels.data.schemes import steps_trained
from worldmodels.figures.markup import latex_table, markdown_heading
from worldmodels.figures.statistics import Summary, roc_area, summarise
from worldmodels.runtime.files import csv_table
from worldmodels.simulators.error_file import Costs
from worldmodels.simulators.prediction_error import HorizonErrors

COLUMNS = (
    *("simulator", "game"),
    *(f"{name}_{horizon}" for horizon in HORIZONS for name in ("error", "error_low", "error_high", "copy_last")),
    *("reward_accuracy", "no_reward", "reward_roc_area", "reward_roc_area_10", "done_accuracy", "no_end"),
    *("sequences", "training_seeds", "training_updates"),
    *("frames_seen", "parameters", "operations_drawn", "operations", "frame", "verdict", "scale"),
)
FIRST_STEPS = 10
"""Steps ahead of which the area under the ROC curve is given apart: later ones are imagined too badly to foretell rewards."""
THOUSANDTHS = 1000
"""People read errors in thousandths."""


class Scored(NamedTuple):
    """One trained simulator on one game."""

    simulator: str
    game: str
    seed: int
    errors: HorizonErrors
    costs: Costs


Updates = Mapping[tuple[str, int, str], int]
"""Updates that trainings came to, by game, training seed and simulator; those that are missing made all that were configured."""


class SimulatorRow(NamedTuple):
    """One row: a simulator on a game, all training seeds together."""

    simulator: str
    game: str
    errors: dict[int, Summary]  # by horizon
    copy_last: dict[int, float]
    accuracies: dict[str, float]
    sequences: int
    seeds: int
    frame: tuple[int, int, int]
    costs: Costs
    trainings: Sequence[SimulatorEntry]  # one after the other, the last one its own
    updates: Sequence[int]  # of each of them: made, mean over training seeds

    @property
    def entry(self) -> SimulatorEntry:
        """What config.yaml says of it."""
        return self.trainings[-1]


def build_simulator_rows(
    options: SimulatorExperiment, scored: Sequence[Scored], updates: Updates | None = None
) -> list[SimulatorRow]:
    """Rows in the order of `scored`, which is config.yaml's."""
    groups: dict[tuple[str, str], list[Scored]] = {}
    for one in scored:
        groups.setdefault((one.game, one.simulator), []).append(one)
    return [_row(options, group, updates or {}) for group in groups.values()]


def _row(options: SimulatorExperiment, group: Sequence[Scored], updates: Updates) -> SimulatorRow:
    chain = options.chain(group[0].simulator)
    trainings = [options.simulators[name] for name in chain]
    made = [
        [updates.get((one.game, one.seed, name), entry.updates if entry.learns else 0) for one in group]
        for name, entry in zip(chain, trainings, strict=True)
    ]
    first = group[0].errors
    horizons = [horizon for horizon in HORIZONS if horizon <= first.errors.shape[1]]
    return SimulatorRow(
        simulator=group[0].simulator,
        game=group[0].game,
        errors={
            h: summarise([one.errors.errors[:, h - 1].tolist() for one in group], same_episodes=True) for h in horizons
        },
        copy_last={h: float(first.copy_last[:, h - 1].mean()) for h in horizons},
        accuracies=_accuracies([one.errors for one in group]),
        sequences=len(first.errors),
        seeds=len(group),
        frame=first.frame_shape,
        costs=group[0].costs,
        trainings=trainings,
        updates=[round(float(np.mean(of_seeds))) for of_seeds in made],
    )


def _accuracies(group: Sequence[HorizonErrors]) -> dict[str, float]:
    """Shares of steps, over all horizons, whose reward and end were foretold, and would be by who always says that there is none.

    `reward_roc_area` asks whether predictions tell steps with a reward above 0 from others, wherever they draw the line, and
    `reward_roc_area_10` the same of the first ten steps; they are means over training seeds. Empty where none are predicted; files of
    older versions lack them, or all but the hits.
    """
    found = {}
    columns = {"reward_accuracy": "reward_hits", "done_accuracy": "done_hits"} | {n: n for n in ("no_reward", "no_end")}
    for name, column in columns.items():
        hits = [getattr(one, column) for one in group if getattr(one, column) is not None]
        if hits:
            found[name] = float(np.mean(hits))
    for name, steps in (("reward_roc_area", None), (f"reward_roc_area_{FIRST_STEPS}", FIRST_STEPS)):
        areas = [_reward_area(one, steps) for one in group]
        known = [area for area in areas if area is not None]
        if known:
            found[name] = float(np.mean(known))
    return found


def _reward_area(errors: HorizonErrors, steps: int | None) -> float | None:
    """Of one training seed and the first `steps`, or all; None where no rewards are predicted, or none came."""
    if errors.reward_scores is None or errors.rewarded is None:
        return None
    return roc_area(errors.reward_scores[:, :steps].ravel(), errors.rewarded[:, :steps].ravel())


def frames_seen(trainings: Sequence[SimulatorEntry], updates: Sequence[int]) -> int:
    """Frames that a simulator was trained on in all its trainings, of so many updates, counted each time that it saw them."""
    return sum(_frames_of(*one) for one in zip(trainings, updates, strict=True))


def _frames_of(entry: SimulatorEntry, updates: int) -> int:
    windows = -(-updates // entry.subsequences)
    steps = steps_trained(entry.scheme, updates, entry.subsequence, entry.scheme_scale)
    return entry.batch_size * (windows * entry.warm_up + steps)


def verdict(scale: str) -> str:
    """The papers give no numbers, only orders of curves, which the page of claims judges."""
    return "no published number" if scale == "paper" else "smaller scale"


Speeds = Mapping[str, Mapping[tuple[int, bool], float]]
"""Imagined steps a second by simulator, then by games at once and whether every frame was drawn."""


def read_speeds(path: Path) -> Speeds:
    """The speeds of a speed.csv."""
    found: dict[str, dict[tuple[int, bool], float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            case = int(row["batch"]), row["drawn"] == "True"
            found.setdefault(row["simulator"], {})[case] = float(row["steps_per_second"])
    return found


def _speed_column(case: tuple[int, bool]) -> str:
    batch, drawn = case
    return f"steps_per_second_{batch}{'_drawn' if drawn else ''}"


def simulator_csv(rows: Sequence[SimulatorRow], scale: str, speeds: Speeds = MappingProxyType({})) -> str:
    """table.csv: see COLUMNS; then, where simulators were timed, steps_per_second_BATCH with and without _drawn.

    Empty cells mean that there is no such number.
    """
    timed = {name: {_speed_column(case): f"{speed:.1f}" for case, speed in own.items()} for name, own in speeds.items()}
    columns = dict.fromkeys(column for own in timed.values() for column in own)
    return csv_table((*COLUMNS, *columns), ({**_cells(row, scale), **timed.get(row.simulator, {})} for row in rows))


def _cells(row: SimulatorRow, scale: str) -> dict[str, Any]:
    cells: dict[str, Any] = {"simulator": row.simulator, "game": row.game, "scale": scale, "verdict": verdict(scale)}
    for horizon, error in row.errors.items():
        cells |= {f"error_{horizon}": f"{error.mean:.6g}", f"copy_last_{horizon}": f"{row.copy_last[horizon]:.6g}"}
        cells |= {f"error_low_{horizon}": f"{error.low:.6g}", f"error_high_{horizon}": f"{error.high:.6g}"}
    cells |= {name: f"{value:.4f}" for name, value in row.accuracies.items()}
    cells |= {"sequences": row.sequences, "training_seeds": row.seeds, "training_updates": sum(row.updates)}
    cells |= {"frames_seen": frames_seen(row.trainings, row.updates), **row.costs._asdict()}
    return cells | {"frame": "x".join(map(str, row.frame))}


def simulator_markdown(
    rows: Sequence[SimulatorRow], options: SimulatorExperiment, speeds: Speeds = MappingProxyType({})
) -> str:
    """The table for people, a part for each game, with notes on what the numbers are."""
    lines = markdown_heading(options.title or "Simulators", options.scale)
    horizons = list(rows[0].errors)
    for game in dict.fromkeys(row.game for row in rows):
        own = [row for row in rows if row.game == game]
        lines += [f"## {game}", "", f"| | {' | '.join(_headings(horizons))} |", f"|---|{'---|' * (len(horizons) + 5)}"]
        lines += [f"| {' | '.join(_visible_cells(row, options.scale))} |" for row in own]
        lines += [*(f"| {' | '.join(_copied(row, own))} |" for row in _to_copy(own)), ""]
    return "\n".join([*lines, *_speed_lines(speeds), *_notes(rows, options)]) + "\n"


def _speed_lines(speeds: Speeds) -> list[str]:
    """Imagined steps a second, a row a simulator; nothing where none were timed."""
    if not speeds:
        return []
    cases = list(next(iter(speeds.values())))
    names = [f"{batch} game{'s' if batch > 1 else ''}, {'' if drawn else 'not '}drawn" for batch, drawn in cases]
    lines = ["## Imagined steps a second", "", f"| | {' | '.join(names)} |", f"|---|{'---|' * len(cases)}"]
    return [
        *lines,
        *(f"| {name} | {' | '.join(f'{own[case]:,.0f}' for case in cases)} |" for name, own in speeds.items()),
        "",
    ]


def _headings(horizons: Sequence[int]) -> list[str]:
    steps = [f"{horizon} step{'s' if horizon > 1 else ''}" for horizon in horizons]
    return [*steps, "frames seen", "parameters", "operations a step", "without drawing", "verdict"]


def _visible_cells(row: SimulatorRow, scale: str) -> list[str]:
    errors = [f"{_shown(error.mean)} ({_shown(error.low)} to {_shown(error.high)})" for error in row.errors.values()]
    costs = [
        f"{frames_seen(row.trainings, row.updates):,}",
        f"{row.costs.parameters:,}",
        _short(row.costs.operations_drawn),
    ]
    undrawn = _short(row.costs.operations) if row.costs.operations < row.costs.operations_drawn else "draws"
    if not row.entry.learns:
        undrawn = ""
    return [row.simulator, *errors, *costs, undrawn, verdict(scale)]


def kind_of_frame(frame: tuple[int, int, int], entry: SimulatorEntry) -> str:
    """What a simulator's frame is made of: those whose frames are the same have the same last frame to copy."""
    classes = ", two classes" if entry.model.pixels == "two-class" else ""
    return f"{'x'.join(map(str, frame))}{classes}"


def _pixels(row: SimulatorRow) -> str:
    return kind_of_frame(row.frame, row.entry)


def _to_copy(rows: Sequence[SimulatorRow]) -> list[SimulatorRow]:
    """A row for each kind of frame whose copy is not a row itself."""
    shown = {_pixels(row) for row in rows if row.entry.copies}
    return list({_pixels(row): row for row in reversed(rows) if _pixels(row) not in shown}.values())


def _copied(row: SimulatorRow, rows: Sequence[SimulatorRow]) -> list[str]:
    """The line of the last real frame, copied, for one kind of frame."""
    kind = f", {_pixels(row)}" if len({_pixels(one) for one in rows}) > 1 else ""
    return [f"copy the last frame{kind}", *(_shown(value) for value in row.copy_last.values()), "", "0", "0", "", ""]


def _shown(error: float) -> str:
    return f"{error * THOUSANDTHS:.3g}"


def _short(operations: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if operations >= size:
            return f"{operations / size:.3g} {letter}"
    return str(operations)


def _notes(rows: Sequence[SimulatorRow], options: SimulatorExperiment) -> list[str]:
    row, evaluation = rows[0], options.evaluation
    between = "training seeds and sequences" if row.seeds > 1 else "sequences only: there is one training seed"
    frames = "; ".join(dict.fromkeys(_pixels(one) for one in rows))
    notes = [
        "Error: mean squared difference of predicted and real bytes over 255, in thousandths, with its 95 % interval "
        f"(bootstrap over {between}). Times height and width it is the paper's, which sums over pixels.",
        f"{row.sequences:,} held-out sequences, the same for all, with the actions that were taken there; "
        f"{evaluation.warm_up + 1} real frames are seen first, then none. They are drawn at random and may overlap.",
        f"Frames: {frames}. Scale: {options.scale}. Training seeds: {row.seeds}. {_data(options)}",
        "Operations: floating-point, of one imagined step of one game, counted by running it.",
    ]
    for one in rows:
        if one.accuracies:
            notes.append(f"Steps foretold right by `{one.simulator}` on {one.game}: {_foretold(one.accuracies)}.")
        stopped = sum(entry.updates for entry in one.trainings if entry.learns)
        if sum(one.updates) < stopped:
            made = f"{sum(one.updates):,} of at most {stopped:,} updates"
            notes.append(f"`{one.simulator}` on {one.game} came to a plateau of its loss: {made}.")
    return [f"- {note}" for note in notes]


def _data(options: SimulatorExperiment) -> str:
    """The data set, and which rows learned from another one."""
    others = {name: rows for name, rows in options.datasets.items() if name != options.dataset}
    learned = "".join(
        f" {', '.join(f'`{row}`' for row in rows)} learned from `{name}`." for name, rows in others.items()
    )
    return f"Data: `{options.dataset}`{', on which all are scored' if others else ''}.{learned}"


def _foretold(accuracies: Mapping[str, float]) -> str:
    """Accuracies in words, each with that of always saying that there is none."""
    parts = []
    for what, column, none in (("reward", "reward_accuracy", "no_reward"), ("end", "done_accuracy", "no_end")):
        if column in accuracies:
            base = f" (always saying none: {accuracies[none]:.2%})" if none in accuracies else ""
            told = _ranked(accuracies) if what == "reward" else ""
            parts.append(f"{what} {accuracies[column]:.2%}{base}{told}")
    return ", ".join(parts)


def _ranked(accuracies: Mapping[str, float]) -> str:
    """Areas under the ROC curve in words; nothing where they are not known."""
    all_steps, first = (accuracies.get(name) for name in ("reward_roc_area", f"reward_roc_area_{FIRST_STEPS}"))
    if all_steps is None:
        return ""
    apart = f", {first:.2f} in the first {FIRST_STEPS} steps" if first is not None else ""
    return f", area under the ROC curve {all_steps:.2f}{apart} (chance: 0.5)"


def simulator_latex(rows: Sequence[SimulatorRow], options: SimulatorExperiment) -> str:
    """A booktabs table; needs \\usepackage{booktabs}. Errors in thousandths."""
    horizons = list(rows[0].errors)
    heading = f"Game & Simulator & {' & '.join(f'{h}' for h in horizons)} & Parameters"
    cells = []
    for row in rows:
        errors = (_shown(error.mean) for error in row.errors.values())
        cells.append([row.game, row.simulator, *errors, rf"{row.costs.parameters / 1e6:.2f}\,M"])
    remark = " Mean squared error of bytes over 255, in thousandths."
    return latex_table("ll" + "r" * (len(horizons) + 1), heading, cells, options.scale, remark)
