"""The table of an experiment: our scores beside the published ones, as CSV, Markdown and LaTeX."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from worldmodels.config.blocks import hopeless_after, short_episodes
from worldmodels.config.datasets import AgentPolicy
from worldmodels.config.experiments import ExperimentOptions, Variant
from worldmodels.config.models import ControllerOptions
from worldmodels.figures.episodes import Episode
from worldmodels.figures.markup import latex_table, markdown_heading
from worldmodels.figures.published import QUOTED, PublishedRow, as_text, published_row
from worldmodels.figures.statistics import Summary, summarise
from worldmodels.figures.wording import Wording
from worldmodels.runtime.files import csv_table

COLUMNS = (
    *("variant", "virtual_mean", "virtual_sd", "virtual_n"),
    *("actual_mean", "actual_sd", "actual_ci_low", "actual_ci_high", "actual_n", "training_seeds"),
    *("paper_virtual", "paper_actual", "verdict", "environment_frames", "generations", "dream_steps", "scale"),
)
PARTLY = 0.8
"""A mean of at least this share of the paper's counts as partly reproduced."""


class Budget(NamedTuple):
    """What a variant cost, per training seed."""

    environment_frames: int
    generations: int
    dream_steps: int


class TableRow(NamedTuple):
    """One row: ours (if we ran it) and the published one (if there is one)."""

    variant: str
    label: str
    virtual: Summary | None
    actual: Summary | None
    per_seed: dict[int, Summary]
    paper: PublishedRow | None
    verdict: str
    budget: Budget | None


def build_rows(
    options: ExperimentOptions, episodes: Sequence[Episode], budgets: Mapping[str, Budget]
) -> list[TableRow]:
    """Evolved variants by temperature, the random policy, then rows that the published table quotes from elsewhere."""
    # A config block is sorted by key, so the order of config.yaml is not known here.
    order = sorted(options.variants, key=lambda name: (options.variants[name].policy == "random", _rank(options, name)))
    rows = [_row(name, options, episodes, budgets.get(name)) for name in order]
    quoted = QUOTED.get(options.published or "", {})
    return rows + [TableRow(name, f"{name} (quoted)", None, None, {}, row, "", None) for name, row in quoted.items()]


def _rank(options: ExperimentOptions, name: str) -> tuple[float, str]:
    return options.variants[name].temperature, name


def _row(name: str, options: ExperimentOptions, episodes: Sequence[Episode], budget: Budget | None) -> TableRow:
    own = [episode for episode in episodes if episode.variant == name]
    actual = _by_seed(own, "real")
    virtual = _by_seed(own, "dream")
    summary = summarise(list(actual.values())) if actual else None
    paper = published_row(options.published, name)
    return TableRow(
        variant=name,
        label=_label(name, options),
        virtual=summarise(list(virtual.values())) if virtual else None,
        actual=summary,
        per_seed={seed: summarise([scores]) for seed, scores in actual.items()},
        paper=paper,
        verdict=verdict(options.scale, summary, paper),
        budget=budget,
    )


def _label(name: str, options: ExperimentOptions) -> str:
    variant = options.variants[name]
    if variant.policy == "random":
        return "random policy" if name == "random" else f"{name.replace('-', ' ')}, which sees nothing"
    if variant.policy == "published":
        return "released weights"
    if variant.environment == "real":
        return _agent_label(variant, variant.controller or options.evolution.controller)
    chosen = {"mean": "", "best": ", best dream score", "validation": ", selected on real validation episodes"}
    dropout = f", dropout {variant.dropout:g}" if variant.dropout else ""
    return f"τ = {variant.temperature:.2f}{dropout}{chosen[variant.selection]}"


def _agent_label(variant: Variant, controller: ControllerOptions) -> str:
    """A controller that was evolved in the real environment, by what it sees."""
    models = {"trained": "", "untrained-m": ", untrained M", "untrained": ", untrained V and M"}[variant.models]
    units = f", {controller.hidden_units} hidden units" if controller.hidden_units else ""
    return f"{controller.inputs.replace('-', ' and ')}{units}{models}"


def _by_seed(episodes: Sequence[Episode], environment: str) -> dict[int, list[float]]:
    groups: dict[int, list[float]] = {}
    for episode in episodes:
        if episode.environment == environment:
            groups.setdefault(episode.training_seed, []).append(episode.total)
    return dict(sorted(groups.items()))


def verdict(scale: str, ours: Summary | None, paper: PublishedRow | None) -> str:
    """Is the paper's real score reproduced? Only an experiment at the paper's scale may say.

    reproduced: our 95 % interval contains the paper's mean; better: it lies above; partly: it lies below, but our mean
    is at least 80 % of the paper's; not: otherwise.
    """
    if ours is None or paper is None or paper.actual is None:
        return ""
    if scale != "paper":
        return "smaller scale"
    mean = paper.actual[0]
    if ours.low > mean:
        return "better"
    if ours.high >= mean:
        return "reproduced"
    return "partly" if ours.mean >= PARTLY * mean else "not"


def csv_text(rows: Sequence[TableRow], options: ExperimentOptions) -> str:
    """table.csv: see COLUMNS. Empty cells mean that there is no such number."""
    return csv_table(COLUMNS, (_cells(row, options.scale) for row in rows))


