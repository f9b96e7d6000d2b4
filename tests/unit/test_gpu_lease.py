"""GPU leases between real processes. Where the machine has no two GPUs, theirs are names: what is tested is who gets which."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from worldmodels.errors import UserError
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


PRETENCE = """
import os
from types import SimpleNamespace
shown = os.environ.get("CUDA_VISIBLE_DEVICES", "0,1")
visible = [f"GPU-{number}" for number in shown.split(",")]  # what torch shows of a machine with two GPUs
torch.cuda.device_count = lambda: len(visible)
torch.cuda.get_device_properties = lambda index: SimpleNamespace(uuid=visible[index])
torch.cuda.get_device_name = lambda index: visible[index]
torch.cuda.set_device = lambda index: print("device", index, flush=True)
"""
STAGE = """
import logging, sys
import torch
from worldmodels.runtime.gpu_lease import hold_free_gpu
from worldmodels.runtime.stop import StopRequest
{pretence}
logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
with hold_free_gpu(StopRequest()) as lock:
    print("holding", lock.name, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def stage(tmp_path):
    """A function that starts a process which asks for a GPU as a stage does, and holds it until its input is closed."""
    running = []
    text = STAGE.format(pretence="" if torch.cuda.device_count() >= 2 else PRETENCE)

    def start(visible=None):
        environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        environment |= {"TMPDIR": str(tmp_path)} | ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen([sys.executable, "-c", text], env=environment, **pipes))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def lock_of(process):
    """The lock that a stage holds, once it has one."""
    for line in process.stdout:
        if line.startswith("holding "):
            return Path(line.split()[1])
    pytest.fail("it ended without a GPU")


@pytest.mark.parametrize("end", ["its end", "kill -9"])
def test_second_stage_waits_for_the_only_gpu_and_gets_it(stage, end):
    first = stage(visible="0")
    lock = lock_of(first)
    second = stage(visible="0")
    assert f"waiting for a GPU: it is held by process {first.pid}\n" == second.stdout.readline()
    assert lock.read_text() == str(first.pid)
    if end == "kill -9":
        first.kill()
    else:
        first.stdin.close()
    assert lock_of(second) == lock
    assert lock.read_text() == str(second.pid)


def test_only_visible_gpus_are_taken(stage):
    """CUDA calls the second GPU 0 where it alone is shown, and it is still the one that the others call 1."""
    ours = stage(visible="1")
    second_gpu = lock_of(ours)
    other = stage()
    first_gpu = lock_of(other)
    assert first_gpu != second_gpu
    third = stage(visible="1")
    assert f"waiting for a GPU: it is held by process {ours.pid}\n" == third.stdout.readline()
    fourth = stage()
    assert f"waiting for a GPU: each is held by process {other.pid}, {ours.pid}\n" == fourth.stdout.readline()
    other.kill()
    assert lock_of(fourth) == first_gpu, "the free one, though both are shown"
    ours.kill()
    assert lock_of(third) == second_gpu


def test_no_visible_gpu_means_the_cpu_and_an_error_only_where_cuda_was_asked_for():
    """CUDA_VISIBLE_DEVICES= (empty) hides all GPUs, on any machine."""
    words = "from worldmodels.runtime.device import resolve_device; print(resolve_device({!r}))"

    def device(requested):
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-c", words.format(requested)]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    assert device("auto").stdout == "cpu\n"
    refused = device("cuda")
    assert refused.returncode != 0 and "Check nvidia-smi, CUDA_VISIBLE_DEVICES" in refused.stderr
    with pytest.raises(UserError, match="no GPU is visible"):
        lease([], StopRequest())
