"""A line that breaks loses nothing: a real server, a real kernel, pages that are gone without a word."""

import asyncio
import os
import signal
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.hub.lines import Unconfirmed
from earthlab.testing.ports import free_row
from tests.hub.small_server import PROTOCOL, Server, running_server


@given(sizes=st.lists(st.integers(0, 9), max_size=30), confirmed=st.integers(0, 30))
def test_what_is_not_confirmed_is_kept_in_order_up_to_so_many_bytes(sizes, confirmed):
    kept = Unconfirmed(most=20)
    messages = [(f"iopub {number}", [bytes(size)]) for number, size in enumerate(sizes)]
    for message in messages:
        kept.keep(*message)
    kept.confirm(confirmed)
    left = kept.messages()
    assert left == messages[len(messages) - len(left) :]
    assert sum(len(parts[0]) for _, parts in left) <= 20
    expected = messages[confirmed:]
    while sum(len(parts[0]) for _, parts in expected) > 20:
        expected.pop(0)
    assert len(left) <= len(expected)
    if sum(sizes) <= 20:
        assert left == expected


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    import tempfile

    with (
        tempfile.TemporaryDirectory(prefix="el-") as run,
        running_server(tmp_path_factory.mktemp("server"), Path(run), free_row(1)) as found,
    ):
        yield found


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("protocol", [PROTOCOL, None])
async def test_a_cell_that_ends_while_the_line_breaks_has_ended_when_the_page_comes_back(server: Server, protocol):
    kernel, session = await server.start_kernel(), uuid.uuid4().hex
    for pause in (0.002, 0.005, 0.01, 0.02, 0.05):
        async with server.page(kernel, protocol, session) as page:
            await page.run("1 + 1")
            cell = await page.send(f"print('said after', {pause})")
            await asyncio.sleep(pause)
            # On a busy machine it has heard all before, and has said so: then nothing is said again.
            heard = page.break_off()
        async with server.page(kernel, protocol, session) as page:
            # The page is told the kernel's state as it comes, which may be before the cell's turn.
            while f"said after {pause}\n" not in [m["content"].get("text") for m in heard]:
                heard = await page.hear(cell)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("protocol", [PROTOCOL, None])
async def test_of_a_cell_that_begins_as_its_page_comes_back_every_word_is_heard(server: Server, protocol):
    kernel, session = await server.start_kernel(), uuid.uuid4().hex
    async with server.page(kernel, protocol, session) as page:
        said = await page.run("import os; print(os.getpid())")
        process = int(next(m["content"]["text"] for m in said if "text" in m["content"]))
        await asyncio.sleep(1.0)
        os.kill(process, signal.SIGSTOP)
        cell = await page.send("print('said')")
        page.break_off()
    async with server.page(kernel, protocol, session) as page:
        await asyncio.sleep(1.0)
        os.kill(process, signal.SIGCONT)
        heard = await page.hear(cell)
    of_it = [m["header"]["msg_type"] for m in heard if m["parent_header"].get("msg_id") == cell["header"]["msg_id"]]
    assert of_it == ["status", "execute_input", "stream", "status"]


@pytest.mark.filterwarnings("default")
async def test_a_page_that_comes_back_before_anybody_knows_that_it_was_gone_hears_what_was_said(server: Server):
    kernel, session = await server.start_kernel(), uuid.uuid4().hex
    async with server.page(kernel, PROTOCOL, session) as gone:
        await gone.run("1 + 1")
        cell = await gone.send("import time; time.sleep(1); print('late')")
        async with server.page(kernel, PROTOCOL, session) as back:
            heard = await back.hear(cell)
    assert "late\n" in [message["content"].get("text") for message in heard]


@pytest.mark.filterwarnings("default")
async def test_what_has_arrived_is_not_said_twice(server: Server):
    kernel, session = await server.start_kernel(), uuid.uuid4().hex
    async with server.page(kernel, PROTOCOL, session) as page:
        await page.run("print('once')")
        await asyncio.sleep(1.0)
        page.break_off()
    async with server.page(kernel, PROTOCOL, session) as page:
        heard = await page.run("print('twice')")
    assert "once\n" not in [message["content"].get("text") for message in heard]
