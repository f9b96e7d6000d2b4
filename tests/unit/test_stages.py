"""The command line of stages: clear endings, provenance, and files that belong together."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from worldmodels.config.models import MDNRNNOptions, VAEOptions
from worldmodels.data.latents import Latents, write_latents
from worldmodels.errors import UserError
from worldmodels.figures.videos import Dreamt, compose, dream_film, write_mp4
from worldmodels.figures.wording import WORDING
from worldmodels.models.files import load_controller, load_world_model_files
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.vae import ConvVAE
from worldmodels.runtime.device import resolve_device
from worldmodels.runtime.files import atomic_path, file_checksum, write_json
from worldmodels.runtime.space import require_memory
from worldmodels.runtime.weights import load_weights, read_metadata, save_weights
from worldmodels.stages import collect_rollouts, train_vae


def run(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "worldmodels", *map(str, words)], capture_output=True, text=True, cwd=cwd
    )


def save_models(folder, latent=4):
    torch.manual_seed(0)
    vae, mdn_rnn = ConvVAE(VAEOptions(latent_size=latent)), MDNRNN(MDNRNNOptions(latent_size=latent, hidden_size=8))
    save_weights(folder / "vae.safetensors", vae, "vae", vae.options, {})
    checksum = file_checksum(folder / "vae.safetensors")
    save_weights(folder / "mdn.safetensors", mdn_rnn, "mdn_rnn", mdn_rnn.options, {"vae": checksum})
    zeros = np.zeros((3, latent), np.float16)
    actions, rewards = np.zeros((3, 1), np.float32), np.ones(3, np.float32)
    latents = Latents(zeros, zeros, actions, rewards, np.array([0, 3]), np.array([True]), checksum)
    write_latents(folder / "latents.h5", latents)
    return folder


def test_models_of_one_run_load_and_of_two_runs_do_not(tmp_path):
    ours = save_models(tmp_path)
    cpu = torch.device("cpu")
    paths = [ours / name for name in ("vae.safetensors", "mdn.safetensors", "latents.h5")]
    assert load_world_model_files(*paths, cpu).mdn_rnn.options.latent_size == 4
    other = ConvVAE(VAEOptions(latent_size=4))
    save_weights(ours / "vae.safetensors", other, "vae", other.options, {})
    with pytest.raises(UserError, match="made from another vae"):
        load_world_model_files(*paths, cpu)


def test_unfinished_work_of_another_seed_is_other_work(tmp_path):
    """Run by hand with the same output, seed 2 must not go on from the checkpoint of seed 1."""
    options = {
        "config": '{"training": {}}',
        "dataset": tmp_path,
        "shards": 1,
        "weights": tmp_path / "w",
        "metrics": tmp_path / "m",
    }
    first, second = (train_vae.TrainVAE(seed=seed, **options) for seed in (1, 2))
    for stage in (first, second):
        assert stage._scalar_options() == ["shards", "seed"]
    (tmp_path / "000.h5").write_bytes(b"")
    assert first.facts()["options"] == {"shards": 1, "seed": 1} != second.facts()["options"]


def test_weights_of_another_kind_shape_or_half_a_file_are_named(tmp_path):
    folder = save_models(tmp_path)
    with pytest.raises(UserError, match="holds weights of 'mdn_rnn', not of 'vae'"):
        read_metadata(folder / "mdn.safetensors", "vae", VAEOptions)
    with pytest.raises(UserError, match="does not fit this network"):
        load_weights(folder / "vae.safetensors", ConvVAE(VAEOptions(latent_size=5)))
    path = folder / "vae.safetensors"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match="not a complete weights file"):
        read_metadata(path, "vae", VAEOptions)


def test_same_weights_are_same_bytes(tmp_path):
    """safetensors writes metadata keys in random order; ours must not depend on it."""
    code = (
        "import torch, sys; from pathlib import Path; from worldmodels.runtime.weights import save_weights;"
        "from worldmodels.config.models import VAEOptions;"
        "save_weights(Path(sys.argv[1]), torch.nn.Linear(1, 1).requires_grad_(False).apply(lambda m: m.weight.zero_() + m.bias.zero_()),"
        " 'vae', VAEOptions(), {'a': 'b', 'c': 'd'})"
    )
    for name in ("a", "b", "c"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
    assert len({(tmp_path / name).read_bytes() for name in ("a", "b", "c")}) == 1


def test_weights_of_another_game_are_refused(tmp_path):
    """Doom's V and M, made for each other, do not drive."""
    models = save_models(tmp_path)
    block = {
        "task": {"name": "car_racing"},
        "variant": {"environment": "real"},
        "evolution": {"controller": {"inputs": "z-h", "actions": "steer-gas-brake"}},
        "evaluation": {},
    }
    files = [f"--{name.replace('.', '_')}" for name in ("output", "history")]
    words = ["--vae", models / "vae.safetensors", "--mdn-rnn", models / "mdn.safetensors", "--seed", 1]
    words += [word for option in files for word in (option, tmp_path / option[2:])]
    ended = run("evolve_controller", *words, "--config", json.dumps(block), cwd=tmp_path)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert "trained on actions of 1 numbers, but those of car_racing have 3: it is of another game" in ended.stderr
    content = {"weights": [0.0] * 20, "options": {"inputs": "z-c-h", "bias": False}}
    write_json(models / "controller.json", {**content, "mdn_rnn_sha256": file_checksum(models / "mdn.safetensors")})
    scored = [*words[:6], "--controller", models / "controller.json", "--output", tmp_path / "episodes.csv"]
    scored += [
        "--experiment",
        "x",
        "--variant",
        "y",
        "--config",
        json.dumps({**block, "evolution": None, "policy": None}),
    ]
    ended = run("evaluate_controller", *scored, cwd=tmp_path)
    assert ended.returncode == 1 and "trained on actions of 1 numbers, but those of car_racing have 3" in ended.stderr
    dream = {**block, "task": None, "evaluation": None, "variant": {}}
    ended = run("evolve_controller", *words, "--config", json.dumps(dream), cwd=tmp_path)
    assert ended.returncode == 1 and "actions is 'steer-gas-brake', which makes three" in ended.stderr


