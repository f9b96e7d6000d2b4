"""The workflow through Snakemake itself, on real ViZDoom at smoke scale: what runs, what reruns, what survives."""

import csv
import json
import resource
import shutil

import pytest

from worldmodels.figures.episodes import read_episodes

pytestmark = pytest.mark.workflow
TABLE = "results/doom-smoke/table.csv"


def test_paper_scale_is_planned_in_seconds(checkout):
    """10,000 rollouts in 80 shards, V and M once a seed, five temperatures and the random policy."""
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    planned = checkout.planned("results/doom/table.csv")
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime < 15  # of the processor, whatever else it does
    assert planned == {
        "collect_rollouts": 80,
        "train_vae": 3,
        "encode_latents": 3,
        "train_mdn_rnn": 3,
        "evolve_controller": 15,
        "evaluate_controller": 18,
        "tabulate": 1,
    }


def test_car_racing_trains_its_models_once_for_all_controllers(checkout):
    """Five controllers and the random policy of three training seeds; the untrained M, for a trained and for an untrained V."""
    assert checkout.planned("results/carracing/table.csv") == {
        "collect_rollouts": 200,
        "train_vae": 3,
        "encode_latents": 3,
        "train_mdn_rnn": 3,
        "initialise_vae": 3,
        "initialise_mdn_rnn": 6,
        "evolve_controller": 15,
        "evaluate_controller": 18,
        "tabulate": 1,
    }


def test_data_that_the_disk_cannot_hold_is_refused_before_the_first_job(checkout):
    """Shards are summed: 1,000 of 8 GB each of Doom, and one of Atari frames that is too large by itself."""
    if shutil.disk_usage(checkout.folder).free > 5e12:
        pytest.skip("this disk could hold the largest data set")
    checkout.edit("config.yaml", "episodes_per_shard: 4\n    shards: 2", "episodes_per_shard: 2000\n    shards: 1000")
    checkout.edit("config.yaml", "frames_per_shard: 200\n", "frames_per_shard: 800000000000\n")
    for target, shards in (("doom-smoke/table.csv", 1000), ("data/atari-smoke-pong/train-000.h5", 1)):
        result = checkout.snakemake(f"results/{target}")
        said = result.stdout + result.stderr
        assert result.returncode != 0 and "Traceback" not in said
        assert f"collecting {shards} shards needs about" in said and "of disk, but" in said
    assert not list(checkout.folder.glob("results/**/*.h5"))


def test_models_are_shared_and_equal_controllers_taken_over(checkout):
    planned = checkout.planned("results/doom-laptop-temperatures/table.csv")
    assert planned["train_vae"] == planned["train_mdn_rnn"] == 3
    both = checkout.planned("results/doom-laptop-temperatures/table.csv", "results/doom-laptop/table.csv")
    assert both["evolve_controller"] == planned["evolve_controller"] == 15


def put_released_weights(checkout, game, experiment):
    """Random files in the released format, where the experiment looks for them."""
    import numpy as np

    from worldmodels.models.published_weights import RELEASED, mdn_rnn_shapes, vae_shapes

    folder = checkout.folder / "published-weights" / experiment.removesuffix("-published")
    folder.mkdir(parents=True)
    rng, sizes = np.random.default_rng(0), RELEASED[game]
    lstm, head = mdn_rnn_shapes(sizes.mdn_rnn)
    for name, shapes in {"vae": vae_shapes(sizes.vae), "rnn": lstm + head}.items():
        arrays = [rng.integers(-300, 300, shape).tolist() for shape in shapes]
        (folder / f"{name}.json").write_text(json.dumps(arrays))
    weights = rng.normal(size=sizes.controller_size).round(4).tolist()
    (folder / "controller.json").write_text(json.dumps([weights, 900.0]))


@pytest.mark.parametrize("experiment", ["doom-published", "carracing-published"])
def test_released_weights_are_scored_without_training(checkout, experiment):
    """Nothing is collected or trained; without the files, one sentence says where they come from."""
    missing = checkout.snakemake("-n", f"results/{experiment}/table.csv")
    assert missing.returncode != 0
    assert "does not exist, and the workflow downloads nothing. Put " in missing.stdout + missing.stderr
    folder = checkout.folder / "published-weights" / experiment.removesuffix("-published")
    folder.mkdir(parents=True)
    for name in ("vae", "rnn", "controller"):
        (folder / f"{name}.json").write_text("[]")
    planned = checkout.planned(f"results/{experiment}/table.csv")
    assert planned == {"import_published_weights": 1, "evaluate_controller": 2, "tabulate": 1}


def test_released_weights_become_a_table(checkout):
    put_released_weights(checkout, "Doom", "doom-published")
    checkout.edit(
        "config.yaml", "evaluation: {precision: fp32}", "evaluation: {precision: fp32, episodes: 2, games: 2}"
    )
    result = checkout.snakemake("results/doom-published/table.csv")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    with (checkout.folder / "results/doom-published/table.csv").open() as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    assert int(rows["published"]["actual_n"]) == 2 and float(rows["published"]["actual_mean"]) > 20
    assert rows["published"]["paper_actual"] == "1092 ± 556"
    assert not rows["published"]["generations"], "nothing was evolved, so no budget may stand there"


