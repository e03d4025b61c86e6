"""What a page is told when memory has cost its kernel its life: a real server, a real kernel, a real limit."""

from collections.abc import Iterator

import pytest

from earthlab.hub.cgroups import Limits, close_group, governed_group, open_group, open_lab_group, sweep
from earthlab.hub.connections import render_kill
from earthlab.kernel.groups import Use
from tests.hub.small_server import PROTOCOL, Server, running_server

MIB = 2**20
GREEDY = "import time; print('first', flush=True); time.sleep(0.5); x = bytearray(b'x') * 2**30"


def test_the_error_says_limit_use_and_next_steps_in_both_languages():
    said = "\n".join(render_kill(Use(memory=int(1.25 * 2**30), limit=4 * 2**30, kills=1))["traceback"])
    assert "4,0 Gio" in said
    assert "1,2 Gio" in said
    assert "4.0 GiB" in said
    assert "1.2 GiB" in said
    assert "el.cluster()" in said
    assert said.index("Le noyau") < said.index("The kernel")


def test_where_no_limit_was_met_it_was_the_machines_memory():
    content = render_kill(Use(memory=2**30, limit=None, kills=1))
    assert "machine has no memory left" in content["evalue"]
    assert content["ename"] == "MemoryError"


@pytest.fixture
def server(layout, open_folder, tmp_path, unused_tcp_port) -> Iterator[Server]:
    """A user's server with its kernels in a group of 400 MiB."""
    group = open_group(open_lab_group(layout), "amina", Limits(400 * MIB))
    join = f"from earthlab.hub.cgroups import join; join({group.places})"
    with running_server(tmp_path, open_folder / "run", unused_tcp_port, join) as server:
        yield server
    assert close_group(group, patience=15)
    assert sweep(layout) == []


@pytest.mark.skipif(governed_group() is None, reason="control groups of this machine are not ours to make")
@pytest.mark.lab
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("protocol", [PROTOCOL, None])
async def test_the_running_cell_is_told_before_the_page_hears_of_the_restart(server, protocol):
    async with server.page(await server.start_kernel(), protocol) as page:
        heard = await page.run("bytearray(2**62)")
        (error,) = (message["content"] for message in heard if message["header"]["msg_type"] == "error")
        assert "Que faire" in error["traceback"][-1]

        heard = await page.run(GREEDY, until="restarting")
        kinds = [message["header"]["msg_type"] for message in heard]
        error = heard[kinds.index("error")]
        assert error["parent_header"]["msg_type"] == "execute_request"
        assert kinds.index("stream") < kinds.index("error") < len(kinds) - 1
        assert "0,4 Gio" in error["content"]["evalue"]
        assert "el.cluster()" in error["content"]["traceback"][-1]

        # The kernel comes back, and its own end by other means is not laid to memory.
        await page.wait_for_kernel()
        heard = await page.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", until="restarting")
        assert "error" not in [message["header"]["msg_type"] for message in heard]
        # Jupyter's server cannot be stopped while a kernel starts.
        await page.wait_for_kernel()