def test_controller_of_another_world_model_is_refused(tmp_path):
    folder = save_models(tmp_path)
    content = {"weights": [0.0] * 20, "options": {"inputs": "z-c-h", "bias": False}, "mdn_rnn_sha256": "0" * 64}
    write_json(folder / "controller.json", content)
    with pytest.raises(UserError, match="made from another mdn_rnn"):
        load_controller(folder / "controller.json", folder / "mdn.safetensors")


@pytest.mark.parametrize("damage", [lambda size: [0.5] * (size - 1), lambda size: [math.nan] * size, lambda size: []])
def test_controller_with_lost_weights_is_refused(tmp_path, damage):
    folder = save_models(tmp_path)
    memory = folder / "mdn.safetensors"
    content = {"options": {"inputs": "z-c-h", "bias": False}, "mdn_rnn_sha256": file_checksum(memory)}
    sizes, _ = read_metadata(memory, "mdn_rnn", MDNRNNOptions)
    size = sizes.latent_size + 2 * sizes.hidden_size
    write_json(folder / "controller.json", content | {"weights": [0.5] * size})
    assert len(load_controller(folder / "controller.json", memory).weights) == size
    write_json(folder / "controller.json", content | {"weights": damage(size)})
    with pytest.raises(UserError, match="it is damaged"):
        load_controller(folder / "controller.json", memory)


def test_cuda_that_is_not_there_is_an_error_only_when_asked_for():
    if torch.cuda.is_available():
        assert resolve_device("cuda").type == "cuda"
        return
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(UserError, match="no CUDA device"):
        resolve_device("cuda")


def test_too_little_memory_is_said():
    with pytest.raises(UserError, match=r"needs about .* of memory"):
        require_memory(1e18, "this test")


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_one_sentence(on_small_disk):
    script = """
from pathlib import Path
from worldmodels.errors import UserError
from worldmodels.runtime.files import atomic_path
disk = Path("small")
(disk / "old").write_text("kept")
try:
    with atomic_path(disk / "new") as temporary:
        temporary.write_bytes(b"x" * 1_000_000)
except UserError as error:
    print(error)
print((disk / "old").read_text(), [path.name for path in disk.iterdir()])
"""
    output = on_small_disk(script, kilobytes=64)
    assert "the disk is full" in output and output.endswith("kept ['old']\n")


