"""Forwarded connections: a channel of ssh and a connection to a port of the user's own, each handing on to the other.

Which ports are the user's own is for `earthlab.services.ssh.listeners` to say.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import asyncssh

from earthlab.services.ssh.flows import Sink, Source


class Tunnel(asyncssh.SSHTCPSession[bytes]):
    """A channel and a connection, each handing on to the other."""

    def __init__(
        self, line: socket.socket, port: int, touch: Callable[[], None], leave: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._line, self._port, self._touch, self._leave = line, port, touch, leave
        self._began = time.monotonic()

    def connection_made(self, chan: Any) -> None:
        """Take the channel."""
        self.chan: asyncssh.SSHTCPChannel[bytes] = chan
        self._sink = Sink(chan.pause_reading, chan.resume_reading)
        self._source = Source(os.dup(self._line.fileno()), self._give, self._note_end)

    def session_started(self) -> None:
        """Begin."""
        self._sink.open(os.dup(self._line.fileno()), self._finish)
        self._source.resume()

    def data_received(self, data: bytes, datatype: Any) -> None:  # noqa: ARG002 - asyncssh's
        """Hand on what the client sends."""
        self._touch()
        self._sink.put(data)

    def eof_received(self) -> bool:
        """The client sends no more, and goes on listening."""
        self._sink.end()
        if self._source.file < 0:
            self.chan.close()
        return True

    def pause_writing(self) -> None:
        """The client is slower."""
        self._source.pause()

    def resume_writing(self) -> None:
        """The client takes more."""
        self._source.resume()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's
        """End the connection too."""
        self._sink.close()
        self._source.close()
        self._line.close()
        seconds = round(time.monotonic() - self._began, 1)
        counts = {"bytes_in": self._sink.count, "bytes_out": self._source.count}
        self._leave({"kind": "forward", "port": self._port, "seconds": seconds, **counts})

    def _give(self, data: bytes) -> None:
        self._touch()
        if not self.chan.is_closing():
            self.chan.write(data)

    def _note_end(self) -> None:
        if not self.chan.is_closing():
            self.chan.write_eof()
            if self._sink.ended:
                self.chan.close()

    def _finish(self, file: int) -> None:
        os.close(file)
        try:
            self._line.shutdown(socket.SHUT_WR)
        except OSError:
            # The other side was quicker.
            return
