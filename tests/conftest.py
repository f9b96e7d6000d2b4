"""Shared fixtures. Tests never write into the checkout: each works in its own temporary folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

REPOSITORY = Path(__file__).parent.parent

# The same number of threads everywhere: sums, and so bytes, depend on it.
os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI a skipped test is a failed one: CI has every system package, so nothing may go unseen there."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {report.longrepr}"
    return report


def pytest_collection_modifyitems(items):
    """Long tests begin first, so that no process works alone at the end."""
    items.sort(key=lambda item: "workflow" not in item.keywords)


@pytest.fixture
def state(tmp_path):
    """A locked state folder of a pretended output, and nobody who asks to stop."""
    from worldmodels.runtime.state import StateFolder
    from worldmodels.runtime.stop import StopRequest

    with StateFolder(tmp_path / "results" / "toy" / "output.bin", "0" * 64, StopRequest()) as folder:
        yield folder


@pytest.fixture
def one_thread():
    """Tiny tensors are not worth a second thread, and wait for it where another program is running."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def on_small_disk(tmp_path):
    """A function that runs a Python script in a folder with a file system `small` of so many kB; returns its output."""

    def run(script: str, kilobytes: int) -> str:
        (tmp_path / "small").mkdir()
        (tmp_path / "fill.py").write_text(script)
        mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs small && touch mounted && exec {sys.executable} fill.py"
        command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        if not (tmp_path / "mounted").exists():
            pytest.skip("this machine lets nobody mount a small file system")
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


class Checkout:
    """A copy of the project in which Snakemake may run and whose code may be edited; an existing one is taken as it is."""

    def __init__(self, folder: Path, origin: Path = REPOSITORY) -> None:
        self.folder = folder
        if not folder.exists():
            self._copy(origin)
        self.environment = os.environ | {
            "PYTHONPATH": str(folder / "src"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def _copy(self, origin: Path) -> None:
        self.folder.mkdir(parents=True)
        finished = () if origin == REPOSITORY else ("results", ".snakemake")
        for name in ("Snakefile", "config.yaml", "workflow", "profiles", "envs", "src", *finished):
            source = origin / name
            if source.is_dir():
                shutil.copytree(source, self.folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(source, self.folder / name)

    def command(self, *words: str) -> list[str]:
        """Snakemake's command line."""
        return [sys.executable, "-m", "snakemake", "--cores", "2", *words]

    def snakemake(self, *words: str, timeout: float = 1700) -> subprocess.CompletedProcess:
        """Run Snakemake to its end."""
        settings = {"capture_output": True, "text": True, "cwd": self.folder, "env": self.environment}
        return subprocess.run(self.command(*words), timeout=timeout, **settings)

    def planned(self, target: str, *words: str) -> dict[str, int]:
        """Rules that a dry run would run, and how often."""
        result = self.snakemake("-n", target, *words)
        assert result.returncode == 0, result.stdout + result.stderr
        table = re.search(r"job +count\n[- ]+\n(.*?)\ntotal", result.stdout + result.stderr, re.DOTALL)
        lines = [line.split() for line in table[1].splitlines()] if table else []
        return {name: int(count) for name, count in lines}

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file of the copy."""
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    """A fresh copy of the project."""
    return Checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> Checkout:
    """A copy in which every product of doom-smoke has been made, through Snakemake, on real ViZDoom. Read only.

    It takes minutes: the first of pytest's processes that needs it makes it, the others wait and use the same.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "finished"
    with FileLock(f"{folder}.lock"):
        done = folder.exists()
        checkout = Checkout(folder)
        if not done:
            result = checkout.snakemake("smoke")
            if result.returncode:
                shutil.rmtree(folder)
                pytest.fail(result.stdout[-3000:] + result.stderr[-6000:])
    return checkout


@pytest.fixture
def edited(finished, tmp_path) -> Checkout:
    """A copy of the finished one, with its results and Snakemake's records, whose code and config may be changed."""
    return Checkout(tmp_path / "checkout", finished.folder)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Checkout:
    """A copy in which every product of the smallest experiment with simulators has been made. Read only."""
    from worldmodels.config.load import load_config
    from worldmodels.config.simulator_products import simulator_products

    checkout = Checkout(tmp_path_factory.mktemp("simulated") / "checkout")
    result = checkout.snakemake(
        *simulator_products(load_config(checkout.folder / "config.yaml"), "atari-res-online-smoke")
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    return checkout


@pytest.fixture(scope="session")
def display():
    """A virtual display, as environment variables."""
    missing = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"a virtual display needs {' and '.join(missing)}: apt install xvfb xdotool")
    reader, writer = os.pipe()
    words = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    with subprocess.Popen(words, pass_fds=[writer], stderr=subprocess.DEVNULL) as server:
        os.close(writer)
        with os.fdopen(reader) as told:
            number = told.readline().strip()
        yield {"DISPLAY": f":{number}", "SDL_VIDEODRIVER": "x11"}
        server.terminate()
