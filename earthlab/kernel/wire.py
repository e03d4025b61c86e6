"""Messages between processes of this machine: one JSON object each, with open files beside it, from a known sender."""

import array
import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earthlab.errors import SetupError

MOST_BYTES = 64 * 1024
"""Longest message. What is longer travels in a file whose descriptor stands beside the message."""

_MOST_FILES = 8
_MOST_WAITING = 512
_LONGEST_PATH = 107
"""Bytes that Linux has for the path of a socket, unix(7)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a socket, as the kernel of the machine says."""

    pid: int
    uid: int
    gid: int


def listen_at(path: Path) -> socket.socket:
    """A listening socket that only our own user may write to; one that an earlier process left is replaced.

    Raises
    ------
    SetupError
        Where the path is too long for a socket.
    """
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise SetupError(f"socket: {path} has {len(os.fsencode(path))} bytes, at most {_LONGEST_PATH} are possible.")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(_MOST_WAITING)
    return listener


def connect_to(path: Path, seconds: float) -> socket.socket:
    """A connection to a listening socket, whose sends and receives take at most so long.

    Raises
    ------
    OSError
        Where nobody listens.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    connection.settimeout(seconds)
    try:
        connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of one connection."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)


def peer_of(connection: socket.socket) -> Peer:
    """Who opened a connection."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return Peer(*struct.unpack("3i", packed))


def send(connection: socket.socket, message: dict[str, Any], files: Sequence[int] = ()) -> None:
    """Send one message whole, with descriptors of open files that the receiver gets copies of.

    Raises
    ------
    OSError
        Where the other end is gone or does not take it in time.
    """
    body = json.dumps(message).encode()
    assert len(body) <= MOST_BYTES
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
    connection.sendmsg([body], beside, socket.MSG_NOSIGNAL)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next message and the files beside it, which are the caller's to close.

    Raises
    ------
    EOFError
        Where the other end is gone.
    ValueError
        Where what came is no message.
    OSError
        Where nothing came in time.
    """
    room = socket.CMSG_SPACE(_MOST_FILES * array.array("i").itemsize)
    body, beside, flags, _ = connection.recvmsg(MOST_BYTES + 1, room, socket.MSG_CMSG_CLOEXEC)
    files = array.array("i")
    for level, kind, data in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            files.frombytes(data[: len(data) - len(data) % files.itemsize])
    try:
        return _parse(body, whole=not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)), list(files)
    except BaseException:
        close_files(files)
        raise


def _parse(body: bytes, *, whole: bool) -> dict[str, Any]:
    if not body:
        raise EOFError
    try:
        message = json.loads(body) if whole else None
    except RecursionError:
        message = None
    if not isinstance(message, dict):
        raise ValueError(f"expected one JSON object of at most {MOST_BYTES} bytes")  # noqa: TRY004 - it came by wire
    return message


def close_files(files: Sequence[int]) -> None:
    """Close descriptors that came with a message."""
    for each in files:
        os.close(each)


def seal(content: Mapping[str, Any]) -> int:
    """A JSON object in a file without a name, at its start: what a passer-on of the descriptor has no need to read."""
    file = os.memfd_create("earthlab", os.MFD_CLOEXEC)
    try:
        with os.fdopen(file, "wb", closefd=False) as writer:
            writer.write(json.dumps(dict(content)).encode())
            writer.seek(0)
    except BaseException:
        os.close(file)
        raise
    return file


def unseal(file: int) -> dict[str, Any]:
    """What `seal` wrote; closes the descriptor."""
    with os.fdopen(file, "rb") as reader:
        reader.seek(0)
        content: dict[str, Any] = json.load(reader)
    return content