def test_mistakes_in_a_target_or_in_the_config_are_one_sentence(checkout):
    wrong = checkout.snakemake("-n", "results/doom-latop/table.csv")
    assert wrong.returncode != 0 and "Did you mean 'doom-laptop'" in wrong.stdout + wrong.stderr
    checkout.edit("config.yaml", "free_bits: 1.5 #", "fre_bits: 1.5 #")
    wrong = checkout.snakemake("-n", "quickstart")
    assert wrong.returncode != 0
    assert "unknown key experiments.doom-laptop.vae.fre_bits. Did you mean 'free_bits'" in wrong.stdout + wrong.stderr


def test_one_command_makes_every_product(finished):
    folder = finished.folder / "results" / "doom-smoke"
    rows = {row["variant"]: row for row in csv.DictReader((folder / "table.csv").open())}
    assert int(rows["tau-1.15"]["actual_n"]) == int(rows["random"]["actual_n"]) == 4
    assert float(rows["random"]["actual_mean"]) > 50
    assert rows["tau-1.15"]["scale"] == "smoke" and rows["tau-1.15"]["verdict"] == "smaller scale"
    assert "mean nothing" in (folder / "table.md").read_text()
    for name in ("evolution", "scores", "reconstructions", "dream", "training"):
        assert (folder / "figures" / f"{name}.svg").stat().st_size > 2000
        assert (folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    for name in ("real", "dream"):
        assert (folder / "videos" / f"{name}.mp4").stat().st_size > 2000
    left = {path.name for path in (folder / ".state").iterdir() if path.is_dir()}
    assert left == {"shorter"}, "unfinished work is none; what a search with more generations would go on from stays"


def test_every_product_says_where_it_came_from(finished):
    folder = finished.folder / "results" / "doom-smoke"
    record = json.loads((folder / "seed-1/models/mdn_rnn/weights.safetensors.provenance.json").read_text())
    assert record["stage"] == "train_mdn_rnn"
    assert record["config"]["training"]["model"]["hidden_size"] == 512
    assert list(record["inputs"]) == ["results/doom-smoke/seed-1/latents.h5"]
    assert record["libraries"]["torch"].startswith("2.13") and record["peak_memory_mb"] > 50
    other = json.loads((folder / "seed-1/models/mdn_rnn/metrics.csv.provenance.json").read_text())
    assert other["peak_memory_mb"] == record["peak_memory_mb"]  # the stage's; asking git is not part of it


def test_nothing_reruns_when_nothing_or_only_a_comment_changed(edited):
    assert edited.planned("smoke") == {}
    for name in ("models/vae.py", "models/mdn_rnn.py", "training.py", "evolution.py", "stages/train_vae.py"):
        path = edited.folder / "src" / "worldmodels" / name
        path.write_text("# a new comment\n" + path.read_text() + "\n\n# another\n")
    assert edited.planned("smoke") == {}


def test_change_of_the_evolution_reruns_evolution_and_later_only(edited):
    edited.edit("config.yaml", "population: 6", "population: 8")
    planned = edited.planned(TABLE)
    assert set(planned) == {"evolve_controller", "evaluate_controller", "tabulate"}


def test_change_of_the_memory_leaves_vision_and_data_alone(edited):
    edited.edit("src/worldmodels/models/mdn_rnn.py", "MIN_LOG_SIGMA = -7.0", "MIN_LOG_SIGMA = -6.5")
    planned = edited.planned(TABLE)
    assert set(planned) == {"train_mdn_rnn", "evolve_controller", "evaluate_controller", "tabulate"}


def test_more_shards_keep_the_ones_that_exist(edited):
    edited.edit("config.yaml", "    shards: 2\n", "    shards: 3\n")
    assert edited.planned(TABLE)["collect_rollouts"] == 1


def test_dry_run_says_why(edited):
    edited.edit("config.yaml", "population: 6", "population: 8")
    result = edited.snakemake("-n", TABLE)
    assert "Params have changed since last execution" in result.stdout + result.stderr


def test_truncated_shard_is_named_and_made_again_by_the_same_command(edited):
    shard = edited.folder / "results/data/doom-random-smoke/001.h5"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:5000])
    edited.edit("config.yaml", "      epochs: 1\n      batch_size: 32\n", "      epochs: 1\n      batch_size: 16\n")
    target = "results/doom-smoke/seed-1/models/vae/weights.safetensors"
    failed = edited.snakemake(target)
    assert failed.returncode != 0
    assert "001.h5 is not what its stage wrote" in failed.stdout + failed.stderr
    assert shard.with_name("001.h5.damaged").stat().st_size == 5000
    assert edited.snakemake(target).returncode == 0 and shard.read_bytes() == whole


