"""Where jobs find their libraries and their code: the lock, its conda form, a container."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from on_path import CONDA_ANSWERS, put_first_on_path

pytestmark = pytest.mark.workflow


def pins(folder: Path) -> list[str]:
    """Return the lines of the lock that name a version."""
    lines = (folder / "envs/requirements.lock").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_conda_environment_has_the_pins_of_the_lock(checkout):
    environment = yaml.safe_load((checkout.folder / "envs/worldmodels.yaml").read_text())
    *others, by_pip = environment["dependencies"]
    assert others == ["python=3.11", "pip"]
    assert by_pip == {"pip": pins(checkout.folder)} and len(by_pip["pip"]) > 50


def test_container_is_made_of_the_conda_environment(checkout, tmp_path):
    """`snakemake --containerize dockerfile` prints a file that parses: one environment, copied and created."""
    put_first_on_path(checkout, tmp_path, "conda", CONDA_ANSWERS)
    result = checkout.snakemake("--containerize", "dockerfile")
    assert result.returncode == 0, result.stderr
    (tmp_path / "Dockerfile").write_text(result.stdout)
    recipe = DockerfileParser(path=str(tmp_path))
    steps = [step for step in recipe.structure if step["instruction"] != "COMMENT"]
    assert [step["instruction"] for step in steps] == ["FROM", "LABEL", "LABEL", "RUN", "COPY", "RUN"]
    assert recipe.labels["io.github.snakemake.containerized"] == "true"
    source, target = steps[4]["value"].split()
    assert (checkout.folder / source).samefile(checkout.folder / "envs/worldmodels.yaml")
    assert steps[5]["value"].startswith(f"conda env create --prefix {Path(target).parent} --file {target} ")


def test_job_finds_the_code_where_its_environment_has_the_libraries_alone(checkout, tmp_path):
    """As in a conda environment or a container: without the `site` module this Python does not see the installed project."""
    libraries = sysconfig.get_path("purelib")
    alone = f'#!/bin/sh\nPYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{libraries}" exec {sys.executable} -S "$@"\n'
    put_first_on_path(checkout, tmp_path, "python", alone)
    del checkout.environment["PYTHONPATH"]
    unseen = subprocess.run(
        [tmp_path / "bin/python", "-c", "import h5py, worldmodels"], env={}, capture_output=True, text=True
    )
    assert "No module named 'worldmodels'" in unseen.stderr
    shard = "results/data/doom-random-smoke/000.h5"
    result = checkout.snakemake(shard)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    assert (checkout.folder / shard).stat().st_size > 10_000
