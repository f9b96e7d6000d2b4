"""One cluster for all SLURM tests, and copies of the project that submit to it."""

import pytest
from cluster import Cluster, why_not


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    problem = why_not()
    if problem:
        pytest.skip(problem)
    with Cluster(tmp_path_factory.mktemp("cluster") / "slurm") as cluster:
        yield cluster


@pytest.fixture
def submitting(checkout, cluster):
    """A fresh copy of the project whose Snakemake sees the cluster."""
    checkout.environment = submitting_environment(checkout, cluster)
    return checkout


def submitting_environment(checkout, cluster):
    path = f"{cluster.folder / 'bin'}:{checkout.environment['PATH']}:/usr/sbin"
    variables = {"SLURM_CONF": cluster.environment["SLURM_CONF"], "PATH": path, "WORLDMODELS_CHECKPOINT_SECONDS": "0.1"}
    return checkout.environment | variables
