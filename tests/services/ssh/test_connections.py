"""What one client can make the door keep, or do, without paying for it."""

import asyncio
import struct
from types import SimpleNamespace

import asyncssh
import pytest
from asyncssh.packet import String, UInt32
from hypothesis import given
from hypothesis import strategies as st

from earthlab.services.ssh.connections import (
    FULL,
    LEAST_PACKET,
    MOST_WAITING,
    UNREAD,
    Connection,
    Input,
    Patience,
    resolve_source,
)
from tests.patience import eventually_async

_PARTS = st.tuples(st.sampled_from(["take", "drop", "add", "find"]), st.integers(0, 40), st.binary(max_size=30))


@given(st.binary(max_size=100), st.lists(_PARTS, max_size=20))
def test_input_is_what_bytes_would_be(start, parts):
    plain, ours = start, Input() + start
    for what, count, piece in parts:
        if what == "take":
            assert ours[:count] == plain[:count]
            assert ours[count : count + 7] == plain[count : count + 7]
        elif what == "drop":
            plain, ours = plain[min(count, len(plain)) :], ours[min(count, len(plain)) :]
        elif what == "add":
            plain, ours = plain + piece, ours + piece
        else:
            assert ours.find(piece[:2], 0, 50) == plain.find(piece[:2], 0, 50)
        assert len(ours) == len(plain)
        assert bool(ours) == bool(plain)


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_source_is_an_address_or_what_one_customer_has_of_them(address, source):
    assert resolve_source(address) == source


def test_who_comes_again_and_again_for_nothing_waits_and_nobody_else():
    now = [100.0]
    patience = Patience(lambda: now[0])
    for _ in range(38):
        patience.count("192.0.2.1")
    assert 38 / patience.compute_wait("192.0.2.1") < 20
    assert patience.compute_wait("192.0.2.2") == 0
    for _ in range(1000):
        patience.count("192.0.2.1")
    assert patience.compute_wait("192.0.2.1") == 5
    now[0] += 6
    assert patience.compute_wait("192.0.2.1") == 0
    patience.count("192.0.2.2")
    assert len(patience._until) == 1


class Line:
    """The way to a client who never reads."""

    def __init__(self):
        self.written, self.aborted, self.paused = 0, False, False
        self.limit = None

    def get_extra_info(self, name, default=None):
        return {"peername": ("192.0.2.1", 5000), "sockname": ("127.0.0.1", 8022)}.get(name, default)

    def set_write_buffer_limits(self, high):
        self.limit = high

    def write(self, data):
        self.written += len(data)

    def get_write_buffer_size(self):
        return self.written

    def abort(self):
        self.aborted = True

    def is_closing(self):
        return self.aborted

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False


@pytest.fixture
async def line():
    return Line()


@pytest.fixture
async def connection(line):
    key = asyncssh.generate_private_key("ssh-ed25519")
    options = asyncssh.SSHServerConnectionOptions(server_factory=asyncssh.SSHServer, server_host_keys=[key])
    found = Connection(asyncio.get_running_loop(), options, Patience())
    found.connection_made(line)
    yield found
    found.abort()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_who_is_not_heard_yet_is_heard_later_with_what_was_said(line):
    patience = Patience()
    patience.count("192.0.2.1")
    key = asyncssh.generate_private_key("ssh-ed25519")
    options = asyncssh.SSHServerConnectionOptions(server_factory=asyncssh.SSHServer, server_host_keys=[key])
    early = Connection(asyncio.get_running_loop(), options, patience)
    early.connection_made(line)
    early.data_received(b"SSH-2.0-early\r\n")
    assert line.written == 0
    assert patience.waiting["192.0.2.1"] == 1
    await eventually_async(lambda: early.get_extra_info("client_version") == "SSH-2.0-early")
    assert line.written > 0
    assert patience.waiting["192.0.2.1"] == 0
    early.abort()
    await asyncio.sleep(0)


async def test_so_many_wait_to_be_heard_and_say_so_much_and_no_more(line):
    patience = Patience()
    patience.count("192.0.2.1")
    patience.waiting["192.0.2.1"] = MOST_WAITING - 1
    options = asyncssh.SSHServerConnectionOptions(server_factory=asyncssh.SSHServer, server_host_keys=[])
    last, late = Line(), Line()
    talker = Connection(asyncio.get_running_loop(), options, patience)
    talker.connection_made(last)
    talker.data_received(b"x" * (1 << 15))
    assert last.aborted
    Connection(asyncio.get_running_loop(), options, patience).connection_made(late)
    assert late.aborted


async def test_answers_that_are_not_read_end_the_connection(connection, line):
    connection._send(b"x" * (4 * FULL))
    assert line.aborted or connection._transport is None


async def test_what_cannot_be_looked_at_yet_is_not_taken(connection, line):
    connection._recv_handler = lambda: False
    connection.data_received(b"x" * UNREAD)
    assert not line.paused
    connection.data_received(b"x")
    assert line.paused
    connection._inpbuf = Input()
    connection._finish_recv_packet(2, 0)
    assert not line.paused


class Heard(asyncssh.SSHServerSession):
    def __init__(self):
        self.said = []

    def connection_made(self, chan):
        self.chan = chan

    def data_received(self, data, datatype):
        self.said.append(data)

    def pause_writing(self):
        self.said.append("pause")

    def resume_writing(self):
        self.said.append("resume")


@pytest.fixture
async def channel(connection):
    connection._kex_complete = connection._auth_complete = True
    connection._rekey_time = float("inf")
    found = connection.create_server_channel()
    found.process_open(7, 1 << 32, 1 << 15, Heard())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return found


async def test_a_full_way_is_as_a_client_who_takes_nothing(connection, channel, line):
    before = line.written
    connection.pause_writing()
    channel.write(b"x" * 100_000)
    assert line.written == before
    assert channel._session.said == ["pause"]
    connection.resume_writing()
    assert line.written > before + 100_000
    assert channel._session.said == ["pause", "resume"]


async def test_while_keys_are_exchanged_nothing_piles_up(connection, channel):
    connection._kex_complete = False
    channel.write(b"x" * 100_000)
    assert connection._deferred_packets == []
    connection._kex_complete = True
    connection._send_deferred_packets()
    assert channel._session.said == ["pause", "resume"]


async def test_crumbs_that_wait_are_put_together_and_counted_once(channel):
    window = channel._recv_window
    channel._recv_paused = True
    for number in range(3000):
        channel._accept_data(struct.pack("B", number % 251))
    assert len(channel._recv_buf) < 3
    assert channel._recv_window == window - 3000
    channel._recv_paused = False
    channel._flush_recv_buf()
    assert b"".join(channel._session.said) == bytes(number % 251 for number in range(3000))


async def test_a_client_who_takes_crumbs_only_is_refused(connection):
    connection._auth_complete = True
    with pytest.raises(asyncssh.ChannelOpenError):
        connection.create_server_channel().process_open(7, 1 << 20, LEAST_PACKET - 1, Heard())
    assert not connection._channels


async def test_variables_of_clients_are_not_kept(channel):
    packet = SimpleNamespace(payload=String("LANG") + String("x" * 100_000) + UInt32(0))
    assert not channel._process_env_request(packet)
    assert channel.get_environment() == {}
