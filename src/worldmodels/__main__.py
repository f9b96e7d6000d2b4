"""The command line: `python -m worldmodels STAGE ...`, one command per stage, each with --help."""

import importlib
import os
import pkgutil
import sys

from worldmodels.errors import UserError


def commands() -> dict[str, str]:
    """Names of all commands and the modules that run them."""
    import worldmodels.stages

    names = [module.name for module in pkgutil.iter_modules(worldmodels.stages.__path__)]
    found = {name: f"worldmodels.stages.{name}" for name in names if name != "stage"}
    tools = {
        "benchmark": "worldmodels.benchmarks.run",
        "claims": "worldmodels.figures.claims_page",
        "crate": "worldmodels.figures.crate",
        "describe_config": "worldmodels.config.describe",
        "play": "worldmodels.play.run",
        "status": "worldmodels.status.run",
    }
    return found | tools


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    # Threads that spin while they wait lose most of a core to each other as soon as the machine does anything else;
    # threads that sleep at once lose the time of waking up, hundreds of times in an update. So they spin for some tens
    # of microseconds and then sleep (docs/performance.md has both measurements).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # So that bytes do not depend on how busy the machine is: the same number of threads, and sums in the same order
    # (and see runtime/device.py: choose_vector_functions).
    os.environ.setdefault("MKL_DYNAMIC", "FALSE")
    os.environ.setdefault("MKL_CBWR", "AUTO")
    # CMA-ES decomposes its covariance in numpy, whose sums depend on the number of threads. Snakemake would set it to a
    # job's: an agent would then depend on how many cores it was evolved with.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    words = sys.argv[1:] if arguments is None else arguments
    known = commands()
    if not words or words[0] in {"-h", "--help"}:
        print("usage: python -m worldmodels COMMAND [--help | options]\n\ncommands:")
        print("\n".join(f"  {name}" for name in known))
        return 0 if words else 2
    if words[0] not in known:
        from worldmodels.config.load import nearest

        print(f"There is no command '{words[0]}'.{nearest(words[0], known)} Try --help.", file=sys.stderr)
        return 2
    try:
        return int(importlib.import_module(known[words[0]]).main(words[1:]) or 0)
    except UserError as error:
        print(f"{words[0]}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
