"""Write requirements.lock and worldmodels.yaml from the packages of the running environment (see `make lock`)."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
HEADER = "# Written by `make lock`. Every version that the project is tested with; torch's CUDA parts follow torch.\n"
# CUDA libraries come and go with the build of torch that the index serves: torch itself requires the right ones.
BUILD_SPECIFIC = ("nvidia-", "cuda-", "triton", "pip==", "setuptools==", "-e ", "worldmodels")


def pins() -> list[str]:
    """Return `name==version` lines, without local version labels such as +cpu."""
    freeze = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    lines = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout.splitlines()
    kept = [line.split("+")[0] for line in lines if not line.lower().startswith(BUILD_SPECIFIC)]
    return [*kept, "setuptools==80.9.0"]


def main() -> None:
    """Write both files."""
    locked = sorted(pins(), key=str.lower)
    (HERE / "requirements.lock").write_text(HEADER + "\n".join(locked) + "\n")
    conda = ["channels:", "  - conda-forge", "dependencies:", "  - python=3.11", "  - pip", "  - pip:"]
    conda += [f"      - {pin}" for pin in locked]
    (HERE / "worldmodels.yaml").write_text(HEADER + "\n".join(conda) + "\n")


if __name__ == "__main__":
    main()
