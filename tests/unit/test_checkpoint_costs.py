"""`benchmark checkpoints`: the costs of checkpoints, from the records beside the products."""

import json
import signal
import time

import pytest
from toy_project import CONFIG, ToyProject

from worldmodels.benchmarks.checkpoints import measure_checkpoints
from worldmodels.errors import UserError
from worldmodels.provenance import read_provenance


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


def test_record_of_a_resumed_stage_holds_the_time_of_all_its_processes(tmp_path):
    """The first process is held still for seconds before it is asked to stop: they must be in the record of the second."""
    held = 3.0
    toy = ToyProject(tmp_path)
    options = CONFIG["experiments"]["toy"]["mdn_rnn"] | {"epochs": 50}
    toy.write_config({**CONFIG, "experiments": {"toy": CONFIG["experiments"]["toy"] | {"mdn_rnn": options}}})
    toy.write_latents()
    begin = time.monotonic()
    process = toy.start_until_checkpoint("train_mdn_rnn")
    process.send_signal(signal.SIGSTOP)
    time.sleep(held)
    process.send_signal(signal.SIGCONT)
    process.terminate()
    assert process.wait() == 143
    first = time.monotonic() - begin
    toy.environment |= {"WORLDMODELS_CHECKPOINT_SECONDS": "60"}
    begin = time.monotonic()
    result = toy.run("train_mdn_rnn")
    second = time.monotonic() - begin
    assert result.returncode == 0 and "going on at" in result.stderr
    for output in toy.job("train_mdn_rnn").outputs:
        record = read_provenance(toy.folder / output)
        costs, seconds = record["checkpoints"], record["wall_clock_seconds"]
        assert costs["earlier_processes"] == 1
        assert held <= costs["earlier_seconds"] <= first
        assert costs["earlier_seconds"] < seconds <= costs["earlier_seconds"] + second + 0.1
        assert costs["longest_at_risk"] >= held
