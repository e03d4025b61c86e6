"""How a server starts kernels: as Jupyter Server does, told at once."""

import asyncio
import sys

import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_events import EventLogger
from traitlets import Instance
from traitlets.config import Configurable

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


class Jupyter(Configurable):
    """As much of a server, and of what keeps its kernels, as a kernel's manager looks at."""

    event_logger = Instance(EventLogger, ())


def test_the_events_of_all_kernels_are_one_server_s_and_described_to_it_once(monkeypatch):
    described = []
    register = EventLogger.register_event_schema
    monkeypatch.setattr(
        EventLogger, "register_event_schema", lambda logger, it: (described.append(logger), register(logger, it))
    )
    server, other = Jupyter(), Jupyter()
    managers = [LabKernelManager(parent=Jupyter(parent=each)) for each in (server, server, other)]
    assert [manager.event_logger for manager in managers] == [server.event_logger] * 2 + [other.event_logger]
    assert described == [server.event_logger, other.event_logger]
    assert ACTIONS in server.event_logger.schemas
