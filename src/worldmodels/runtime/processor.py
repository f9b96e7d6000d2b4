"""The processor: its name, its instruction sets, and the cores of it that this process may use. Needs no torch."""

import os
import platform
from pathlib import Path


def processor_name() -> str:
    """Its model's name, as Linux tells it."""
    return _first_field("model name") or platform.processor() or "unknown"


def cpu_flags() -> set[str]:
    """Its instruction sets, as Linux names them; empty elsewhere."""
    return set((_first_field("flags") or _first_field("Features")).split())


def multiplies_bf16() -> bool:
    """Whether it has instructions for bf16 matrix products."""
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})


def _first_field(name: str) -> str:
    """What /proc/cpuinfo says under `name` of the first core; nothing where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":", 1)[0].strip() == name), "")


def available_cores() -> int:
    """Cores that this process may use, which in a container or a SLURM job is fewer than the machine has."""
    return len(os.sched_getaffinity(0))
