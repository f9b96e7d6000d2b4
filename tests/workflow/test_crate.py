"""The RO-Crate of a finished experiment, read back by the library and against the files that it was made from."""

import hashlib
import json
import subprocess
import sys
import zipfile

import pytest
from rocrate.rocrate import ROCrate

from worldmodels.config import dag
from worldmodels.config.load import load_config

pytestmark = [pytest.mark.workflow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def unpacked(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("crate")
    command = [sys.executable, "-m", "worldmodels", "crate", "doom-smoke", "--output", str(folder / "doom.zip")]
    result = subprocess.run([*command, "--directory", str(finished.folder)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(folder / "doom.zip") as archive:
        archive.extractall(folder / "doom")
    return folder / "doom"


def test_every_file_is_listed_with_its_checksum_and_size(unpacked, finished):
    crate = ROCrate(unpacked)
    listed = {entity.id: entity for entity in crate.data_entities}
    inside = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert inside == {*listed, "ro-crate-metadata.json"}
    for name, entity in listed.items():
        content = (unpacked / name).read_bytes()
        assert entity["sha256"] == hashlib.sha256(content).hexdigest(), name
        assert int(entity["contentSize"]) == len(content)
    config = load_config(finished.folder / "config.yaml")
    episodes = {f"results/doom-smoke/seed-1/controllers/{name}/episodes.csv" for name in ("tau-1.15", "random")}
    wanted = {*dag.products(config, "doom-smoke"), *episodes}
    assert wanted | {f"{path}.provenance.json" for path in wanted} <= set(listed)
    for path in wanted:
        assert (unpacked / path).read_bytes() == (finished.folder / path).read_bytes()


def test_it_says_who_made_what_from_what(unpacked):
    crate = ROCrate(unpacked)
    assert crate.mainEntity.id == "Snakefile" and crate.mainEntity["programmingLanguage"]["name"] == "Snakemake"
    assert "ComputationalWorkflow" in crate.mainEntity.type
    assert crate.root_dataset["author"][0]["name"] == "The worldmodels authors"
    about = crate.root_dataset["description"]
    assert (
        "Scale: smoke test" in about and "3 generations of 6 × 2 dreams" in about and "Training seeds: 1 (1)." in about
    )
    assert crate.license == "https://spdx.org/licenses/MIT"
    (action,) = crate.get_by_type("CreateAction")
    assert action["instrument"].id == "Snakefile"
    assert "results/doom-smoke/table.csv" in {result.id for result in action["result"]}
    block = json.loads((unpacked / action["object"][0].id).read_text())
    assert block["experiment"]["evolution"]["population"] == 6 and block["dataset"]["shards"] == 2


def test_unfinished_experiment_is_one_sentence(tmp_path, capsys):
    from worldmodels.__main__ import main as command

    assert command(["crate", "doom-smoke", "--output", str(tmp_path / "c.zip"), "--directory", str(tmp_path)]) == 1
    assert "results/doom-smoke/table.csv does not exist" in capsys.readouterr().err
    assert not (tmp_path / "c.zip").exists()