def _cells(row: TableRow, scale: str) -> dict[str, Any]:
    scale = scale if row.actual else "quoted"
    cells: dict[str, Any] = {"variant": row.variant, "verdict": row.verdict, "scale": scale}
    if row.virtual is not None:
        cells |= {"virtual_mean": f"{row.virtual.mean:.1f}", "virtual_sd": f"{row.virtual.sd:.1f}"}
        cells["virtual_n"] = row.virtual.episodes
    if row.actual is not None:
        ours = row.actual
        cells |= {"actual_mean": f"{ours.mean:.1f}", "actual_sd": f"{ours.sd:.1f}", "actual_n": ours.episodes}
        cells |= {"actual_ci_low": f"{ours.low:.1f}", "actual_ci_high": f"{ours.high:.1f}"}
        cells["training_seeds"] = ours.seeds
    if row.paper is not None:
        cells |= {"paper_virtual": as_text(row.paper.virtual), "paper_actual": as_text(row.paper.actual)}
    if row.budget is not None:
        cells |= row.budget._asdict()
    return cells


def markdown_text(
    rows: Sequence[TableRow], options: ExperimentOptions, wording: Wording, player: AgentPolicy | None = None
) -> str:
    """The table for people, with every training seed and notes on what the numbers are."""
    lines = markdown_heading(options.title or "Results", options.scale)
    lines += [
        f"| | in the dream | {wording.real} | 95 % interval | paper, dream | paper, real | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(_visible_cells(row))} |" for row in rows]
    ours = [row for row in rows if row.actual is not None]
    if any(len(row.per_seed) > 1 for row in ours):
        lines += [
            "",
            f"Every training seed, in the {wording.real}:",
            "",
            "| | seed | mean ± sd | 95 % interval | episodes |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.label} | {seed} | {one.mean:.0f} ± {one.sd:.0f} | {one.low:.0f} to {one.high:.0f} | {one.episodes} |"
            for row in ours
            for seed, one in row.per_seed.items()
        ]
    return "\n".join([*lines, "", *_notes(ours, options, wording, player)]) + "\n"


def _visible_cells(row: TableRow) -> list[str]:
    virtual = f"{row.virtual.mean:.0f} ± {row.virtual.sd:.0f}" if row.virtual else ""
    actual = f"{row.actual.mean:.0f} ± {row.actual.sd:.0f}" if row.actual else ""
    interval = f"{row.actual.low:.0f} to {row.actual.high:.0f}" if row.actual else ""
    paper = (as_text(row.paper.virtual), as_text(row.paper.actual)) if row.paper else ("", "")
    return [row.label, virtual, actual, interval, *paper, row.verdict]


def _notes(
    rows: Sequence[TableRow], options: ExperimentOptions, wording: Wording, player: AgentPolicy | None
) -> list[str]:
    seeds = max((row.actual.seeds for row in rows if row.actual), default=0)
    episodes = max((row.actual.episodes for row in rows if row.actual), default=0)
    between = "training seeds, then episodes" if seeds > 1 else "episodes only: there is one training seed"
    notes = [
        f"{wording.score.capitalize()}; mean ± standard deviation over episodes, as the paper reports it.",
        f"Scale: {options.scale}. Training seeds: {seeds}. Real episodes a row: {episodes}, all on report seeds.",
        f"Interval: 95 % bootstrap over {between}.",
    ]
    budget = next((row.budget for row in rows if row.budget), None)
    if budget is not None:
        where = f"{budget.dream_steps:,} dream steps" if budget.dream_steps else "evolved in the real environment"
        notes.append(
            f"Budget per training seed, first row: {budget.environment_frames:,} frames of the {wording.real}, "
            f"{budget.generations} generations, {where}."
        )
    if player is not None:
        notes.append(
            f"Data: `{options.dataset}` was played by the agent `{player.variant}` of `{player.experiment}`. What that agent has "
            f"seen of the {wording.real} itself is not counted in the budget."
        )
    idle = hopeless_after(options)
    if idle:
        notes.append(
            f"Early stop: while controllers evolved, an episode in the {wording.real} ended after {idle:,} steps without "
            "a reward above 0; the paper's do not. Report episodes are never stopped so."
        )
    short = short_episodes(options)
    if short is not None:
        notes.append(
            f"Short episodes: in the first {short.generations:,} generations, episodes of the {wording.real} that scored controllers were "
            f"cut off after {short.steps:,} steps; the paper's are whole. Report episodes are whole."
        )
    if any(row.variant in options.variants and options.variants[row.variant].selection == "validation" for row in rows):
        notes.append("Rows selected on real validation episodes have used the real game for more than collection.")
    return [f"- {note}" for note in notes]


def latex_text(rows: Sequence[TableRow], options: ExperimentOptions, wording: Wording) -> str:
    """A booktabs table; needs \\usepackage{booktabs}."""
    heading = rf" & Dream & {wording.real.capitalize()} & 95\,\% interval & Paper, dream & Paper, real"
    return latex_table("lrrrrr", heading, (_visible_cells(row)[:6] for row in rows), options.scale)
