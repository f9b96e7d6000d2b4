"""`python -m worldmodels status`: it must tell life from death, and a stale product from a good one, and say why."""

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_project import CONFIG, ToyProject, wait_for

from worldmodels.config.jobs import experiment_jobs
from worldmodels.config.key_places import config_key
from worldmodels.config.load import load_config
from worldmodels.provenance import PACKAGE_FOLDER, provenance_path
from worldmodels.runtime.files import read_json, write_json
from worldmodels.runtime.head import take_lock
from worldmodels.runtime.state import StateFolder
from worldmodels.runtime.stop import StopRequest
from worldmodels.status.run import main as status_command
from worldmodels.status.screen import as_text, coloured
from worldmodels.status.survey import survey

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def toy(tmp_path) -> ToyProject:
    return ToyProject(tmp_path / "project")


@pytest.fixture
def screen(toy, capsys):
    """A function that runs status on the toy project and returns its text, or its JSON."""

    def show(*words):
        assert status_command(["--results", str(toy.results), *words]) == 0
        text = capsys.readouterr().out
        return json.loads(text) if "--json" in words else text

    return show


def changed_config(**entries):
    content = copy.deepcopy(CONFIG)
    content["experiments"]["toy"] |= entries
    return content


def test_a_stage_runs_is_killed_and_goes_on(toy, screen):
    """A killed stage must not look alive, and its work must not look lost, nor kept where the config changed."""
    toy.write_latents()
    toy.environment |= {"SLURM_JOB_ID": "88123", "CUDA_VISIBLE_DEVICES": "3"}
    process = toy.start_until_checkpoint("train_mdn_rnn")
    try:
        wait_for(lambda: any(one["share"] for one in screen("--json")["running"]), process)
        (facts,) = screen("--json")["running"]
        assert (facts["pid"], facts["stage"], facts["unit"]) == (process.pid, "train_mdn_rnn", "steps")
        assert facts["output"] == "results/toy/seed-1/models/mdn_rnn/weights.safetensors"
        assert 0 < facts["done"] < facts["total"] and facts["rate"] > 0 and facts["values"]["nll"]
        text = screen()
        assert "SLURM job 88123, GPU 3" in text and f"process {process.pid}" in text
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    text = screen()
    assert "RUNNING" not in text
    assert re.search(r"stopped at \d+ % \(killed\?\), .*; the same command goes on from its last checkpoint", text), (
        text
    )
    for checkpoint in toy.results.glob("toy/.state/*/checkpoint.safetensors"):  # a kill between a save's two renames
        checkpoint.replace(checkpoint.with_name("previous.safetensors"))
    assert "the same command goes on from its last checkpoint" in screen()
    toy.write_config(changed_config(mdn_rnn=CONFIG["experiments"]["toy"]["mdn_rnn"] | {"epochs": 151}))
    assert "changed since: the same command begins anew" in screen()


def test_a_stage_that_was_asked_to_stop_says_so(toy, screen):
    toy.write_latents()
    process = toy.start_until_checkpoint("train_mdn_rnn")
    process.terminate()
    assert process.wait() == 143
    assert re.search(r"stopped at \d+ % \(received SIGTERM\)", screen())


