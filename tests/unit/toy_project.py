"""A project of one tiny experiment whose stages run as real processes: for tests of status and of TensorBoard files."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml

from worldmodels.config.job import Job
from worldmodels.config.jobs import experiment_jobs
from worldmodels.config.load import load_config
from worldmodels.data.latents import Latents, write_latents
from worldmodels.provenance import code_fingerprint, record_provenance

SIZE = 4
CONFIG = {
    "datasets": {"toy-random": {"task": {"name": "take_cover"}, "shards": 1}},
    "experiments": {
        "toy": {
            "dataset": "toy-random",
            "scale": "smoke",
            "vae": {"model": {"latent_size": SIZE}},
            "mdn_rnn": {
                "model": {"latent_size": SIZE, "hidden_size": 8, "mixtures": 2},
                **{"epochs": 400, "streams": 2, "chunk": 8, "held_out": 0.2},
            },
            "variants": {
                "fresh": {"environment": "real", "models": "untrained"},
                "dream": {"temperature": 1.1},
                "random": {"policy": "random"},
            },
        }
    },
}


class ToyProject:
    """A folder with config.yaml and results/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"
        self.environment = os.environ | {"WORLDMODELS_CHECKPOINT_SECONDS": "0.1", "OMP_NUM_THREADS": "1"}
        for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"):
            self.environment.pop(name, None)
        self.write_config(CONFIG)

    def write_config(self, content: dict) -> None:
        self.results.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(content))

    def job(self, stage: str) -> Job:
        """The first job of a stage, as config.yaml says it now."""
        jobs = experiment_jobs(load_config(self.folder / "config.yaml"), "toy")
        return next(job for job in jobs if job.stage == stage)

    def command(self, stage: str) -> list[str]:
        """The command line that the rule would run."""
        job = self.job(stage)
        names = {
            "initialise_vae": (("--weights",), ()),
            "train_mdn_rnn": (("--weights", "--metrics", "--deaths"), ("--latents",)),
        }[stage]
        files = [*zip(names[0], job.outputs, strict=True), *zip(names[1], job.inputs, strict=True)]
        words = [word for pair in files for word in pair]
        config = ["--config", job.block.canonical_json(), "--log", job.log, "--threads", "1", "--seed", "1"]
        return [sys.executable, "-m", "worldmodels", stage, *words, *config]

    def run(self, stage: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(stage), cwd=self.folder, env=self.environment, capture_output=True, text=True
        )

    def start(self, stage: str) -> subprocess.Popen:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(self.command(stage), cwd=self.folder, env=self.environment, **quiet)

    def start_until_checkpoint(self, stage: str) -> subprocess.Popen:
        """Start a stage and wait until it has something to lose."""
        process = self.start(stage)
        wait_for(lambda: list(self.results.glob("toy/.state/*/checkpoint.safetensors")), process)
        return process

    def write_latents(self) -> None:
        """Latents of a few random episodes, with a provenance record as encode_latents leaves it."""
        job = self.job("encode_latents")
        path = self.folder / job.outputs[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        source, steps, episodes = np.random.default_rng(0), 20, 10
        means = source.normal(size=(steps * episodes, SIZE)).astype(np.float16)
        actions = np.zeros((len(means), 1), np.float32)
        offsets = np.arange(episodes + 1) * steps
        deaths = np.ones(episodes, bool)
        write_latents(path, Latents(means, means, actions, actions[:, 0], offsets, deaths, "0" * 64))
        facts = {"stage": job.stage, "config": job.block.model_dump(mode="json"), "code": code_fingerprint(job.modules)}
        record_provenance(path, {**facts, "inputs": dict.fromkeys(job.inputs, "0" * 64)}, time.time())


def wait_for(condition, process: subprocess.Popen, seconds: float = 60) -> None:
    """Wait until `condition()` holds, as long as the process lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the stage ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.05)
