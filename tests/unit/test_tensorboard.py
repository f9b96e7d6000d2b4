"""TensorBoard files: the same numbers as metrics.csv, each once, whatever happens to the stage."""

import csv
import os
import signal

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from toy_project import CONFIG, ToyProject

from worldmodels.runtime.progress import Progress
from worldmodels.runtime.state import StateFolder
from worldmodels.runtime.stop import StopRequest
from worldmodels.runtime.tensorboard import board_folder


def curve(folder, name):
    """[(step, value), ...] as TensorBoard shows it."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars(name)]


def advance(state, first, last, scale, title="train_toy"):
    """Report rows first + 1 to last, each of two units, and end like a killed process: nothing is closed."""
    progress = Progress(title, 40, "frames", state, first * 2).__enter__()
    for row in range(first, last):
        progress.advance(2, loss=scale * (row + 1))
    return progress


@pytest.fixture
def folder(state):
    return board_folder(state, "train_toy")


def test_killed_stage_goes_on_with_its_curve(tmp_path):
    """Real processes: what TensorBoard shows must be metrics.csv, no row twice, none lost."""
    toy = ToyProject(tmp_path)
    options = CONFIG["experiments"]["toy"]["mdn_rnn"] | {"epochs": 50}
    toy.write_config({**CONFIG, "experiments": {"toy": CONFIG["experiments"]["toy"] | {"mdn_rnn": options}}})
    toy.write_latents()
    process = toy.start_until_checkpoint("train_mdn_rnn")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    toy.environment |= {"WORLDMODELS_CHECKPOINT_SECONDS": "60"}
    result = toy.run("train_mdn_rnn")
    assert result.returncode == 0 and "going on at" in result.stderr
    folder = toy.results / "toy" / "tensorboard" / "seed-1" / "train_mdn_rnn"
    with (toy.folder / toy.job("train_mdn_rnn").outputs[1]).open() as file:
        rows = list(csv.DictReader(file))
    items = options["streams"] * options["chunk"]
    shown = curve(folder, "nll")
    assert [step for step, _ in shown] == [int(row["step"]) * items for row in rows]
    assert [value for _, value in shown] == pytest.approx([float(row["nll"]) for row in rows], abs=1e-4)
    runs = EventMultiplexer().AddRunsFromDirectory(str(toy.results))
    runs.Reload()
    assert list(runs.Runs()) == ["toy/tensorboard/seed-1/train_mdn_rnn"]


def test_rows_after_the_checkpoint_are_replaced(state, folder):
    advance(state, 0, 9, scale=1)
    advance(state, 6, 12, scale=10)
    assert curve(folder, "loss") == [(2 * row, row if row <= 6 else 10 * row) for row in range(1, 13)]


def test_twice_killed_and_a_clock_that_went_back(state, folder):
    """TensorBoard reads the files in the order of their names, which hold the time of some node's clock."""
    advance(state, 0, 5, scale=1)
    (first,) = folder.iterdir()
    first.rename(first.with_name("events.out.tfevents.9999999990"))
    advance(state, 3, 3, scale=10)  # killed before its first row
    advance(state, 3, 6, scale=100)
    assert curve(folder, "loss") == [(2, 1), (4, 2), (6, 3), (8, 400), (10, 500), (12, 600)]


def test_work_that_begins_anew_forgets_the_old_curve(state, folder):
    advance(state, 0, 9, scale=1)
    advance(state, 0, 2, scale=5)
    assert curve(folder, "loss") == [(2, 5), (4, 10)]


def test_only_training_has_curves_and_only_under_results(state, folder, tmp_path):
    advance(state, 0, 3, scale=1, title="evaluate")
    with StateFolder(tmp_path / "by-hand.bin", "0" * 64, StopRequest()) as elsewhere:
        advance(elsewhere, 0, 3, scale=1)
    assert not list(tmp_path.rglob("*tfevents*"))


def test_variants_have_curves_of_their_own(tmp_path):
    results = tmp_path / "results"
    output = results / "doom" / "seed-2" / "controllers" / "tau-1.15" / "controller.json"
    with StateFolder(output, "0" * 64, StopRequest()) as state:
        expected = results / "doom" / "tensorboard" / "seed-2" / "evolve_controller-tau-1.15"
        assert board_folder(state, "evolve_controller") == expected


def test_games_have_curves_of_their_own(tmp_path):
    """Simulators of two games with one seed and one name would write into one folder."""
    for game in ("pong", "qbert"):
        output = tmp_path / "results" / "toy" / game / "seed-1" / "simulators" / "baseline" / "weights.safetensors"
        with StateFolder(output, "0" * 64, StopRequest()) as state:
            expected = tmp_path / "results/toy/tensorboard" / game / "seed-1" / "train_simulator-baseline"
            assert board_folder(state, "train_simulator") == expected


def test_agents_have_curves_of_their_own(tmp_path):
    """Two agents of one game, such as DQN and A2C."""
    for agent in ("dqn", "a2c"):
        output = tmp_path / "results" / "agents" / agent / "pong" / "agent.safetensors"
        with StateFolder(output, "0" * 64, StopRequest()) as state:
            assert (
                board_folder(state, "train_agent")
                == tmp_path / "results/agents/tensorboard" / agent / "train_agent-pong"
            )
            advance(state, 0, 3, scale=1, title="train dqn on pong")
    assert len(list(tmp_path.rglob("*tfevents*"))) == 2


def test_disk_that_refuses_ends_the_curves_not_the_training(state, folder, caplog):
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    progress = advance(state, 0, 3, scale=1)
    assert progress.done == 6
    assert caplog.text.count("no more TensorBoard files") == 1
