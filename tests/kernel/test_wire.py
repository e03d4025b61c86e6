"""Messages of one JSON object, with open files beside them."""

import contextlib
import os
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import SetupError
from earthlab.kernel import wire


def open_paths():
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield link.readlink()


def count_open(name):
    """How many of our descriptors are of this file: other threads open and close theirs meanwhile."""
    return [str(path) for path in open_paths()].count(name)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=20)


@given(st.dictionaries(st.text(), JSON))
def test_a_message_arrives_as_it_was_sent(message):
    ours, theirs = wire.pair()
    with ours, theirs:
        wire.send(ours, message)
        assert wire.receive(theirs) == (message, [])


@given(st.dictionaries(st.text(), JSON))
def test_a_sealed_object_is_what_was_sealed(content):
    assert wire.unseal(wire.seal(content)) == content


def test_what_cannot_be_sealed_leaves_no_open_file():
    sealed = wire.seal({})
    name = str(Path(f"/proc/self/fd/{sealed}").readlink())
    with os.fdopen(sealed), pytest.raises(TypeError, match="serializable"):
        wire.seal({"a": object()})
    assert count_open(name) == 0


def test_files_travel_beside_a_message():
    ours, theirs = wire.pair()
    reader, writer = os.pipe()
    with ours, theirs:
        wire.send(ours, {"a": 1}, [reader])
        _, (copy,) = wire.receive(theirs)
        os.write(writer, b"x")
        assert os.read(copy, 1) == b"x"
        assert not os.get_inheritable(copy)
    wire.close_files([reader, writer, copy])


@pytest.mark.parametrize("nonsense", [b"x", b"[]", b"1", b"\xff", b"[" * 60000, b"{}" + b" " * wire.MOST_BYTES])
def test_what_is_no_message_is_refused_and_its_files_are_closed(nonsense, tmp_path):
    ours, theirs = wire.pair()
    with ours, theirs, (tmp_path / "beside").open("w") as file:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", file.fileno()))
        ours.sendmsg([nonsense], [rights])
        with pytest.raises(ValueError, match=r"expected|Expecting|decode"):
            wire.receive(theirs)
        assert count_open(file.name) == 1


def test_the_end_of_a_connection_is_told_from_a_message():
    ours, theirs = wire.pair()
    ours.close()
    with theirs, pytest.raises(EOFError):
        wire.receive(theirs)


def test_a_peer_is_known_by_the_machine_and_not_by_its_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listener = wire.listen_at(tmp_path / "s")
    with listener, wire.connect_to(tmp_path / "s", 1):
        connection, _ = listener.accept()
        with connection:
            assert wire.peer_of(connection) == wire.Peer(os.getpid(), os.getuid(), os.getgid())
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


def test_a_path_too_long_for_a_socket_is_refused(tmp_path):
    with pytest.raises(SetupError, match="at most 107"):
        wire.listen_at(tmp_path / ("x" * 120))
