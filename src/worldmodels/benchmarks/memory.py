"""Is memory flat? Peak memory of collection, of Doom and of Atari, and of V's training: few rollouts, and four times as many."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from worldmodels.config.atari_blocks import CollectAtariBlock
from worldmodels.config.blocks import CollectRolloutsBlock, TrainVAEBlock
from worldmodels.config.datasets import HeldRandomPolicy
from worldmodels.config.tasks import AtariOptions, TakeCoverOptions
from worldmodels.config.training import VAETraining
from worldmodels.data.rollouts import RolloutFrames
from worldmodels.errors import UserError

EPISODES = 125
"""Of the smaller size: about 38,000 frames."""
TIMES = 4
ATARI_FRAMES = 5_000
TRAINED_FRAMES = 20_000
"""V reads this many, at both sizes."""


def measure_memory() -> dict[str, Any]:
    """Peak resident memory in MB of the stages that read or write all frames, at both sizes."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, episodes in (("small", EPISODES), ("large", TIMES * EPISODES)):
            data = Path(folder, name)
            result[f"{name}_collection_mb"] = peak_megabytes("collect_rollouts", *collection(data, episodes))
            frames = len(RolloutFrames([data / "000.h5"]))
            result[f"{name}_frames"] = frames
            result[f"{name}_vae_mb"] = peak_megabytes("train_vae", *vision(data, TRAINED_FRAMES / frames))
        for name, frames in (("small", ATARI_FRAMES), ("large", TIMES * ATARI_FRAMES)):
            words = atari_collection(Path(folder, f"{name}-atari"), frames)
            result |= {f"{name}_atari_frames": frames, f"{name}_atari_mb": peak_megabytes("collect_atari", *words)}
    return result


def collection(folder: Path, episodes: int) -> list[str]:
    """Options of collect_rollouts for one shard of so many episodes."""
    block = CollectRolloutsBlock(
        task=TakeCoverOptions(screen_resolution="160x120"),
        policy=HeldRandomPolicy(),
        episodes_per_shard=episodes,
        shortest_episode=100,
        seed=0,
    )
    return ["--output", str(folder / "000.h5"), "--shard", "0", "--config", block.canonical_json()]


def atari_collection(folder: Path, frames: int) -> list[str]:
    """Options of collect_atari for one shard of so many frames of Ms Pacman, played at random."""
    block = CollectAtariBlock(
        task=AtariOptions(game="ms_pacman"),
        epsilon=0.0,
        uses_agent=False,
        frames_per_shard=frames,
        parallel_games=4,
        seed=0,
    )
    return ["--output", str(folder / "train-000.h5"), "--config", block.canonical_json()]


def vision(folder: Path, epochs: float) -> list[str]:
    """Options of train_vae on that shard."""
    block = TrainVAEBlock(training=VAETraining(epochs=epochs))
    outputs = ["--weights", str(folder / "vae.safetensors"), "--metrics", str(folder / "vae.csv")]
    return ["--dataset", str(folder), "--shards", "1", "--seed", "1", *outputs, "--config", block.canonical_json()]


def peak_megabytes(stage: str, *options: str) -> int:
    """Run a stage in a process of its own; its peak resident memory. Raises UserError where the stage fails."""
    command = [sys.executable, "-m", "worldmodels", stage, *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"{stage} failed: {json.dumps(command)}")
    return round(usage.ru_maxrss / 1024)
