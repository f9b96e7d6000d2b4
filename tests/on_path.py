"""Programs that tests put before the machine's own."""

# Snakemake asks conda for its platform and version before it writes a container's recipe, and for nothing else. Conda is in no
# registry of Python's, so the tests answer these questions themselves: what is tested is the recipe, not conda.
CONDA_ANSWERS = """#!/bin/sh
case "$1" in
    info) echo '{"conda_prefix": "/opt/conda", "platform": "linux-64"}' ;;
    --version) echo "conda 25.9.1" ;;
    config) echo '{"get": {"channel_priority": "strict"}}' ;;
    *) echo "unexpected question: conda $*" >&2; exit 2 ;;
esac
"""


def put_first_on_path(checkout, tmp_path, name, script):
    """Let `name` be this script for everything that the checkout runs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)
    checkout.environment["PATH"] = f"{folder}:{checkout.environment['PATH']}"
