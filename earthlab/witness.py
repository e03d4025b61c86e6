"""What the library does with data, told to whoever listens in this process: a workshop's warm-up lists it so.

Nobody listens as a rule, and then nothing is told. A listener must be quick: it is called where the thing happens, in
whichever thread that is.
"""

from collections.abc import Callable
from typing import Any, Literal

Act = Literal["planned", "shared", "read", "tabled", "asked", "clustered"]
"""A cube is planned to be opened; its values come from a shared cube; a block is read; a table is read; a catalogue's
host is asked; there is a cluster from now on."""

Listener = Callable[[Act, dict[str, Any]], None]

_listeners: list[Listener] = []


def tell(act: Act, **what: Any) -> None:
    """Tell all who listen."""
    for listener in tuple(_listeners):
        listener(act, what)


def listen(listener: Listener) -> None:
    """Have a listener told of everything from now on."""
    _listeners.append(listener)


def ignore(listener: Listener) -> None:
    """Tell it no more."""
    _listeners.remove(listener)