def test_two_heads_on_one_results_folder_are_one_too_many(edited):
    import fcntl

    lock = (edited.folder / "results" / ".lock").open("a+")
    fcntl.flock(lock, fcntl.LOCK_EX)
    edited.edit("config.yaml", "population: 6", "population: 8")
    second = edited.snakemake(TABLE)
    assert second.returncode != 0
    assert "another snakemake" in second.stdout + second.stderr


@pytest.mark.slow
def test_every_way_to_select_a_controller_makes_a_row(edited):
    result = edited.snakemake("results/doom-smoke-selection/table.csv")
    assert result.returncode == 0, result.stdout + result.stderr
    with (edited.folder / "results/doom-smoke-selection/table.csv").open() as file:
        # Published rows that no variant answers to stand in the table too, without our value.
        rows = {row["variant"]: row for row in csv.DictReader(file) if row["actual_mean"]}
    assert set(rows) == {"mean", "best", "validation"}
    assert all(float(row["actual_mean"]) > 0 for row in rows.values())
    folder = edited.folder / "results/doom-smoke-selection/seed-1"
    assert not (folder / "models").exists(), "models_from: the models of doom-smoke serve"
    kept = {name: json.loads((folder / f"controllers/{name}/controller.json").read_text()) for name in rows}
    assert {name: one["selection"] for name, one in kept.items()} == {name: name for name in rows}
    # All three searched alike: what differs is which controller was kept.
    histories = {(folder / f"controllers/{name}/history.csv").read_text().split("\n")[1][:30] for name in rows}
    assert len(histories) == 1
    # Two jobs played each agent's episodes: the same ones, with the same ends, as the one job of doom-smoke.
    halves = [read_episodes([folder / f"controllers/mean/batches/{name}.csv"]) for name in ("000", "001")]
    assert [sum(row.environment == "real" for row in half) for half in halves] == [2, 2]
    assert [row.environment for row in halves[1]] == ["real", "real"], "the dreams are the first job's"
    whole = read_episodes([edited.folder / "results/doom-smoke/seed-1/controllers/tau-1.15/episodes.csv"])
    assert [row[3:] for half in halves for row in half] == [row[3:] for row in whole]


@pytest.mark.timeout(1800)
def test_cars_with_every_controller_from_one_command(checkout):
    """All five controllers of the CarRacing table, on V and M that were trained once; then dreams, also of what an agent saw."""
    result = checkout.snakemake("smoke_carracing", timeout=1700)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    folder = checkout.folder / "results" / "carracing-smoke"
    with (folder / "table.csv").open() as file:
        rows = {row["variant"]: row for row in csv.DictReader(file) if row["actual_mean"]}
    assert set(rows) == {"z-h", "z-only", "z-hidden", "z-h-untrained-m", "z-h-untrained", "random"}
    sizes = {}
    for name in set(rows) - {"random"}:
        controller = json.loads((folder / f"seed-1/controllers/{name}/controller.json").read_text())
        sizes[name] = len(controller["weights"])
    assert sizes == {"z-h": 867, "z-only": 99, "z-hidden": 1443, "z-h-untrained-m": 867, "z-h-untrained": 867}
    assert (folder / "videos/real.mp4").stat().st_size > 2000
    dreams = checkout.folder / "results" / "carracing-dream-smoke"
    with (dreams / "table.csv").open() as file:
        rows = {row["variant"]: row for row in csv.DictReader(file) if row["actual_mean"]}
    assert set(rows) == {"dream", "dream-dropout", "random"}
    agents = [dreams / "seed-1/controllers" / name for name in ("dream", "dream-dropout")]
    assert all(json.loads((agent / "controller.json").read_text())["dream_steps"] > 0 for agent in agents)
    # The same candidates of the same seed: that some were ranked differently is likely, that rewards differ is certain.
    with_all, with_dropout = ((agent / "history.csv").read_text() for agent in agents)
    assert with_all != with_dropout
    seen = json.loads((checkout.folder / "results/data/carracing-agent-smoke/000.h5.provenance.json").read_text())
    assert any(path.endswith("carracing-smoke/seed-1/controllers/z-h/controller.json") for path in seen["inputs"])
    assert (checkout.folder / "results/carracing-dream-agent-smoke/table.csv").exists()


@pytest.mark.slow
def test_results_folder_that_was_half_deleted_is_made_whole(edited, finished):
    experiment = edited.folder / "results" / "doom-smoke"
    table = (finished.folder / "results/doom-smoke/table.csv").read_bytes()
    for name in ("seed-1/controllers", "figures"):
        shutil.rmtree(experiment / name)
    for name in ("table.csv", "seed-1/latents.h5", "seed-1/models/vae/metrics.csv"):
        (experiment / name).unlink()
    (edited.folder / "results/data/doom-random-smoke/000.h5.provenance.json").unlink()
    result = edited.snakemake("smoke")
    assert result.returncode == 0, result.stdout + result.stderr
    assert (experiment / "table.csv").read_bytes() == table
    assert list((experiment / "figures").glob("*.svg"))