def test_failure_is_shown_until_the_next_success(toy, screen):
    toy.write_latents()
    latents = toy.folder / toy.job("train_mdn_rnn").inputs[0]
    whole = latents.read_bytes()
    latents.write_bytes(whole[: len(whole) // 2])
    provenance_path(latents).unlink()  # or it would be found damaged before the stage has a state folder
    assert toy.run("train_mdn_rnn").returncode == 1
    (facts,) = screen("--json")["failed"]
    assert "latents.h5" in facts["error"] and facts["stage"] == "train_mdn_rnn"
    text = screen()
    assert "FAILED" in text and facts["error"] in text
    assert re.search(
        r"log: .*results/toy/logs/seed-1/train_mdn_rnn.log\n    \| \d\d:\d\d:\d\d train_mdn_rnn on cpu", text
    )
    assert text.count(facts["error"]) == 1
    toy.write_latents()
    toy.write_config(changed_config(mdn_rnn=CONFIG["experiments"]["toy"]["mdn_rnn"] | {"epochs": 1}))
    assert toy.run("train_mdn_rnn").returncode == 0
    assert "FAILED" not in screen()
    assert "toy train_mdn_rnn, seed 1" in screen("--json")["experiments"]["toy"]["finished"]


def test_damaged_input_is_shown_too(toy, screen):
    """The stage ends before it has a state folder."""
    toy.write_latents()
    latents = toy.folder / toy.job("train_mdn_rnn").inputs[0]
    latents.write_bytes(latents.read_bytes()[:100])
    assert toy.run("train_mdn_rnn").returncode == 1
    (facts,) = screen("--json")["failed"]
    assert "is not what its stage wrote" in facts["error"] and not latents.exists()


def test_unexpected_error_is_shown_with_its_traceback(toy, screen):
    """Its traceback is in no log."""
    output = toy.folder / toy.job("initialise_vae").outputs[0]
    with pytest.raises(ZeroDivisionError), StateFolder(output, "0" * 64, StopRequest()):
        _ = 1 / 0
    (facts,) = screen("--json")["failed"]
    assert facts["error"] == "ZeroDivisionError: division by zero"
    assert any("1 / 0" in line for line in facts["log_tail"])


def test_stage_that_failed_before_it_began_is_shown(toy, screen):
    assert toy.run("train_mdn_rnn").returncode == 1  # without latents there is no state folder yet
    (facts,) = screen("--json")["failed"]
    assert "latents.h5 does not exist" in facts["error"]


def test_stale_by_config_names_the_key_and_both_values(toy, screen):
    assert toy.run("initialise_vae").returncode == 0
    assert "STALE" not in screen()
    larger = {"model": {"latent_size": 6}}
    toy.write_config(changed_config(vae=larger, mdn_rnn=larger))
    text = screen()
    assert "toy initialise_vae, seed 1\n    config: experiments.toy.vae.model.latent_size 4 → 6" in text
    assert "code changed" not in text


def test_stale_by_code_names_the_file(toy, tmp_path):
    """The same installation, then with another line in one model."""
    package = tmp_path / "src" / "worldmodels"
    shutil.copytree(PACKAGE_FOLDER, package, ignore=shutil.ignore_patterns("__pycache__"))
    toy.environment |= {"PYTHONPATH": str(package.parent)}
    assert toy.run("initialise_vae").returncode == 0
    command = [sys.executable, "-m", "worldmodels", "status", "--json"]
    settings = {"cwd": toy.folder, "env": toy.environment, "capture_output": True, "check": True}
    assert json.loads(subprocess.run(command, **settings).stdout)["stale"] == []
    model = package / "models" / "vae.py"
    model.write_text("# a comment\n" + model.read_text())
    assert json.loads(subprocess.run(command, **settings).stdout)["stale"] == []
    model.write_text(model.read_text() + "\nSOMETHING = 1\n")
    (facts,) = json.loads(subprocess.run(command, **settings).stdout)["stale"]
    assert facts["code_changed"] and facts["code_files"] == ["models/vae.py"] and not facts["config"]


def test_other_library_version_is_told_but_reruns_nothing(toy, screen):
    assert toy.run("initialise_vae").returncode == 0
    record_path = provenance_path(toy.folder / toy.job("initialise_vae").outputs[0])
    record = read_json(record_path)
    now = record["libraries"]["torch"]
    write_json(record_path, record | {"libraries": record["libraries"] | {"torch": "2.0.1"}})
    text = screen()
    assert f"torch 2.0.1 → {now} (1 job)" in text and "nothing reruns" in text
    assert "STALE" not in text


def test_product_of_an_input_that_was_made_again_is_stale(toy, screen):
    toy.write_config(changed_config(mdn_rnn=CONFIG["experiments"]["toy"]["mdn_rnn"] | {"epochs": 1}))
    toy.write_latents()
    assert toy.run("train_mdn_rnn").returncode == 0
    assert screen("--json")["stale"] == []
    latents = provenance_path(toy.folder / toy.job("train_mdn_rnn").inputs[0])
    write_json(latents, read_json(latents) | {"sha256": "1" * 64})
    (facts,) = screen("--json")["stale"]
    assert facts["stage"] == "train_mdn_rnn"
    assert facts["inputs"] == ["made from another toy/seed-1/latents.h5"]


def _pretend_host(toy, host, clock_ahead, silent_for):
    """A heartbeat as another host would have left it: its own clock inside, the file system's time outside."""
    output = toy.folder / toy.job("train_mdn_rnn").outputs[0]
    with StateFolder(output, "0" * 64, StopRequest()) as folder:
        folder.heartbeat(title="train_mdn_rnn", done=30, total=100, unit="steps", rate=2.0)
    written = time.time() - silent_for
    for name in ("heartbeat.json", "lock"):
        content = read_json(folder.path / name) | {"host": host, "time": written + clock_ahead, "done": 30}
        write_json(folder.path / name, content | {"total": 100, "unit": "steps", "rate": 2.0})
        os.utime(folder.path / name, (written, written))


def test_another_hosts_clock_does_not_decide_life_or_death(toy, screen):
    _pretend_host(toy, "node7", clock_ahead=-3600, silent_for=0)
    text = screen()
    assert "RUNNING" in text and "node7" in text
    assert "the clock of node7 is 1:00:00 behind this one's" in text
    _pretend_host(toy, "node7", clock_ahead=3600, silent_for=600)
    text = screen()
    assert "stopped at 30 % (killed?), 10 minutes ago" in text and "RUNNING" not in text


def test_time_left_follows_from_the_rate(toy, screen):
    _pretend_host(toy, "node7", clock_ahead=0, silent_for=0)
    (facts,) = screen("--json")["running"]
    assert facts["share"] == 0.3
    assert facts["seconds_left"] == pytest.approx(35, abs=3)
    assert "clock of" not in screen()


def test_long_work_without_progress_keeps_beating(toy):
    """Minutes in one generation must not look like death: the heart beats from a thread."""
    with StateFolder(toy.results / "toy" / "seed-1" / "x.bin", "0" * 64, StopRequest()) as folder:
        first = read_json(folder.path / "heartbeat.json")["time"]
        deadline = time.monotonic() + 20
        while read_json(folder.path / "heartbeat.json")["time"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        folder.remove()
        time.sleep(0.2)
        assert not folder.path.exists()


def test_unknown_experiment_and_broken_config(toy, screen, capsys):
    from worldmodels.__main__ import main

    assert main(["status", "--results", str(toy.results), "tou"]) == 1
    assert "Did you mean 'toy'?" in capsys.readouterr().err
    (toy.folder / "config.yaml").write_text("experiments: [")
    assert "is not valid YAML" in screen()


def test_plain_in_a_pipe_and_coloured_on_a_terminal(toy, screen):
    assert toy.run("initialise_vae").returncode == 0
    assert "\x1b" not in screen()
    found = survey(toy.results, load_config(toy.folder / "config.yaml"), [])
    assert "\x1b[1mEXPERIMENTS\x1b[0m" in as_text(found, coloured)


def test_snakemake_at_work_is_named(toy, screen):
    with take_lock(toy.results):
        assert f"snakemake is working on it (process {os.getpid()} on " in screen()
    assert "is working on it" not in screen()


def test_reader_that_has_seen_enough(toy):
    command = f"{sys.executable} -m worldmodels status | true"
    result = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=toy.folder, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_status_is_light(toy):
    """It is asked often, on login nodes: neither torch nor TensorBoard may be loaded."""
    code = (
        "import sys; from worldmodels.__main__ import main; main(['status']);"
        "print({'torch', 'numpy', 'tensorboard', 'h5py'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=toy.folder, capture_output=True, text=True, check=True)
    assert result.stdout.endswith("set()\n")


def _leaves(options, name=""):
    for key, value in options.items():
        inner = f"{name}.{key}" if name else key
        if isinstance(value, dict):
            yield from _leaves(value, inner)
        else:
            yield inner, value


def _value_at(config, path):
    """The value at a dotted path whose names may hold points themselves."""
    if not path:
        return config
    for name in config:
        if path == name or path.startswith(f"{name}."):
            return _value_at(config[name], path[len(name) + 1 :])
    raise KeyError(path)


def test_named_keys_are_those_of_config_yaml():
    """A key that status names must be one that a user finds in config.yaml (or may write there)."""
    config = load_config(REPOSITORY / "config.yaml")
    whole = config.model_dump(mode="json")
    checked = 0
    for name in (*config.experiments, *set(config.simulator_experiments) - {"atari-res"}):  # 1,114 jobs, all alike
        for job in experiment_jobs(config, name):
            for key, value in _leaves(job.block.model_dump(mode="json")):
                path = config_key(config, job, key)
                told_nowhere = key.split(".")[0] in ("kind", "kinds") or path.endswith((".agent", ".games"))
                if value is not None and not told_nowhere:  # such as the task of a controller that never plays it
                    assert _value_at(whole, path) == value, path
                    checked += 1
    assert checked > 10_000


@pytest.mark.workflow
def test_inventory_is_that_of_the_rules(checkout):
    """Status would look for the wrong files, or compare with the wrong options, if a rule said otherwise."""
    config = load_config(checkout.folder / "config.yaml")
    experiments = ("doom-smoke", "doom-smoke-selection", "carracing-smoke", "carracing-dream-agent-smoke")
    simulators = ("atari-res-smoke", "atari-res-online-smoke")
    brought = [
        checkout.folder / config.experiments["doom-published"].published_weights / f"{name}.json"
        for name in ("vae", "rnn", "controller")
    ]
    for path in brought:  # a dry run only asks whether they are there
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (checkout.folder / "Snakefile").open("a").write(
        f"\n\nrule everything:\n    input:\n        *[p for e in {experiments} for p in experiment_products(e)],\n"
        f"        *[p for e in {simulators} for p in simulator_products(e)],\n"
    )
    result = checkout.snakemake("-n", "-p", "everything", "results/doom-published/table.csv")
    assert result.returncode == 0, result.stderr
    planned = {}
    blocks = re.split(r"\n\[[^\n]*\]\n", result.stdout + result.stderr)
    for block in blocks:
        found = re.search(r"(?:local)?rule (\w+):\n(?:    input: (.*)\n)?    output: (.*)\n    log: (.*)\n", block)
        if found is None:
            continue
        options = re.search(r"--config '(.*?)' ", block)[1]
        stage, inputs, outputs, log = found[1], found[2] or "", found[3], found[4]
        planned[frozenset(outputs.split(", "))] = (stage, frozenset(inputs.split(", ")) - {""}, log, options)
    ours = {
        frozenset(job.outputs): (job.stage, frozenset(job.inputs), job.log, job.block.canonical_json())
        for name in (*experiments, *simulators, "doom-published")
        for job in experiment_jobs(config, name)
    }
    assert ours == planned
    assert len(ours) > 40
