"""Bytes between a channel of ssh and a descriptor: in large blocks, and never more than the other side takes."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

BLOCK = 1 << 18
"""Bytes that are read at once."""

MUCH = 1 << 20
"""Bytes that wait for a program that does not read them, after which the client is made to wait."""

SMALL = 1 << 12
"""Bytes under which pieces that wait are put together: each costs some 200 by itself."""

_AT_ONCE = 64
"""Pieces that are written by one call."""


@dataclass(slots=True)
class Source:
    """What a descriptor gives, handed on until its end; it is closed then.

    Parameters
    ----------
    file : int
        Does not block.
    give : callable
        Takes what was read.
    end : callable
        Called once, after all of it.
    """

    file: int
    give: Callable[[bytes], None]
    end: Callable[[], None]
    count: int = 0
    _reading: bool = False

    def resume(self) -> None:
        """Read whenever there is something."""
        if self.file >= 0 and not self._reading:
            asyncio.get_running_loop().add_reader(self.file, self._read)
            self._reading = True

    def pause(self) -> None:
        """Leave it where it is for now."""
        if self._reading:
            asyncio.get_running_loop().remove_reader(self.file)
            self._reading = False

    def close(self) -> None:
        """Read no more."""
        self.pause()
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
            self.end()

    def _read(self) -> None:
        try:
            data = os.read(self.file, BLOCK)
        except BlockingIOError:
            return
        except OSError:
            # A terminal nobody has open any more, or a connection that broke.
            data = b""
        if data:
            self.count += len(data)
            self.give(data)
        else:
            self.close()


@dataclass(slots=True)
class Sink:
    """What goes to a descriptor, kept until there is one and it takes it.

    Parameters
    ----------
    hold, release : callable
        Called when too much waits, and when it is little again.
    """

    hold: Callable[[], None]
    release: Callable[[], None]
    file: int = -1
    count: int = 0
    _waiting: deque[memoryview] = field(default_factory=deque)
    _size: int = 0
    _held: bool = False
    _writing: bool = False
    ended: bool = False
    """Whether anything more may come."""
    _finish: Callable[[int], None] = os.close

    def open(self, file: int, finish: Callable[[int], None] = os.close) -> None:
        """Write to this descriptor, which does not block; ``finish`` is given it after the last byte."""
        self.file, self._finish = file, finish
        self._write()

    def put(self, data: bytes) -> None:
        """Write it, now or later."""
        if self.ended:
            return
        self.count += len(data)
        self._size += len(data)
        if self._waiting and len(self._waiting[-1]) + len(data) < SMALL:
            self._waiting[-1] = memoryview(bytes(self._waiting[-1]) + data)
        else:
            self._waiting.append(memoryview(data))
            if self.file >= 0 and not self._writing and len(self._waiting) == 1:
                # Not at once: what comes with it in one breath is written together.
                asyncio.get_running_loop().call_soon(self._write)
        if self._size > MUCH and not self._held:
            self._held = True
            self.hold()

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = True
        if self.file >= 0 and not self._writing:
            self._write()

    def close(self) -> None:
        """Forget what waits."""
        self.ended = True
        self._waiting.clear()
        self._size = 0
        self._stop()
        if self.file >= 0:
            file, self.file = self.file, -1
            self._finish(file)

    def _write(self) -> None:
        if self.file < 0:
            return
        try:
            while self._waiting:
                self._forget(os.writev(self.file, [*islice(self._waiting, _AT_ONCE)]))
        except BlockingIOError:
            self._start()
        except OSError:
            # The program has closed its input, which it may: what still comes is thrown away.
            self.close()
        else:
            self._stop()
            if self.ended and self.file >= 0:
                self.close()
        if self._held and self._size <= MUCH // 2:
            self._held = False
            self.release()

    def _forget(self, written: int) -> None:
        self._size -= written
        while self._waiting and written >= len(self._waiting[0]):
            written -= len(self._waiting.popleft())
        if written:
            self._waiting[0] = self._waiting[0][written:]

    def _start(self) -> None:
        if not self._writing:
            asyncio.get_running_loop().add_writer(self.file, self._write)
            self._writing = True

    def _stop(self) -> None:
        if self._writing:
            with suppress(ValueError):
                asyncio.get_running_loop().remove_writer(self.file)
            self._writing = False
