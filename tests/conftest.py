"""Shared fixtures. Tests never write into the checkout: each works in its own temporary folder."""

import os
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent

# Small matrices on two shared cores: one thread is faster, and the same everywhere.
os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture
def state(tmp_path):
    """A locked state folder of a pretended output, and nobody who asks to stop."""
    from worldmodels.runtime.state import StateFolder
    from worldmodels.runtime.stop import StopRequest

    with StateFolder(tmp_path / "results" / "toy" / "output.bin", "0" * 64, StopRequest()) as folder:
        yield folder


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the workflow in which Snakemake may run: Snakefile, rules, profiles and configuration."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Snakefile", "config.yaml", "workflow", "profiles", "envs"):
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    return folder
