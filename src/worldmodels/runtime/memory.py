"""Memory of a program and of all that it started, such as game workers and their engines (Linux)."""

from pathlib import Path


def tree_megabytes(root: int) -> int:
    """Resident memory in MB of process `root` and of its descendants, shared pages counted once; 0 where /proc is absent."""
    return round(sum(map(_proportional_kilobytes, _descendants(root))) / 1024)


def _descendants(process: int) -> list[int]:
    """A process and all that it started, by whichever thread."""
    try:
        lists = [path.read_text().split() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:  # it has ended
        return []
    return [process, *(one for children in lists for child in children for one in _descendants(int(child)))]


def _proportional_kilobytes(process: int) -> int:
    """Resident memory of a process, shared pages divided among those that share them."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
