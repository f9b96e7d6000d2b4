"""GPU leases between real processes. The devices are names: what is tested is who gets which."""

import signal
import subprocess
import sys
import time

import pytest

from worldmodels.runtime.gpu_lease import lease
from worldmodels.runtime.stop import Interrupted, StopRequest

HOLDER = """
import sys, time
from pathlib import Path
from worldmodels.runtime.gpu_lease import lease
from worldmodels.runtime.stop import StopRequest
index, lock = lease(sys.argv[2:], StopRequest(), Path(sys.argv[1]))
print(index, flush=True)
time.sleep(60)
"""


@pytest.fixture
def hold(tmp_path):
    """A function that starts a process which leases one of the named devices; returns it and the device's place."""
    running = []

    def start(*uuids):
        command = [sys.executable, "-c", HOLDER, str(tmp_path / "gpus"), *uuids]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in running:
        process.kill()


def test_two_stages_take_two_devices(hold, tmp_path):
    assert hold("GPU-a", "GPU-b")[1] == 0
    assert hold("GPU-a", "GPU-b")[1] == 1


def test_same_device_under_another_number_is_still_taken(hold, tmp_path):
    """A SLURM job with one GPU calls it 0 whichever it is."""
    assert hold("GPU-b")[1] == 0
    assert hold("GPU-a", "GPU-b")[1] == 0
    stop = StopRequest()
    stop.reason = "the test asks"
    with pytest.raises(Interrupted):
        lease(["GPU-b"], stop, tmp_path / "gpus")


def test_kill_9_frees_the_device(hold, tmp_path, caplog):
    first, _ = hold("GPU-a")
    first.send_signal(signal.SIGKILL)
    first.wait()
    begin = time.monotonic()
    assert lease(["GPU-a"], StopRequest(), tmp_path / "gpus")[0] == 0
    assert time.monotonic() - begin < 5


def test_waiting_stage_names_who_holds_the_device(hold, tmp_path, caplog):
    caplog.set_level("INFO")
    first, _ = hold("GPU-a")
    stop = StopRequest()
    stop.reason = "the test asks"
    with pytest.raises(Interrupted):
        lease(["GPU-a"], stop, tmp_path / "gpus")
    assert f"waiting for a GPU: it is held by process {first.pid}" in caplog.text