def test_film_that_a_full_disk_cuts_short_is_not_kept(on_small_disk):
    script = """
from pathlib import Path
from worldmodels.errors import UserError
from worldmodels.figures.videos import write_mp4
from worldmodels.seeds import generator
pictures = generator("test").integers(0, 256, (60, 320, 320, 3), dtype="uint8")
try:
    write_mp4(Path("small/film.mp4"), pictures)
except UserError as error:
    print(error)
print([path.name for path in Path("small").iterdir()])
"""
    output = on_small_disk(script, kilobytes=64)
    assert "ffmpeg did not write small/film.mp4 to its end" in output and output.endswith("[]\n")


def test_film_without_a_picture_is_refused(tmp_path):
    with pytest.raises(UserError, match="without a picture"):
        write_mp4(tmp_path / "film.mp4", [])
    assert not list(tmp_path.iterdir())


def test_stage_explains_itself_and_unknown_commands_suggest(tmp_path):
    assert "--latents" in run("train_mdn_rnn", "--help", cwd=tmp_path).stdout
    wrong = run("train_vea", cwd=tmp_path)
    assert wrong.returncode == 2 and "Did you mean 'train_vae'" in wrong.stderr


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--seed", "x"), "--seed is 'x', but: Input should be a valid integer"),
        (("--seed", "-1"), "--seed is '-1', but: Input should be greater than or equal to 0"),
        (("--shards", "0"), "--shards is '0', but: Input should be greater than or equal to 1"),
        (("--device", "cuda:0"), "--device is 'cuda:0', but: Input should be 'auto', 'cpu' or 'cuda'"),
    ],
)
def test_mistyped_option_is_one_sentence(caplog, option, message):
    words = ["--dataset", "d", "--shards", "1", "--weights", "w", "--metrics", "m", "--seed", "1", "--config", "{}"]
    assert train_vae.main([*words, *option]) == 1
    (record,) = caplog.records
    assert record.getMessage().startswith(f"train_vae: {message}")


def test_shard_before_the_first_is_refused(caplog):
    """It would be written in another one's place."""
    assert collect_rollouts.main(["--output", "000.h5", "--shard", "-1", "--config", "{}"]) == 1
    assert "--shard is '-1'" in caplog.text


def test_missing_input_ends_in_one_sentence(tmp_path):
    block = json.dumps({"training": {}})
    words = ("train_mdn_rnn", "--latents", "nowhere.h5", "--seed", 1, "--config", block)
    result = run(*words, "--weights", "w", "--metrics", "m", "--deaths", "d", cwd=tmp_path)
    assert result.returncode == 1
    assert "nowhere.h5 does not exist" in result.stderr and "Traceback" not in result.stderr


def test_dreams_of_several_temperatures_are_filmed_side_by_side():
    """The shorter one stays at its last step; each has its own caption and line below."""
    long, short = (
        Dreamt(np.full((steps, 64, 64, 3), shade, np.uint8), np.zeros((steps, 3), np.float32), None)
        for steps, shade in ((7, 40), (3, 200))
    )
    pictures = list(dream_film({0.4: long, 1.3: short}, WORDING["car_racing"]))
    assert len(pictures) == 7 and pictures[0].shape == (320, 520, 3)
    last = pictures[-1]
    assert np.all(last[60:200, 20:200] == 40) and np.all(last[60:200, 300:500] == 200)
    below = last[290:318]
    assert not np.array_equal(below[:, :256], below[:, 264:]), "step 6 on the left, step 2 on the right"
    assert np.array_equal(pictures[2][290:318, :256], pictures[2][290:318, 264:])


def test_film_plays_back_what_was_put_in(tmp_path):
    import imageio.v2 as imageio

    pictures = []
    for step in range(20):
        frame = np.full((64, 64, 3), 12 * step, np.uint8)
        pictures.append(compose([frame, frame], ["real game", "what V sees"], [f"tic {step}"]))
    write_mp4(tmp_path / "film.mp4", iter(pictures))
    back = np.stack(list(imageio.get_reader(tmp_path / "film.mp4").iter_data()))
    assert back.shape == (20, 320, 520, 3)
    centres = back[:, 160, 128].mean(axis=1)
    assert np.all(np.abs(centres - 12 * np.arange(20)) < 12)
