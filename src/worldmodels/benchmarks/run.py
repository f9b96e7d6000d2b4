"""Measure the figures of docs/performance.md on this machine: `python -m worldmodels benchmark [NAME ...]`.

Studies of what agents and games do are run by name only: they take from minutes to an hour.
"""

import argparse
import importlib
import json

from worldmodels.config.load import nearest
from worldmodels.errors import UserError
from worldmodels.provenance import git_commit, hardware

BENCHMARKS = {
    "atari": "worldmodels.benchmarks.atari:measure_atari",
    "checkpoints": "worldmodels.benchmarks.checkpoints:measure_checkpoints",
    "collection": "worldmodels.benchmarks.collection:measure_collection",
    "vae": "worldmodels.benchmarks.vae:measure_vae",
    "encoding": "worldmodels.benchmarks.vae:measure_encoding",
    "mdn_rnn": "worldmodels.benchmarks.mdn_rnn:measure_mdn_rnn",
    "dream": "worldmodels.benchmarks.dream:measure_dreams",
    "memory": "worldmodels.benchmarks.memory:measure_memory",
    "driving": "worldmodels.benchmarks.driving:measure_driving",
    "precision": "worldmodels.benchmarks.precision:measure_precision",
    "scaling": "worldmodels.benchmarks.scaling:measure_scaling",
    "acvp": "worldmodels.benchmarks.simulators:measure_acvp",
    "simulators": "worldmodels.benchmarks.simulators:measure_simulators",
}
STUDIES = {
    "honesty": "worldmodels.benchmarks.honesty:measure_honesty",
    "parity": "worldmodels.benchmarks.parity:measure_parity",
    "rhythm": "worldmodels.benchmarks.rhythm:measure_rhythm",
    "yoked": "worldmodels.benchmarks.yoked:measure_yoked",
}
"""Not of speed, and only run where they are named."""


def main(arguments: list[str]) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m worldmodels benchmark", description=__doc__)
    known = {**BENCHMARKS, **STUDIES}
    words = f"of speed: {', '.join(BENCHMARKS)} (all of these where nothing is named); studies: {', '.join(STUDIES)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=words)
    names = parser.parse_args(arguments).names or list(BENCHMARKS)
    for name in names:
        if name not in known:
            raise UserError(f"there is no benchmark '{name}'.{nearest(name, known)} There are {', '.join(known)}.")
    importlib.import_module("torch")  # `hardware` names a GPU only where torch is known
    print(json.dumps({"commit": git_commit(), **hardware()}))
    for name in names:
        module, function = known[name].split(":")
        try:
            figures = getattr(importlib.import_module(module), function)()
        except UserError as error:
            print(f"{name}: not measured: {error}", flush=True)
            continue
        shown = {
            key: round(value, 2) if isinstance(value, float) and value < 100 else value
            for key, value in figures.items()
        }
        print(
            f"{name}: "
            + ", ".join(f"{k} {v:,.0f}" if isinstance(v, float) and v >= 100 else f"{k} {v}" for k, v in shown.items()),
            flush=True,
        )
    return 0
