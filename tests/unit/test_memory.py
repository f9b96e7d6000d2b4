"""Memory of a stage counts all of its game workers, not only the largest."""

import os
import subprocess
import sys

from worldmodels.runtime.memory import tree_megabytes

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
