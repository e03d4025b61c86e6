"""Processes are told by their name or their command; memory and time are what psutil reads."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from earthlab.hub.parts import PARTS, SEAT_PARTS, classify, classify_all, read_memory, read_processor
from tests.patience import PATIENCE

PYTHON = "/opt/lab/bin/python"


@pytest.mark.parametrize(
    ("command", "line", "part"),
    [
        ("el-server", [PYTHON, "-P", "-m", "earthlab.kernel.template"], "server"),
        ("el-scheduler", [PYTHON, "-P", "-m", "earthlab.kernel.template"], "scheduler"),
        ("el-worker", [PYTHON, "-P", "-m", "earthlab.kernel.template"], "worker"),
        ("el-parked", [PYTHON, "-P", "-m", "earthlab.kernel.nursery"], "parked"),
        ("python", [PYTHON, "/opt/lab/bin/earthlab", "lab"], "supervisor"),
        ("python", [PYTHON, "-P", "-m", "jupyterhub", "-f", "jupyterhub_config.py"], "hub"),
        ("MainThread", ["/opt/node", "--x", "/opt/bin/configurable-http-proxy", "--ip", ""], "proxy"),
        ("python", [PYTHON, "-P", "-m", "earthlab.services.stac"], "services"),
        ("dask-gateway-pr", ["/opt/proxy/dask-gateway-proxy", "-address", "127.0.0.1:1"], "services"),
        ("python", [PYTHON, "-P", "-m", "earthlab.hub.server"], "server"),
        ("python", [PYTHON, "-m", "jupyterhub.singleuser"], "server"),
        ("jupyterhub-sing", [PYTHON, "/opt/bin/jupyterhub-singleuser"], "server"),
        ("python", [PYTHON, "-P", "-m", "earthlab.kernel", "-f", "k.json"], "kernel"),
        ("python", [PYTHON, "-m", "ipykernel_launcher", "-f", "k.json"], "kernel"),
        ("python", [PYTHON, "-m", "distributed.cli.dask_scheduler"], "scheduler"),
        ("python", [PYTHON, "-m", "distributed.cli.dask_worker"], "worker"),
        ("git", ["git", "status"], "other"),
    ],
)
def test_each_part_is_told_by_name_or_command(command: str, line: list[str], part: str) -> None:
    assert classify(command, b"\0".join(word.encode() for word in [*line, ""])) == part
    assert part in PARTS


def test_what_a_lab_has_once_is_no_seat_s() -> None:
    assert {"supervisor", "hub", "proxy", "services", "template"} == set(PARTS) - set(SEAT_PARTS)


def test_a_child_that_says_nothing_is_what_its_parent_is() -> None:
    # As what a task has started is below its worker.
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", code, "distributed.cli.dask_worker"], stdin=subprocess.PIPE) as worker:
        try:
            until = time.monotonic() + PATIENCE
            while not (children := psutil.Process(worker.pid).children()):
                assert time.monotonic() < until
                time.sleep(0.05)
            while psutil.Process(children[0].pid).cmdline()[-1:] != ["input()"]:
                time.sleep(0.05)
            found = classify_all({worker.pid: os.getpid(), children[0].pid: worker.pid})
        finally:
            worker.communicate(b"\n")
    assert found == {worker.pid: "worker", children[0].pid: "worker"}


def test_memory_and_processor_time_are_psutil_s() -> None:
    memory, theirs = read_memory(os.getpid()), psutil.Process().memory_full_info()
    assert memory is not None
    assert memory.pss == pytest.approx(theirs.pss, rel=0.05)
    assert memory.private == pytest.approx(theirs.uss, rel=0.05)
    used = psutil.Process().cpu_times()
    assert read_processor(os.getpid()) == pytest.approx(used.user + used.system, abs=0.3)


def test_who_has_ended_takes_nothing() -> None:
    done = subprocess.Popen(["true"])
    done.wait()
    assert read_memory(done.pid) is None
    assert read_processor(done.pid) == 0.0
