"""How a server starts kernels: as Jupyter Server does, told at once."""

import asyncio
import sys

import pytest
from jupyter_client.kernelspec import KernelSpec

from earthlab.kernel.starting import LabKernelManager

pytestmark = pytest.mark.lab

ACTIONS = "https://events.jupyter.org/jupyter_server/kernel_actions/v1"
WAITS = "import sys; sys.stdin.close(); import time; time.sleep(60)"


def make_manager(folder, monkeypatch, *command):
    manager = LabKernelManager()
    manager.connection_file = str(folder / "kernel.json")
    spec = KernelSpec(argv=list(command), display_name="probe", language="python")
    monkeypatch.setattr(LabKernelManager, "kernel_spec", spec)
    return manager


@pytest.fixture
def told():
    return []


def listen(manager, told):
    async def hear(logger, schema_id, data):
        told.append((data["action"], data["status"]))

    manager.event_logger.add_listener(schema_id=ACTIONS, listener=hear)


def test_a_kernel_that_has_started_is_ready_and_its_server_s_events_tell_of_it(tmp_path, monkeypatch, told):
    async def run():
        manager = make_manager(tmp_path, monkeypatch, sys.executable, "-c", WAITS)
        listen(manager, told)
        assert not manager.ready.done()
        await manager.start_kernel()
        assert manager.ready.done()
        assert await manager.is_alive()
        first = manager.ready
        await manager.restart_kernel(now=True)
        assert manager.ready.done()
        assert manager.ready is not first
        await manager.shutdown_kernel(now=True)
        manager.context.destroy()
        await asyncio.sleep(0)

    asyncio.run(run())
    assert told == [(action, "success") for action in ("start", "restart", "shutdown")]


def test_a_kernel_that_cannot_start_is_told_to_all_who_wait_for_it(tmp_path, monkeypatch, told):
    async def run():
        manager = make_manager(tmp_path, monkeypatch, str(tmp_path / "no-such-program"))
        listen(manager, told)
        with pytest.raises(FileNotFoundError):
            await manager.start_kernel()
        assert isinstance(manager.ready.exception(), FileNotFoundError)
        manager.cleanup_connection_file()

    asyncio.run(run())
    assert told == [("start", "error")]
