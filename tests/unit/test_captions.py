"""What the report's captions say of an experiment must be what config.yaml asks for."""

import pytest
from docutils.core import publish_parts
from jinja2 import Environment

from worldmodels.config.captions import FIGURE_TITLES, SCALES, about, category, escape
from worldmodels.config.load import load_config
from worldmodels.figures.claims_page import REPOSITORY

CONFIG = load_config(REPOSITORY / "config.yaml")
CAPTIONS = sorted((REPOSITORY / "workflow" / "report").glob("*.rst"))


def test_protocol_of_the_paper_and_of_the_laptop():
    paper, laptop = about(CONFIG, "carracing")["protocol"], about(CONFIG, "doom-laptop-temperatures")["protocol"]
    assert "**Scale:** the paper's scale." in paper and "**Training seeds:** 3 (1, 2, 3)." in paper
    assert "1,024 a variant and training seed" in paper and "10,000 rollouts" in paper
    assert "1,800 generations of 64 × 16 real episodes of at most 1,000 steps" in paper
    assert "no number here confirms or refutes the paper" in laptop
    assert "V and M are those of ``doom-laptop``" in laptop
    assert "25 generations of 32 × 12 dreams of at most 2,100 steps." in laptop
    driver = about(CONFIG, "carracing-laptop")["protocol"]
    assert "stopped after 100 steps without a reward" in driver and "stopped" not in paper


def test_categories_tell_experiments_apart():
    names = [category(CONFIG, name) for name in CONFIG.experiments]
    assert len(set(names)) == len(names)
    assert "Doom Take Cover on a laptop (doom-laptop)" in names
    twins = load_config(
        {
            "datasets": {"d": {}},
            "experiments": {name: {"title": "A: b", "dataset": "d", "variants": {"v": {}}} for name in "ab"},
        }
    )
    assert [category(twins, name) for name in "ab"] == ["A, b (a)", "A, b (b)"]


@pytest.mark.parametrize("path", CAPTIONS, ids=lambda path: path.name)
@pytest.mark.parametrize("experiment", ["doom-smoke", "carracing"])
def test_captions_are_valid_for_every_figure(path, experiment):
    """The report would show docutils' complaints to its reader."""
    for figure in [*FIGURE_TITLES, "another"]:
        snakemake = {"params": {"about": about(CONFIG, experiment)}, "wildcards": {"figure": figure}}
        text = (
            Environment(trim_blocks=True, lstrip_blocks=True).from_string(path.read_text()).render(snakemake=snakemake)
        )
        html = publish_parts(text, writer="html", settings_overrides={"report_level": 1})["body"]
        assert "system-message" not in html and "{{" not in html


def test_titles_are_shown_as_they_are():
    shown = publish_parts(escape("a_ *b* `c` |d|"), writer="html")["body"]
    assert "a_ *b* `c` |d|" in shown


def test_every_scale_has_words():
    assert {options.scale for options in CONFIG.experiments.values()} <= set(SCALES)
