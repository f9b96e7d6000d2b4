"""Claims and LaTeX numbers: what is written must be what the committed tables say, and verdicts must follow the rules."""

import csv
import re
from pathlib import Path

import pytest

from worldmodels.config.load import load_config
from worldmodels.errors import UserError
from worldmodels.figures import claims_page
from worldmodels.figures.claims import PAPERS
from worldmodels.figures.claims_page import (
    QUANTITIES,
    REPOSITORY,
    claims_text,
    known_experiments,
    numbers_text,
    read_reports,
    rows_wanted,
)
from worldmodels.figures.judgement import Above, Beats, Cheats, Falls, SameScore, read_rows
from worldmodels.figures.published import PUBLISHED
from worldmodels.figures.tables import COLUMNS

CONFIG = load_config(REPOSITORY / "config.yaml")
REPORTS = REPOSITORY / "reports"


def table(folder, rows, scale="paper"):
    """A table.csv of `folder`; rows: variant -> (real mean, low, high, dream mean or None, verdict)."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for variant, (mean, low, high, dream, verdict) in rows.items():
            cells = {"variant": variant, "actual_mean": mean, "actual_ci_low": low, "actual_ci_high": high}
            cells |= {"actual_n": 3000, "training_seeds": 3, "verdict": verdict, "scale": scale}
            if dream is not None:
                cells |= {"virtual_mean": dream, "virtual_sd": 100.0, "virtual_n": 100}  # ± 19.6
            writer.writerow(cells)
        writer.writerow({"variant": "quoted", "paper_actual": "820 ± 58", "scale": "quoted"})
    return folder / "table.csv"


ROWS = {
    "tau-0.10": (190.0, 180.0, 200.0, 2080.0, "reproduced"),
    "tau-1.15": (1000.0, 900.0, 1100.0, 920.0, "reproduced"),
    "tau-1.30": (1050.0, 950.0, 1150.0, 925.0, "better"),
    "random": (210.0, 195.0, 225.0, None, "reproduced"),
}


@pytest.mark.parametrize(
    "test, holds",
    [
        (Above("tau-1.15", 750), "holds"),
        (Above("tau-1.15", 1050), "unclear"),
        (Above("tau-1.15", 1200), "does not hold"),
        (Beats("tau-1.15", ("tau-0.10", "random")), "holds"),
        (Beats("tau-1.15", ("tau-0.10", "tau-1.30")), "unclear"),
        (Beats("random", ("tau-1.15", "tau-0.10")), "does not hold"),
        (Cheats("tau-0.10"), "holds"),
        (Cheats("tau-1.15"), "does not hold"),  # much better than random, whatever the dream says
        (Falls(("tau-0.10", "tau-1.15")), "holds"),
        (Falls(("tau-0.10", "tau-1.15", "tau-1.30")), "unclear"),
        (Falls(("tau-1.15", "tau-0.10")), "does not hold"),
        (SameScore("tau-1.15"), None),
    ],
)
def test_intervals_decide(tmp_path, test, holds):
    rows = read_rows(table(tmp_path, ROWS))
    assert set(rows) == set(ROWS), "quoted rows are not ours"
    assert test.judge(rows).holds == holds


def lines_of(text, claim):
    return [line for line in text.splitlines() if line.startswith("| ") and claim in line]


def test_verdicts_only_at_the_papers_scale(tmp_path):
    for name, scale in (("doom", "paper"), ("doom-laptop", "laptop"), ("doom-smoke", "smoke")):
        rows = {variant: (mean - len(name), *rest) for variant, (mean, *rest) in ROWS.items()}
        table(
            tmp_path / name,
            rows if scale == "paper" else {v: (*r[:4], "smaller scale") for v, r in rows.items()},
            scale,
        )
    text = claims_text(read_reports(tmp_path, CONFIG), CONFIG)
    solved = lines_of(text, "solves the real game")
    assert len(solved) == 2, "smoke runs answer nothing"
    assert "| reproduced | `results/doom/table.csv` |" in solved[0] and "3,000 real episodes a row" in solved[0]
    assert "| smaller scale (holds) | `results/doom-laptop/table.csv` |" in solved[1]
    assert "| better |" in lines_of(text, "score of `tau-1.30`")[0]
    assert "| smaller scale |" in lines_of(text, "score of `tau-1.30`")[1]
    assert "| not run | `results/doom/table.csv` |" in lines_of(text, "score of `tau-0.50`")[0]
    assert "| not run | `results/carracing/table.csv` |" in lines_of(text, "M's memory helps")[0]
    assert "| not yet |" in lines_of(text, "jumpy models")[0]
    doom = next(line for line in text.splitlines() if line.startswith("| Ha & Schmidhuber 2018, World Models: Doom"))
    claims, *counts = (int(cell.strip() or 0) for cell in doom.split("|")[2:-1])
    assert sum(counts) == claims == 13
    answered = [
        line for line in text.splitlines() if "| `results/doom/table.csv` |" in line and "| not run |" not in line
    ]
    assert counts[0] == len(answered), "a run at the paper's scale goes before one on a laptop"


def test_every_published_row_is_a_claim_and_every_needed_row_is_in_config():
    for paper in PAPERS:
        tests = [claim.test for claim in paper.claims if claim.test]
        if paper.table is None:
            assert not tests
            continue
        assert {test.variant for test in tests if isinstance(test, SameScore)} == set(PUBLISHED.get(paper.table, ()))
        named = {
            variant
            for options in known_experiments(CONFIG).values()
            if options.published == paper.table and options.scale == "paper"
            for variant in rows_wanted(options)
        }
        assert {variant for test in tests for variant in test.variants()} <= named


def test_committed_files_are_up_to_date(capsys):
    assert claims_page.main(["--check"]) == 0, capsys.readouterr().err


def test_stale_file_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "config.yaml").write_text((REPOSITORY / "config.yaml").read_text())
    table(tmp_path / "reports" / "doom", ROWS)
    monkeypatch.setattr(claims_page, "REPOSITORY", tmp_path)
    assert claims_page.main(["--check"]) == 1
    assert "claims.md is out of date: run `python -m worldmodels claims`" in capsys.readouterr().err
    assert claims_page.main([]) == 0 and claims_page.main(["--check"]) == 0
    table(tmp_path / "reports" / "doom", {**ROWS, "random": (211.0, 195.0, 225.0, None, "reproduced")})
    assert claims_page.main(["--check"]) == 1


def committed():
    """Cells of the committed tables: (experiment, row)."""
    for path in sorted(REPORTS.glob("*/table.csv")):
        with path.open() as file:
            yield from ((path.parent.name, row) for row in csv.DictReader(file) if row.get("actual_mean"))


def test_scores_of_the_page_are_those_of_the_csv():
    """Read back from the Markdown, not from the code that wrote it."""
    text = (REPORTS / "claims.md").read_text()
    found = 0
    for line in lines_of(text, "]("):
        claim, _, _, ours, run, _, target = (cell.strip() for cell in line.strip("|").split(" | "))
        experiment = re.search(r"`results/(.+)/table.csv`", target)[1]
        rows = {row["variant"]: row for name, row in committed() if name == experiment}
        if variant := re.fullmatch(r"\W*score of `(.+)`", claim):
            row = rows[variant[1]]
            interval = f"{float(row['actual_mean']):.1f} [{row['actual_ci_low']}, {row['actual_ci_high']}]"
            assert ours.endswith(f"real {interval}")
            seeds = int(row["training_seeds"])
            assert f"{row['scale']}, {seeds} training seed{'s' * (seeds > 1)}, {int(row['actual_n']):,} real" in run
            found += 1
    assert found >= 2


def test_macros_are_letters_unique_and_the_numbers_of_the_csv():
    text = (REPORTS / "numbers.tex").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    parsed = [re.fullmatch(r"\\newcommand\{\\([A-Za-z]+)\}\{(-?\d+(?:\.\d+)?)\}", line) for line in lines]
    assert all(parsed) and len({match[1] for match in parsed}) == len(parsed)
    numbers = {match[1]: match[2] for match in parsed}
    for experiment, row in committed():
        values = [value for column in QUANTITIES if (value := row[column])]
        start = claims_page._letters(experiment) + claims_page._letters(row["variant"])
        assert [numbers[f"{start}{name}"] for column, name in QUANTITIES.items() if row[column]] == values
    assert numbers["DoomLaptopTauOneOneFiveMean"] == next(
        row["actual_mean"] for name, row in committed() if (name, row["variant"]) == ("doom-laptop", "tau-1.15")
    )


def test_two_numbers_of_one_name_are_refused(tmp_path):
    table(tmp_path / "doom", {"tau-1.15": ROWS["tau-1.15"], "tau-11.5": ROWS["tau-1.15"]})
    with pytest.raises(UserError, match=r"two numbers would be called \\DoomTauOneOneFiveMean"):
        numbers_text(read_reports(tmp_path, CONFIG))


def test_report_of_an_unknown_experiment_is_refused(tmp_path):
    table(tmp_path / "forgotten", ROWS)
    with pytest.raises(UserError, match=r"forgotten/table.csv belongs to no experiment"):
        read_reports(tmp_path, CONFIG)


def test_file_that_is_no_table_is_named(tmp_path):
    path = Path(tmp_path / "table.csv")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="is not a table of scores"):
        read_rows(path)
