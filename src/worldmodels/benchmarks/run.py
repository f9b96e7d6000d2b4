"""Measure the figures of docs/performance.md on this machine: `python -m worldmodels benchmark [NAME ...]`."""

import argparse
import importlib
import json

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
    "honesty": "worldmodels.benchmarks.honesty:measure_honesty",
    "driving": "worldmodels.benchmarks.driving:measure_driving",
    "parity": "worldmodels.benchmarks.parity:measure_parity",
    "precision": "worldmodels.benchmarks.precision:measure_precision",
    "acvp": "worldmodels.benchmarks.simulators:measure_acvp",
    "rhythm": "worldmodels.benchmarks.rhythm:measure_rhythm",
    "simulators": "worldmodels.benchmarks.simulators:measure_simulators",
    "yoked": "worldmodels.benchmarks.yoked:measure_yoked",
}


def main(arguments: list[str]) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m worldmodels benchmark", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help=f"which of {', '.join(BENCHMARKS)}; all")
    names = parser.parse_args(arguments).names or list(BENCHMARKS)
    importlib.import_module("torch")  # `hardware` names a GPU only where torch is known
    print(json.dumps({"commit": git_commit(), **hardware()}))
    for name in names:
        module, function = BENCHMARKS[name].split(":")
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
