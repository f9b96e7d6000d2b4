"""What runs, what failed, what is stale and why, what is finished: `python -m worldmodels status [EXPERIMENT ...]`.

Reads the results folder alone, so it works on a login node, without SLURM and while Snakemake runs.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from worldmodels.config.experiments import Config
from worldmodels.config.load import load_config
from worldmodels.errors import UserError
from worldmodels.status.machine import as_json
from worldmodels.status.screen import as_text, coloured, plain
from worldmodels.status.survey import survey

DEFAULT_RESULTS = Path("results")
MOST_OFTEN_SECONDS = 0.5
CLEAR_SCREEN = "\x1b[2J\x1b[H"


def main(arguments: list[str]) -> int:
    """Command line."""
    options = _parser().parse_args(arguments)
    if options.results != DEFAULT_RESULTS and not options.results.is_dir():
        raise UserError(f"{options.results} is no folder: name the results folder, or go where it lies.")
    try:
        _show(options)
        while options.watch is not None:
            time.sleep(max(MOST_OFTEN_SECONDS, options.watch))
            _show(options)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # `status | head` has seen enough; Python would complain again when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _show(options: argparse.Namespace) -> None:
    text = _text(options)
    watched = options.watch is not None and sys.stdout.isatty()
    print(f"{CLEAR_SCREEN if watched else ''}{text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worldmodels status", description=__doc__)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="experiments of config.yaml; all")
    parser.add_argument("--results", type=Path, default=DEFAULT_RESULTS, help="the results folder (results)")
    parser.add_argument(
        "--config", type=Path, help="the configuration (config.yaml beside the results folder, or here)"
    )
    parser.add_argument("--json", action="store_true", help="the same facts as JSON")
    parser.add_argument("--watch", type=float, metavar="SECONDS", help="show it again every so many seconds")
    return parser


def _text(options: argparse.Namespace) -> str:
    config, problem = _config(options)
    found = survey(options.results, config, options.experiments, problem)
    if options.json:
        return json.dumps(as_json(found), indent=2)
    return as_text(found, coloured if sys.stdout.isatty() else plain)


def _config(options: argparse.Namespace) -> tuple[Config | None, str | None]:
    """The configuration, or what is wrong with it: what runs and what failed can be told without."""
    beside = options.results.resolve().parent / "config.yaml"
    path = options.config or (beside if beside.is_file() else Path("config.yaml"))
    try:
        return load_config(path), None
    except UserError as error:
        return None, str(error)
