"""Outputs of a stage whose head died before it noted them: taken back, if they are whole."""

import json
import os

import pytest

from worldmodels.provenance import provenance_path, record_provenance
from worldmodels.runtime.finished import forget_all, keep, kept_folder, take_back


@pytest.fixture
def outputs(tmp_path):
    """Two outputs of the same name in different places, as import_published_weights has, with their records."""
    paths = [tmp_path / "results" / "toy" / model / "weights.bin" for model in ("vae", "mdn_rnn")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_text(path.parent.name)
        record_provenance(path, {"stage": "toy"}, 0.0)
    return paths


@pytest.fixture
def folder(tmp_path):
    return kept_folder(tmp_path / "results" / "toy" / ".state" / "weights.bin-0123")


def delete(outputs):
    for path in outputs:
        path.unlink()
        provenance_path(path).unlink()


def test_deleted_outputs_are_taken_back(outputs, folder):
    keep(folder, outputs)
    delete(outputs)
    assert take_back(folder, outputs)
    assert [path.read_text() for path in outputs] == ["vae", "mdn_rnn"]
    assert json.loads(provenance_path(outputs[1]).read_text())["stage"] == "toy"


def test_nothing_is_taken_back_where_nothing_is_kept(outputs, folder):
    assert not take_back(folder, outputs)


def test_what_was_cut_short_is_made_again(outputs, folder):
    keep(folder, outputs)
    os.truncate(outputs[0], 1)  # the link is the same file
    delete(outputs)
    assert not take_back(folder, outputs)


def test_outputs_of_other_libraries_are_made_again(outputs, folder):
    record = json.loads(provenance_path(outputs[0]).read_text())
    record["libraries"]["torch"] = "1.0"
    provenance_path(outputs[0]).write_text(json.dumps(record))
    keep(folder, outputs)
    assert not take_back(folder, outputs)


def test_head_forgets_them_all(outputs, folder, tmp_path):
    keep(folder, outputs)
    forget_all(tmp_path / "results")
    assert not folder.exists() and all(path.exists() for path in outputs)
