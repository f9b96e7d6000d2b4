"""The report that `snakemake --report` makes: what a stranger sees, and whether a browser shows it."""

import base64
import json
import re
import shutil
import subprocess

import pytest

from worldmodels.config import dag
from worldmodels.config.load import load_config

pytestmark = [pytest.mark.workflow, pytest.mark.timeout(1800)]
CATEGORY = "Doom Take Cover, smoke test (doom-smoke)"
FOLDER = "results/doom-smoke"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    result = finished.snakemake("smoke", "--report", str(path))
    assert result.returncode == 0, result.stdout + result.stderr
    return path


def variable(report, name):
    """What a script of the report assigns to the variable `name`."""
    return json.loads(re.search(rf'<script id="{name}">\s*var {name} = (.*);\n', report.read_text())[1])


def test_every_product_is_inside_under_its_kind(report, finished):
    products = dag.products(load_config(finished.folder / "config.yaml"), "doom-smoke")
    kinds = variable(report, "categories")[CATEGORY]
    assert list(variable(report, "categories")) == [CATEGORY]
    assert sorted(path for paths in kinds.values() for path in paths) == sorted(products)
    assert {kind: len(paths) for kind, paths in kinds.items()} == {"Tables": 4, "Figures": 10, "Films": 4}
    for path, result in variable(report, "results").items():
        content = base64.b64decode(result["data_uri"].split(";base64,")[1])
        assert content == (finished.folder / path).read_bytes()
        assert len(result["labels"]) == 2


def test_captions_explain_each_figure_and_state_scale_seeds_episodes_and_budget(report):
    results = variable(report, "results")
    for path, result in results.items():
        caption = " ".join(re.sub(r"<[^>]+>", "", result["caption"]).split())
        assert "system-message" not in result["caption"], f"{path}: the caption is not valid reStructuredText"
        assert "its numbers mean nothing" in caption
        assert "Training seeds: 1 (1)" in caption and "Report episodes: 4 a variant" in caption
        assert "3 generations of 6 × 2 dreams of at most 60 steps" in caption
        assert "snakemake --cores all results/doom-smoke/table.csv" in caption
    figures = {path: one["caption"].split("Scale:")[0] for path, one in results.items() if path.endswith(".svg")}
    assert len(set(figures.values())) == len(figures) == 5
    assert "cheat its world model" in figures[f"{FOLDER}/figures/evolution.svg"]


def test_words_of_captions_rerun_nothing(edited):
    edited.edit("src/worldmodels/config/captions.py", "it only shows that the workflow runs", "a mere trial")
    edited.edit("workflow/report/figure.rst", "How CMA-ES improved", "How evolution improved")
    assert edited.planned("smoke") == {}


def test_pages_need_no_other_file(finished):
    film = (finished.folder / FOLDER / "videos/dream.mp4").read_bytes()
    page = (finished.folder / FOLDER / "videos/dream.html").read_text()
    assert base64.b64encode(film).decode() in page
    table = (finished.folder / FOLDER / "table.html").read_text()
    assert "<td>τ = 1.15</td>" in table and "these numbers mean nothing" in table
    assert not re.search(r"(src|href)=.(?!data:)", page + table)


def dom(page, script, folder):
    """What Chromium makes of a page after `script`, without the page's own scripts."""
    driven = folder / "driven.html"
    driven.write_text(page.read_text() + f"<script>setTimeout(() => {{{script}}}, 1500)</script>")
    quiet = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
    settings = ("--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'profile'}")
    command = [
        CHROMIUM,
        "--headless",
        *quiet,
        *settings,
        "--virtual-time-budget=8000",
        "--dump-dom",
        f"file://{driven}",
    ]
    text = subprocess.run(command, capture_output=True, text=True, timeout=240).stdout
    return re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


VISITS = """
const visits = [
    () => app.showCategory(Object.keys(categories)[0]),
    () => app.setView({navbarMode: "subcategory", subcategory: "Figures"}),
    () => app.showResultInfo("results/doom-smoke/figures/training.svg"),
    () => app.setView({content: "html", contentPath: results["results/doom-smoke/table.html"].data_uri}),
];
let seen = "";
function visit(number) {
    if (number == visits.length) { document.body.innerHTML = seen; return; }
    visits[number]();
    setTimeout(() => { seen += `<hr>${document.querySelector("#app").innerHTML}`; visit(number + 1); }, 500);
}
visit(0);
"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to show the report in")
def test_browser_shows_categories_labels_captions_and_tables(report, tmp_path):
    _, category, figures, caption, table = dom(report, VISITS, tmp_path).split("<hr>")
    assert CATEGORY in category and all(f">{kind}<" in category for kind in ("Tables", "Figures", "Films"))
    assert ">Evolution of the controllers<" in figures and ">Picture (SVG)<" in figures
    assert "free bits keep V from" in caption
    assert '<iframe src="data:text/html' in table


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to play the film in")
def test_browser_plays_the_film(finished, tmp_path):
    tell = "const film = document.querySelector('video'); document.title = `${film.videoWidth} ${film.currentTime > 0}`"
    opened = dom(finished.folder / FOLDER / "videos/real.html", tell, tmp_path)
    assert "<title>520 true</title>" in opened
