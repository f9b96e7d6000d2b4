"""Code fingerprints: they change with the meaning of what a stage runs, and with nothing else."""

import shutil
from pathlib import Path

import pytest

from worldmodels.provenance import PACKAGE_FOLDER, code_fingerprint, import_closure


@pytest.fixture
def package(tmp_path) -> Path:
    folder = tmp_path / "worldmodels"
    shutil.copytree(PACKAGE_FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def fingerprints(folder):
    stages = ("collect_rollouts", "train_vae", "encode_latents", "train_mdn_rnn", "evolve_controller", "tabulate")
    return {stage: code_fingerprint([f"stages.{stage}"], folder) for stage in stages}


def changed(folder, edit):
    """Stages whose fingerprint changes when `edit` (file, old, new) is made."""
    before = fingerprints(folder)
    name, old, new = edit
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    return {stage for stage, value in fingerprints(folder).items() if value != before[stage]}


def test_comments_docstrings_and_layout_change_nothing(package):
    file = package / "models" / "mdn_rnn.py"
    text = file.read_text()
    before = fingerprints(package)
    file.write_text(
        "# a comment\n" + text.replace("import math\n", "import math  # more\n\n\n").replace('"""', '"""New. ', 1)
    )
    assert fingerprints(package) == before


def test_change_of_the_mixture_loss_leaves_the_vae_alone(package):
    stages = changed(package, ("models/mdn_rnn.py", "MIN_LOG_SIGMA = -7.0", "MIN_LOG_SIGMA = -6.0"))
    assert {"train_mdn_rnn", "evolve_controller"} <= stages
    assert not stages & {"collect_rollouts", "train_vae", "encode_latents", "tabulate"}


def test_change_of_the_search_reruns_evolution_only(package):
    assert changed(package, ("evolution.py", "np.zeros(size)", "np.ones(size)")) == {"evolve_controller"}


def test_locks_progress_and_records_influence_no_result(package):
    files = import_closure(["stages.train_vae"], package)
    names = {str(path.relative_to(package)) for path in files}
    assert "training.py" in names and "models/vae.py" in names
    assert not [name for name in names if name.startswith(("runtime", "config", "provenance", "stages/stage"))]


def test_training_loop_knows_no_network():
    """If training.py imported a model, every change of one network would retrain all."""
    names = {path.name for path in import_closure(["training"])}
    assert not names & {"vae.py", "mdn_rnn.py"}
