"""The command line: `python -m worldmodels STAGE ...`, one command per stage, each with --help."""

import ast
import importlib
import importlib.util
import os
import pkgutil
import re
import sys
from pathlib import Path

from worldmodels.errors import UserError

TOOLS = {
    "status": "worldmodels.status.run",
    "play": "worldmodels.play.run",
    "claims": "worldmodels.figures.claims_page",
    "crate": "worldmodels.figures.crate",
    "benchmark": "worldmodels.benchmarks.run",
    "describe_config": "worldmodels.config.describe",
}
"""Commands for people, and the modules that run them."""

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 and the signal's number, as shells have it."""


def stages() -> dict[str, str]:
    """Commands that Snakemake's jobs are, and the modules that run them."""
    import worldmodels.stages

    names = [module.name for module in pkgutil.iter_modules(worldmodels.stages.__path__)]
    return {name: f"worldmodels.stages.{name}" for name in names if name != "stage"}


def overview() -> str:
    """What `--help` prints: every command with one sentence."""
    groups = {"commands for people": TOOLS, "stages, which Snakemake runs": stages()}
    width = max(len(name) for group in groups.values() for name in group)
    lines = ["usage: python -m worldmodels COMMAND [--help | options]"]
    for title, group in groups.items():
        lines += ["", f"{title}:", *(f"  {name:{width}}  {summary(module)}" for name, module in group.items())]
    return "\n".join(lines)


def summary(module: str) -> str:
    """The first sentence of a module's docstring; the module, which may take seconds to import, is only read."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<! al)\. |: `", " ".join(text.split("\n\n")[0].split()))[0].rstrip(".")


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
    if not words or words[0] in {"-h", "--help"}:
        print(overview())
        return 0 if words else 2
    known = TOOLS | stages()
    if words[0] not in known:
        from worldmodels.config.load import nearest

        print(f"There is no command '{words[0]}'.{nearest(words[0], known)} Try --help.", file=sys.stderr)
        return 2
    try:
        return int(importlib.import_module(known[words[0]]).main(words[1:]) or 0)
    except UserError as error:
        print(f"{words[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{words[0]}: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
