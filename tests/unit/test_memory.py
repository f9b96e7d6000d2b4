"""Memory of a stage counts all of its game workers, not only the largest; and what a job asks for covers them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worldmodels.config import memory
from worldmodels.config.load import load_config
from worldmodels.config.tasks import CarRacingOptions, TakeCoverOptions
from worldmodels.envs.games import make_games
from worldmodels.runtime.memory import tree_megabytes

CONFIG = load_config(Path(__file__).parents[2] / "config.yaml")

HOLDER = "content = bytearray(60_000_000); content[::4096] = b'x' * len(content[::4096]); print('ready', flush=True); input()"


def test_children_count_together():
    before = tree_megabytes(os.getpid())
    children = [
        subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    assert 110 < tree_megabytes(os.getpid()) - before < 200
    for child in children:
        child.communicate("\n")
    assert tree_megabytes(children[0].pid) == 0


@pytest.mark.parametrize("task", [TakeCoverOptions(), CarRacingOptions(), CarRacingOptions(backend="gymnasium")])
def test_memory_that_is_asked_for_covers_the_games(task):
    games, workers = 8, 2
    before = tree_megabytes(os.getpid())
    with make_games(task, games, workers) as batch:
        batch.reset(range(games), range(1, games + 1))
        for _ in range(3):
            batch.step(np.zeros((games, task.action_size), np.float32), np.ones(games, bool))
        taken = tree_megabytes(os.getpid()) - before
    asked = games * memory.GAME_MB[task.name] + workers * memory.WORKER_MB
    assert asked / 4 < taken < asked


def test_memory_grows_with_games_and_workers_where_games_are_played():
    """Evolution in the dream plays none, and an evaluation on many cores has many workers."""
    of = "doom", "tau-1.15"
    dreamt = memory.controller_memory(CONFIG, *of, cores=16, evolves=True)
    assert dreamt == memory.STAGE_MB + memory.CUDA_MB
    played = [memory.controller_memory(CONFIG, *of, cores=cores, evolves=False) for cores in (2, 16, 64, 128)]
    assert dreamt < played[0] < played[1] < played[2] == played[3], "64 games have no more than 64 workers"
    laptop = memory.controller_memory(CONFIG, "doom-laptop", "tau-1.15", cores=2, evolves=False)
    assert 2070 < laptop < 4000, "it took 2,070"
