"""A line that breaks loses nothing: a real server, a real kernel, pages that are gone without a word."""

import asyncio
import os
import signal
import uuid
from itertools import groupby
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import DELIM

from earthlab.hub.lines import Gap, Unconfirmed, Unheard, render_gap
from earthlab.testing.ports import free_row
from tests.hub.small_server import PROTOCOL, Server, running_server
from tests.patience import eventually_async

_SHARES = {b'"stream"': 300, b'"error"': 200, b"": 400}


def _share_of(kind):
    return _SHARES.get(f'"{kind}"'.encode(), _SHARES[b""])


def _said(kind, cell, size, channel="iopub"):
    """What a kernel says, as Jupyter's server has it from the socket."""
    return channel, [b"topic", DELIM, b"", f'{{"msg_type": "{kind}"}}'.encode(), cell, b"{}", bytes(size)]


def _weight(said):
    return sum(map(len, said[1]))


def _begin():
    return Unheard(lambda parent, gap: [b"notice", parent, gap], _SHARES)


def _unheard(saids):
    unheard = _begin()
    for said in saids:
        unheard.append(said)
    return unheard


_ANYTHING_SAID = st.lists(
    st.builds(
        _said,
        st.sampled_from(["stream", "error", "display_data", "status", "execute_input"]),
        st.sampled_from([b"first cell", b"second cell"]),
        st.integers(0, 250),
        st.sampled_from(["iopub", "iopub", "shell", "control", "stdin"]),
    ),
    max_size=40,
)


@given(saids=_ANYTHING_SAID)
def test_of_what_nobody_hears_the_newest_of_each_kind_is_kept_in_order_and_answers_all(saids):
    left = [said for said in _unheard(saids) if said[1][0] != b"notice"]
    # Two may say the same.
    order = {id(message): number for number, (_, message) in enumerate(saids)}
    numbers = [order[id(message)] for _, message in left]
    assert numbers == sorted(numbers)

    def kind_of(said):
        return said[1][3] if said[0] == "iopub" else b"answer"

    for kind, of_kind in groupby(sorted(saids, key=kind_of), key=kind_of):
        expected = list(of_kind)
        bounded = [name for name in ("stream", "error", "display_data") if name.encode() in kind]
        while bounded and sum(map(_weight, expected)) > _share_of(bounded[0]):
            expected.pop(0)
        assert [said for said in left if kind_of(said) == kind] == expected


@given(saids=_ANYTHING_SAID)
def test_what_is_left_out_is_counted_once_in_each_cell_before_what_is_left_of_its_output(saids):
    unheard = _unheard(saids)
    heard = list(unheard)
    assert len(heard) == len(unheard)
    assert bool(unheard) == bool(saids)
    notices = {said[1][1]: said[1][2] for said in heard if said[1][0] == b"notice"}
    assert len(notices) == sum(said[1][0] == b"notice" for said in heard)
    for cell in (b"first cell", b"second cell"):
        missing = [said for said in saids if said[1][4] == cell and not any(said[1] is left for _, left in heard)]
        if not missing:
            assert cell not in notices
            continue
        assert notices[cell].messages == len(missing)
        assert notices[cell].bytes == sum(len(said[1][6]) for said in missing)
        # The notice stands where the first of the missing stood: all that is heard before it was said before.
        place = [said[1][:2] for said in heard].index([b"notice", cell])
        first = next(at for at, said in enumerate(saids) if said[1] is missing[0][1])
        before = [said for said in heard[:place] if said[1][0] != b"notice"]
        assert before == [said for said in saids[:first] if any(said[1] is left for _, left in heard)]


@given(saids=_ANYTHING_SAID, most=st.integers(0, 2000))
def test_of_what_is_sent_on_a_line_that_nobody_hears_as_much_is_kept_as_where_nobody_listens(saids, most):
    sent = Unconfirmed(_begin, most)
    for said in saids:
        sent.keep(*said)
    assert list(sent.give_up()) == list(_unheard(saids))
    assert not list(sent.give_up())


