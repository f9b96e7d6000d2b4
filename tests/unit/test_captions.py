"""What the report's captions say of an experiment must be what config.yaml asks for."""

import pytest
from docutils.core import publish_parts
from jinja2 import Environment

from worldmodels.config.captions import (
    FIGURE_TITLES,
    SCALES,
    about,
    about_any,
    about_simulators,
    category,
    escape,
    figure_title,
    plain,
)
from worldmodels.config.load import load_config
from worldmodels.config.simulator_products import figure_names
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
    assert "32 × 4 real episodes of at most 1,000 steps, 500 in the first 84 generations" in driver
    seen = about(CONFIG, "carracing-laptop-dream-agent")["protocol"]
    assert (
        "200 rollouts of the agent z-h of ``carracing-laptop`` with ε = 0.02 and, in 25.0% of them, of a random policy ("
        in seen
    )


def test_protocol_of_simulators():
    """What each number hangs on: scale, seeds, frames and who played them, updates, sequences, the command."""
    paper, laptop = (about_simulators(CONFIG, name)["protocol"] for name in ("atari-res", "simulators-laptop"))
    assert "**Scale:** the paper's scale." in paper and "**Training seeds:** 1 (1)." in paper
    assert "5,000,000 frames of each of bowling, breakout" in paper and "of an agent (``dqn``, ε = 0.2)" in paper
    assert "**Budget of a simulator:** 500,000 to 1,500,000 updates of 16 windows of 20 to 85 steps." in paper
    assert "10,000 held-out sequences, 100 steps ahead after 11 real frames" in paper
    assert "no number here confirms or refutes the paper" in laptop
    assert "50,000 frames of each of ms_pacman, seaquest, of uniformly random actions (``atari-laptop``)." in laptop
    assert "copy-last, mean-frame are those of ``atari-acvp-laptop``" in laptop
    assert "snakemake --cores all results/simulators-laptop/table.csv" in laptop
    online = about_simulators(CONFIG, "atari-res-online-smoke")["protocol"]
    assert "pong, played meanwhile by an agent (``dqn-smoke``, ε = 0.2), the newest 200 frames of it" in online
    data = about_simulators(CONFIG, "atari-acvp-laptop-data")["protocol"].split("**")[6]
    assert (
        "of an agent (``a2c-laptop``, ε = 0.3) (``atari-a2c-laptop``), for acvp-feed-forward, acvp-no-action, acvp-paper; "
        in data
    )
    assert "uniformly random actions (``atari-laptop``), for acvp-feed-forward-random, " in data


def test_budget_of_a_curriculum_is_that_of_all_its_stages():
    """And a plateau may end a training earlier."""
    one = {"preset": "res-laptop", "updates": 5, "batch_size": 2, "warm_up": 3, "subsequence": 4}
    two = {**one, "after": "one", "updates": 7}
    copied = {"preset": "copy-last"}

    def budget(**simulators):
        place = {"dataset": "atari-laptop", "games": ["pong"], "simulators": simulators}
        frames = {"atari-laptop": CONFIG.atari_datasets["atari-laptop"].model_dump()}
        config = load_config(
            {"datasets": {}, "experiments": {}, "atari_datasets": frames, "simulator_experiments": {"mine": place}}
        )
        return about_simulators(config, "mine")["protocol"].split("**Budget of a simulator:** ")[1].split(". **")[0]

    assert budget(one=one, two=two, copied=copied) == "5 to 12 updates of 2 windows of 7 steps"
    assert budget(one={**one, "plateau_updates": 2}) == "at most 5 updates of 2 windows of 7 steps"
    assert budget(copied=copied) == "none, since nothing is trained"


@pytest.mark.parametrize("experiment", [*CONFIG.experiments, *CONFIG.simulator_experiments])
def test_every_experiment_states_scale_seeds_data_and_budget(experiment):
    facts = about_any(CONFIG, experiment)
    for what in ("Scale", "Training seeds", "Data", "Budget of a", "Make it again"):
        assert f"**{what}" in facts["protocol"]
    assert "*" not in plain(facts["protocol"]) and "`" not in plain(facts["protocol"])
    assert facts["title"] and facts["paper"]


def test_figures_of_simulators_have_names_for_people():
    """`training` is of V and M in one kind of experiment, of simulators in the other."""
    assert figure_title(CONFIG, "doom", "training") == "Training of V and M"
    assert figure_title(CONFIG, "atari-acvp", "training") == "Training of simulators"
    assert figure_title(CONFIG, "atari-acvp", "actions-ms-pacman") == "How alike the actions are (ms-pacman)"
    for experiment in CONFIG.simulator_experiments:
        names = figure_names(CONFIG, experiment)
        titles = [figure_title(CONFIG, experiment, name) for name in names]
        assert len({*titles, *names}) == 2 * len(names), "each has a title, no two the same"


def test_categories_tell_experiments_apart():
    names = [category(CONFIG, name) for name in [*CONFIG.experiments, *CONFIG.simulator_experiments]]
    assert len(set(names)) == len(names)
    assert "Doom Take Cover on a laptop (doom-laptop)" in names
    twins = load_config(
        {
            "datasets": {"d": {}},
            "experiments": {name: {"title": "A: b", "dataset": "d", "variants": {"v": {}}} for name in "ab"},
        }
    )
    assert [category(twins, name) for name in "ab"] == ["A, b (a)", "A, b (b)"]


@pytest.mark.parametrize(
    ("path", "experiment"),
    [
        pytest.param(path, experiment, id=f"{path.stem} of {experiment}")
        for path in CAPTIONS
        for experiment in ("doom-smoke", "carracing", "atari-res", "atari-acvp-smoke", "simulators-laptop")
        if path.stem == "workflow" or path.stem.endswith("_simulators") == (experiment in CONFIG.simulator_experiments)
    ],
)
def test_captions_are_valid_for_every_figure(path, experiment):
    """The report would show docutils' complaints to its reader."""
    of_simulators = experiment in CONFIG.simulator_experiments
    names = figure_names(CONFIG, experiment) if of_simulators else [*FIGURE_TITLES, "another"]
    for figure in names:
        wildcards = {"figure": figure, "game": "pong"}
        snakemake = {"params": {"about": about_any(CONFIG, experiment)}, "wildcards": wildcards}
        text = (
            Environment(trim_blocks=True, lstrip_blocks=True).from_string(path.read_text()).render(snakemake=snakemake)
        )
        html = publish_parts(text, writer="html", settings_overrides={"report_level": 1})["body"]
        assert "system-message" not in html and "{{" not in html


def test_titles_are_shown_as_they_are():
    shown = publish_parts(escape("a_ *b* `c` |d|"), writer="html")["body"]
    assert "a_ *b* `c` |d|" in shown


def test_every_scale_has_words():
    known = [*CONFIG.experiments.values(), *CONFIG.simulator_experiments.values()]
    assert {options.scale for options in known} <= set(SCALES)
