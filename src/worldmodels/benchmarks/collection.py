"""How fast rollouts reach the disk, beside bare ViZDoom stepping with as many processes in the same run."""

import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

from worldmodels.config.datasets import HeldRandomPolicy
from worldmodels.config.tasks import TakeCoverOptions
from worldmodels.data.collection import Collected, FrameLog, play
from worldmodels.data.rollouts import write_compressed_shard
from worldmodels.envs.frames import resize_frames
from worldmodels.envs.policies import make_policy
from worldmodels.envs.take_cover import TakeCoverGame
from worldmodels.seeds import generator

PROCESSES = 2
SECONDS = 12.0
TASK = TakeCoverOptions(screen_resolution="160x120")


def measure_collection() -> dict[str, Any]:
    """Frames a second of all processes: stepping alone, and with resizing, compression and HDF5."""
    bare, stored = 0.0, 0.0
    for _ in range(2):  # in turns, so that a noisy machine slows both
        bare += sum(_in_processes(_bare)) / 2
        stored += sum(_in_processes(_stored)) / 2
    return {"processes": PROCESSES, "bare": bare, "stored": stored, "share": stored / bare}


def _in_processes(work: Any) -> list[float]:
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        return pool.map(work, range(PROCESSES), chunksize=1)


def _bare(index: int) -> float:
    with TakeCoverGame(TASK) as game:
        begin, frames, seed = time.perf_counter(), 0, index * 1000
        while time.perf_counter() - begin < SECONDS / 2:
            game.reset(seed)
            policy, step, ended = make_policy(HeldRandomPolicy(), 1, generator("benchmark", seed)), 0, False
            while not ended:
                ended = game.step(policy(step)).ended
                if not ended:
                    game.engine.get_state()
                step += 1
            frames, seed = frames + step, seed + 1
        return frames / (time.perf_counter() - begin)


def _stored(index: int) -> float:
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, TakeCoverGame(TASK) as game:
        begin, collected, seed = time.perf_counter(), Collected(), index * 1000
        with Path(folder, "chunks").open("a+b") as file:
            log = FrameLog(file)
            while time.perf_counter() - begin < SECONDS / 2:
                policy = make_policy(HeldRandomPolicy(), 1, generator("benchmark", seed))
                collected.episodes.append(play(game, policy, seed, log, resize_frames))
                seed += 1
            write_compressed_shard(Path(folder) / "000.h5", log.read_chunks(), collected.facts(), "{}", 0)
        return collected.frames / (time.perf_counter() - begin)
