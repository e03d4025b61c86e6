"""What the door and the inside of a pod say to each other, over one WebSocket a program, a port or a connection.

Bytes of a stream are a binary message, the number of the stream before them; all else is JSON in a text message.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from earthlab.errors import BadRequest
from earthlab.services.ssh.places import MARK, Size, Terminal, Wish

BASE = "earthlab-ssh"
HOLD, PROGRAM, PORT = f"{BASE}/hold", f"{BASE}/program", f"{BASE}/port"
"""Paths below a server's own: what a connection stands for as long as it is open, a program of it, and a port."""

STDIN, STDOUT, STDERR = 0, 1, 2
"""Streams; what goes both ways, as to a terminal or a port, goes by the first."""

_MARK = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Request:
    """The start of a program."""

    wish: Wish
    terminal: Terminal | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    """More of its environment; the connection's mark among it."""

    def render(self) -> str:
        """As JSON has it."""
        terminal = self.terminal and {
            "kind": self.terminal.kind,
            "modes": [*self.terminal.modes.items()],
            "size": self.terminal.size,
        }
        return json.dumps(
            {"kind": self.wish.kind, "command": self.wish.command, "terminal": terminal, "words": dict(self.words)}
        )


def parse_request(text: str) -> Request:
    """What `Request.render` gave.

    Raises
    ------
    BadRequest
        For anything else.
    """
    try:
        given = json.loads(text)
        said = given["terminal"]
        terminal = said and Terminal(
            str(said["kind"]), {int(k): int(v) for k, v in said["modes"]}, parse_size(said["size"])
        )
        words = {str(name): str(value) for name, value in given["words"].items()}
        request = Request(Wish(str(given["kind"]), str(given["command"])), terminal or None, words)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise BadRequest(f"a program's start: {type(exc).__name__}, expected what the ssh door sends.") from exc
    parse_mark(request.words.get(MARK, ""))
    return request


def parse_size(said: Any) -> Size:
    """A terminal's size.

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    columns, rows, width, height = map(int, said)
    return columns, rows, width, height


def parse_mark(text: str) -> str:
    """A connection's mark.

    Raises
    ------
    BadRequest
        For anything else.
    """
    if not _MARK.fullmatch(text):
        raise BadRequest("a connection's mark: expected 32 hexadecimal digits.")
    return text
