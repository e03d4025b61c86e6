"""What ends with a hub that was killed, and what of people's goes on."""

import os
import subprocess
import time

import pytest

from earthlab.hub.ending import end_hub, find_peoples
from earthlab.hub.layout import MARKER
from earthlab.hub.processes import find_lab_processes, read_process
from tests.patience import PATIENCE

NAMED = "echo -n {name} > /proc/self/comm; sleep 60 & wait"
ALONE = "exec -a {name} sleep 60"


@pytest.fixture
def started(layout):
    found = []

    def start(name, script=NAMED, command=None):
        process = subprocess.Popen(
            ["bash", "-c", script.format(name=name)], env={"PATH": os.environ["PATH"], MARKER: layout.lab_id}
        )
        found.append(process)
        until = time.monotonic() + PATIENCE
        while not ((seen := read_process(process.pid)) and seen.command == (command or name)):
            assert time.monotonic() < until
            time.sleep(0.01)
        return process

    yield start
    for process in found:
        process.kill()
        process.wait()


def test_servers_and_what_runs_in_them_go_on_and_services_and_clusters_do_not(layout, started):
    staying = [started(name) for name in ("el-template", "el-nursery", "el-server", "el-kernel", "el-parked")]
    ending = [started(name) for name in ("el-scheduler", "el-worker", "anything")]
    spared = started("keeper", ALONE, "sleep")
    peoples = find_peoples(find_lab_processes(layout))
    assert {process.pid for process in staying} <= peoples
    assert not {process.pid for process in ending} & peoples
    # Each child by itself is like its parent.
    assert len(peoples) >= 2 * len(staying)
    assert end_hub(layout, below=staying[0].pid, spare=[spared.pid]) == []
    assert [process.poll() for process in (*staying, spared)] == [None] * 6
    assert all(process.wait(PATIENCE) < 0 for process in ending)