@given(saids=_ANYTHING_SAID, most=st.integers(0, 2000), confirmed=st.integers(0, 40))
def test_of_what_is_confirmed_nothing_is_kept_and_of_the_rest_what_there_is_room_for(saids, most, confirmed):
    sent = Unconfirmed(_begin, most)
    for said in saids:
        sent.keep(*said)
    sent.confirm(confirmed)
    left = list(sent.give_up())
    rest = saids[confirmed:]
    if sum(map(_weight, rest)) <= most:
        assert left == list(_unheard(rest))
    answers = [said for said in rest if said[0] != "iopub" or b"status" in said[1][3]]
    assert all(any(said[1] is kept for _, kept in left) for said in answers)


@pytest.mark.parametrize(("messages", "words"), [(1, "1 message ({})"), (57, "57 messages ({})")])
def test_the_notice_says_in_both_languages_how_much_is_missing(messages, words):
    french, english, end = render_gap(Gap(1, messages, 56_060_000)).split("\n")
    assert words.format("56,1 Mo") in french
    assert words.format("56.1 MB") in english
    assert end == ""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    import tempfile

    with (
        tempfile.TemporaryDirectory(prefix="el-") as run,
        running_server(tmp_path_factory.mktemp("server"), Path(run), free_row(1)) as found,
    ):
        yield found


async def _has_come_to_rest(server: Server, kernel: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        asked = await client.get(f"{server.url}/api/kernels/{kernel}?token={server.token}", timeout=120)
    return bool(asked.json()["execution_state"] == "idle")


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
        await eventually_async(lambda: _has_come_to_rest(server, kernel))
        os.kill(process, signal.SIGSTOP)
        try:
            cell = await page.send("print('said')")
            page.break_off()
            async with server.page(kernel, protocol, session) as back:
                await asyncio.sleep(1.0)
                os.kill(process, signal.SIGCONT)
                heard = await back.hear(cell)
        finally:
            os.kill(process, signal.SIGCONT)
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


def _words_of(heard, cell):
    """What the cell says, each with the name of its stream."""
    ours = [message for message in heard if message["parent_header"].get("msg_id") == cell["header"]["msg_id"]]
    return [(m["content"]["name"], m["content"]["text"]) for m in ours if m["header"]["msg_type"] == "stream"]


_MUCH = """
import sys, time
time.sleep(1)
for number in range(60):
    sys.stdout.write(f"{number}" + "x" * 10**6)
    sys.stdout.flush()
"""


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("protocol", [PROTOCOL, None])
@pytest.mark.parametrize("breaks", [True, False])
async def test_of_sixty_megabytes_that_nobody_hears_the_newest_are_kept_and_the_cell_says_so(
    server: Server, protocol, breaks
):
    kernel, session = await server.start_kernel(), uuid.uuid4().hex
    async with server.page(kernel, protocol, session) as page:
        cell = await page.send(_MUCH)
        await page.hear(cell, "busy")
        if breaks:
            page.break_off()
        # Else its line is there, and nobody reads: a closed laptop's, for a while.
        await eventually_async(lambda: _has_come_to_rest(server, kernel))
        if not breaks:
            page.break_off()
    async with server.page(kernel, protocol, session) as page:
        # Gone once more while it is told what it missed.
        await page.line.read_message()
        page.break_off()
    async with server.page(kernel, protocol, session) as page:
        (name, notice), *left = _words_of(await page.hear(cell), cell)
    whole = "".join(f"{number}" + "x" * 10**6 for number in range(60))
    text = "".join(text for _, text in left)
    assert name == "stderr"
    assert f"({(len(whole) - len(text)) / 1e6:.1f} MB)" in notice
    assert whole.endswith(text)
    assert 2e6 < len(text) < 4.2e6
