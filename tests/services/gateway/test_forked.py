"""Schedulers and workers that are copies of the lab's template, and what becomes of those that are lost."""

import os
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from distributed import KilledWorker

from earthlab.compute import cluster as start
from earthlab.hub.parts import read_memory, read_processor
from earthlab.kernel.memory import KERNEL, SERVER
from tests.patience import PATIENCE
from tests.services.gateway.conftest import run_gateway, run_template

pytestmark = pytest.mark.lab

MIB = 2**20

LIGHT_TEMPLATE = """
import argparse, os
from pathlib import Path
from earthlab.kernel import wire
from earthlab.kernel.forking import Template, admits_household
from earthlab.kernel.life import leave, parse_life
parser = argparse.ArgumentParser()
parser.add_argument("--socket")
parser.add_argument("--owner", type=int)
parser.add_argument("--life", action="append")
given = parser.parse_args()
owner = os.pidfd_open(given.owner)
lives = {life.name: life for life in map(parse_life, given.life)}
listener = wire.listen_at(Path(given.socket))
template = Template(listener, lives, admits_household(given.owner, owner), lambda: "", owner)
if born := template.serve():
    born.live()
leave(0)
"""
"""A template that imports no more than its lives do."""


def read_score(pid):
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_schedulers_and_workers_are_copies_that_own_little(gateway_lab, cluster):
    found = cluster("alice", workers=2)
    assert found.client.submit(sum, [1, 2]).result() == 3
    schedulers, workers = gateway_lab.schedulers(), gateway_lab.workers()
    assert (len(schedulers), len(workers)) == (1, 2)
    assert sorted(schedulers + workers) == sorted(gateway_lab.copies()) == sorted(gateway_lab.marked())
    for pid in gateway_lab.copies():
        assert read_memory(pid).private < 60 * MIB
        assert read_processor(pid) < 1
    assert {read_score(pid) for pid in schedulers} == {SERVER}
    assert {read_score(pid) for pid in workers} == {KERNEL}
    counted = found.client.run(lambda dask_worker: dask_worker.monitor.get_process_memory())
    assert max(counted.values()) < 100 * MIB


def test_a_copy_has_the_settings_of_its_cluster_and_writes_each_line_once(gateway_lab, cluster):
    found = cluster("alice", workers=1)

    def tell():
        import dask.config
        import threadpoolctl

        pools = {each["num_threads"] for each in threadpoolctl.threadpool_info()}
        return dask.config.get("distributed.comm.require-encryption"), pools, os.umask(0o077)

    encrypted, pools, umask = found.client.submit(tell).result()
    assert (encrypted, pools, umask) == (True, {1}, 0o077)
    logs = (gateway_lab.layout.state / "clusters" / ".logs" / found.name[:12]).glob("*.log")
    lines = [line for log in logs for line in log.read_text().splitlines() if " - INFO - " in line]
    assert len(lines) > 10
    assert not [line for line, following in pairwise(lines) if line == following and "---" not in line]


def test_a_task_that_asks_for_more_than_its_worker_has_is_told_so_and_the_worker_goes_on(gateway_lab, cluster):
    found = cluster("alice", workers=1)
    before = gateway_lab.workers()
    with pytest.raises(MemoryError):
        found.client.submit(bytearray, 3 * 2**30).result()
    assert found.client.submit(lambda: len(bytearray(2**30))).result() == 2**30
    assert gateway_lab.workers() == before


def test_a_task_that_kills_its_workers_fails_and_its_cluster_goes_on(gateway_lab, cluster, eventually):
    found = cluster("alice", workers=1)
    scheduler = gateway_lab.schedulers()
    with pytest.raises(KilledWorker):
        found.client.submit(lambda: os.kill(os.getpid(), signal.SIGKILL)).result(PATIENCE)
    assert found.client.submit(sum, [1, 2]).result(PATIENCE) == 3
    assert gateway_lab.schedulers() == scheduler
    eventually(lambda: len(gateway_lab.workers()) == 1)


def test_workers_come_back_after_a_restart_even_from_a_task_that_does_not_end(gateway_lab, cluster, eventually):
    found = cluster("alice", workers=2)
    before = gateway_lab.workers()
    stuck = found.client.submit(time.sleep, 600)
    eventually(lambda: any(found.client.processing().values()))
    found.client.restart(timeout=120)
    assert stuck.status == "cancelled"
    assert found.client.submit(sum, [1, 2]).result(PATIENCE) == 3
    assert len(gateway_lab.workers()) == 2
    assert not set(gateway_lab.workers()) & set(before)


def test_a_cluster_goes_on_without_its_template_and_the_next_has_another(eventually, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "alice")
    socket, command = tmp_path / "t.sock", [sys.executable, "-P", "-c", LIGHT_TEMPLATE]
    with run_gateway(socket) as lab:
        with run_template(socket, command) as template:
            found = start(workers=1, settings=lab.settings)
            template.kill()
            template.wait()
            (copy,) = lab.workers()
            found.scale(2)
            assert found.client.submit(sum, [1, 2]).result() == 3
            assert set(lab.copies()) == {copy, *lab.schedulers()} < set(lab.marked())
            assert lab.log.read_text().count("starts the slow way") == 1
            found.close()
        eventually(lambda: not lab.marked())
        with run_template(socket, command), start(workers=1, settings=lab.settings) as client:
            assert client.submit(sum, [1, 2]).result() == 3
            assert len(lab.copies()) == 2
