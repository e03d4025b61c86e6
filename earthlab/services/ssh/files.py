"""``python -m earthlab.services.ssh.files``: serves the user's files over sftp, on its own input and output.

It runs as the user, so that the machine itself decides what may be read and written. One request follows the other:
it waits for its pipes without a loop of events, and reads and writes in the large blocks that clients ask for.
"""

import asyncio
import os
import sys
from typing import Any, cast

from asyncssh import SFTPServer, SSHReader, SSHWriter
from asyncssh.logging import logger
from asyncssh.sftp import MIN_SFTP_VERSION, SFTPServerHandler

CLIENT = "EARTHLAB_SSH_CLIENT"
"""Variable with the version that the client says it is: OpenSSH's means a symbolic link the other way round."""

_BUFFER = 1 << 20


class _Input:
    """The requests, with that face of `asyncssh.SSHReader` which is asked for."""

    logger = logger

    def __init__(self) -> None:
        self._file = open(sys.stdin.fileno(), "rb", _BUFFER, closefd=False)  # noqa: SIM115 - for as long as we run

    def get_extra_info(self, name: str, default: Any) -> Any:
        return os.environ.get(CLIENT, default) if name == "client_version" else default

    async def readexactly(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise asyncio.IncompleteReadError(data, count)
        return data


class _Output:
    """The answers, with that face of `asyncssh.SSHWriter` and of its channel which is asked for."""

    logger = logger

    def __init__(self) -> None:
        self.channel = self
        self._closed = False

    def is_closing(self) -> bool:
        return self._closed

    def write(self, *pieces: bytes) -> None:
        waiting = [memoryview(piece) for piece in pieces if piece]
        while waiting:
            written = os.writev(sys.stdout.fileno(), waiting)
            while waiting and written >= len(waiting[0]):
                written -= len(waiting.pop(0))
            if written:
                waiting[0] = waiting[0][written:]

    def close(self) -> None:
        self._closed = True


class _Handler(SFTPServerHandler):
    """asyncssh's own, but that an answer is not copied together before it is written."""

    def __init__(self, output: Any) -> None:
        reader, writer = cast("SSHReader[bytes]", _Input()), cast("SSHWriter[bytes]", output)
        super().__init__(SFTPServer(output), reader, writer, MIN_SFTP_VERSION)
        self._output = output

    def send_packet(self, pkttype: int, pktid: int | None, *args: bytes) -> None:  # noqa: ARG002 - asyncssh's
        length = 1 + sum(map(len, args))
        self._output.write(length.to_bytes(4, "big") + bytes([pkttype]), *args)


def main() -> None:
    """Answer requests until there are no more."""
    asyncio.run(_Handler(_Output()).run())


if __name__ == "__main__":
    main()
