"""What a worker does before its first task; in a process of its own, whose bounds it lowers."""

import subprocess
import sys

MIB = 2**20

WORKER = """
import sys
from types import SimpleNamespace
import psutil
from earthlab.services.gateway.preload_worker import dask_setup

class Node:
    http_server = SimpleNamespace(stop=lambda: None)
    services = {"dashboard": 0}
    monitor = SimpleNamespace(get_process_memory=lambda: psutil.Process().memory_info().rss)
    memory_manager = SimpleNamespace(memory_limit=int(sys.argv[1]) or None)

node = Node()
dask_setup(node)
"""


def run_worker(tmp_path, code, limit=256 * MIB):
    env = {"EARTHLAB_WORKER_STARTED": str(tmp_path / "started")}
    command = [sys.executable, "-c", WORKER + code, str(limit)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def test_a_worker_has_its_memory_beyond_what_it_has_at_its_start_and_no_more(tmp_path):
    code = """
held = bytearray(200 * 2**20)
try:
    bytearray(100 * 2**20)
except MemoryError:
    print("refused")
"""
    assert run_worker(tmp_path, code) == "refused\n"
    assert run_worker(tmp_path, code, limit=0) == ""


def test_a_worker_counts_what_it_takes_and_not_what_it_shares(tmp_path):
    code = """
import os
def count():
    return node.monitor.get_process_memory() // 2**20
reader, writer = os.pipe()
ours = bytearray(b"x") * (100 * 2**20)
if os.fork() == 0:
    again = Node()
    again.monitor = SimpleNamespace(get_process_memory=lambda: psutil.Process().memory_info().rss)
    dask_setup(again)
    node = again
    born = count()
    more = bytearray(b"x") * (50 * 2**20)
    print(born < 50, 50 <= count() < 100, flush=True)
    os._exit(0)
os.wait()
print(count() >= 100)
"""
    assert run_worker(tmp_path, code) == "True True\nTrue\n"


def test_a_worker_says_that_it_could_start(tmp_path):
    run_worker(tmp_path, "")
    assert (tmp_path / "started").exists()
