"""What passes over the loopback line of this machine, as root can hear it (packet(7))."""

import os
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

_ALL = 0x0003
_OUTGOING = 4
_TCP = 6


class Capture:
    """The bytes of TCP by the port to which they went; what is sent in several pieces stands together."""

    def __init__(self) -> None:
        self._said: dict[tuple[int, int], bytearray] = defaultdict(bytearray)

    def to(self, port: int) -> bytes:
        """All that was sent to a port."""
        return b"\n".join(bytes(said) for (_, target), said in self._said.items() if target == port)

    def take(self, packet: bytes) -> None:
        """Note one packet, an Ethernet frame with IPv4."""
        ip = packet[14:]
        if len(ip) < 40 or ip[0] >> 4 != 4 or ip[9] != _TCP:
            return
        tcp = ip[(ip[0] & 15) * 4 : struct.unpack("!H", ip[2:4])[0]]
        ports = struct.unpack("!HH", tcp[:4])
        self._said[ports] += tcp[(tcp[12] >> 4) * 4 :]


@contextmanager
def captured() -> Iterator[Capture]:
    """Listen for the time of the block."""
    capture, done = Capture(), threading.Event()
    line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
    line.bind(("lo", 0))
    line.settimeout(0.2)

    def listen() -> None:
        while not done.is_set():
            try:
                packet, about = line.recvfrom(1 << 17)
            except TimeoutError:
                continue
            # Each is heard twice, as it is sent and as it arrives.
            if about[2] != _OUTGOING:
                capture.take(packet)

    listener = threading.Thread(target=listen, name=f"capture-{os.getpid()}")
    listener.start()
    try:
        yield capture
    finally:
        done.set()
        listener.join()
        line.close()
