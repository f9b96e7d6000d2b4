"""`benchmark checkpoints`: the costs of checkpoints, from the records beside the products."""

import json

import pytest

from worldmodels.benchmarks.checkpoints import measure_checkpoints
from worldmodels.errors import UserError


def record(folder, name, stage, seconds, spent, risk):
    folder.mkdir(parents=True, exist_ok=True)
    costs = {"count": 3, "seconds": spent, "longest_at_risk": risk}
    (folder / f"{name}.provenance.json").write_text(
        json.dumps({"stage": stage, "wall_clock_seconds": seconds, "checkpoints": costs})
    )


def test_shares_are_over_all_runs_and_a_run_counts_once(tmp_path):
    for output in ("weights", "metrics"):  # two outputs of one run
        record(tmp_path / "one", output, "train_vae", 100.0, 1.0, 20.0)
    record(tmp_path / "two", "weights", "train_vae", 300.0, 1.0, 46.5)
    record(tmp_path / "two", "quick", "film", 5.0, 1.0, 1.0)
    assert measure_checkpoints(tmp_path) == {
        "train_vae_runs": 2,
        "train_vae_seconds": 400,
        "train_vae_share": "0.50%",
        "train_vae_at_risk": 46.5,
    }


def test_nothing_to_measure_is_said(tmp_path):
    record(tmp_path, "quick", "film", 5.0, 1.0, 1.0)
    with pytest.raises(UserError, match="has no finished stage of 60 s or more"):
        measure_checkpoints(tmp_path)
