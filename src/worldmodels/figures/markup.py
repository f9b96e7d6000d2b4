"""What all tables have in common as Markdown and LaTeX: a heading, the warning of smoke tests, special characters."""

from collections.abc import Iterable

SMOKE_WARNING = "Smoke test: these numbers mean nothing."
LATEX_SPECIAL = {"&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "τ": r"$\tau$", "±": r"$\pm$"}


def markdown_heading(title: str, scale: str) -> list[str]:
    """The first lines of a table for people."""
    warning = [f"**{SMOKE_WARNING}** They only show that the workflow runs.", ""] if scale == "smoke" else []
    return [f"# {title}", "", *warning]


def latex_table(columns: str, heading: str, rows: Iterable[Iterable[str]], scale: str, remark: str = "") -> str:
    """A booktabs table; needs \\usepackage{booktabs}. columns: their alignment; heading: LaTeX; rows: cells, to be escaped."""
    smoke = scale == "smoke"
    lines = [f"% Needs \\usepackage{{booktabs}}.{remark}", *([f"% {SMOKE_WARNING}"] if smoke else [])]
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rf"{heading} \\", r"\midrule"]
    lines += [rf"{' & '.join(_escape(cell) for cell in row)} \\" for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}", *([rf"\par {SMOKE_WARNING}"] if smoke else [])]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(character, character) for character in text)
