"""Jupyter messages in the WebSocket form that JupyterLab speaks, ``v1.kernel.websocket.jupyter.org``."""

import json
import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

PROTOCOL = "v1.kernel.websocket.jupyter.org"

_PICTURES = ("image/", "application/vnd.bokehjs_exec", "application/vnd.holoviews_exec", "application/vnd.plotly")
_DRAWN = ("<svg", "<img", "<iframe", "<canvas")
_ICONS = "xr-wrap"  # an xarray in HTML draws symbols, and no picture
_WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``parent`` is the id of the request that it answers, or empty."""

    channel: str
    msg_type: str
    msg_id: str
    content: Mapping[str, Any]
    parent: str = ""
    buffers: tuple[bytes, ...] = field(default=(), repr=False)


def request(channel: str, msg_type: str, content: Mapping[str, Any]) -> Message:
    """A new request to a kernel."""
    return Message(channel, msg_type, uuid.uuid4().hex, content)


def execute(code: str) -> Message:
    """The request to run one cell, as JupyterLab words it."""
    content = {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": True,
        "stop_on_error": True,
    }
    return request("shell", "execute_request", content)


def pack(message: Message, session: str) -> bytes:
    """A message as one binary frame: the number of offsets, the offsets (64 bits, little endian), then the parts."""
    header = {
        "msg_id": message.msg_id,
        "msg_type": message.msg_type,
        "session": session,
        "username": "",
        "date": datetime.now(UTC).isoformat(),
        "version": "5.2",
        "subshell_id": None,
    }
    parts = [message.channel.encode(), *(_json(part) for part in (header, {}, {}, message.content)), *message.buffers]
    return _join(parts)


def unpack(frame: bytes) -> Message:
    """The message in one binary frame."""
    parts = _split(frame)
    header, parent = json.loads(parts[1]), json.loads(parts[2])
    return Message(
        channel=parts[0].decode(),
        msg_type=header["msg_type"],
        msg_id=header["msg_id"],
        content=json.loads(parts[4]),
        parent=parent.get("msg_id", ""),
        buffers=tuple(parts[5:]),
    )


def is_picture(message: Message, widgets: Mapping[str, str]) -> bool:
    """Whether an output shows something drawn: an image, a figure in HTML, or a map.

    Parameters
    ----------
    widgets : mapping
        The name of each widget's model by its id: a bar of progress is a widget too, and no picture.
    """
    if message.msg_type not in {"display_data", "execute_result", "update_display_data"}:
        return False
    data = message.content.get("data", {})
    if any(kind.startswith(_PICTURES) for kind in data):
        return True
    model = widgets.get(data.get(_WIDGET, {}).get("model_id", ""), "")
    html = str(data.get("text/html", ""))
    drawn = _ICONS not in html and any(mark in html for mark in _DRAWN)
    return drawn or "Map" in model or "Figure" in model


def widget_model(message: Message) -> tuple[str, str] | None:
    """The id and the model's name of a widget that a message brings into being; ``None`` for any other message."""
    if message.msg_type != "comm_open" or message.content.get("target_name") != "jupyter.widget":
        return None
    state = message.content.get("data", {}).get("state", {})
    return str(message.content["comm_id"]), str(state.get("_model_name", ""))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _join(parts: Sequence[bytes]) -> bytes:
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts)


def _split(frame: bytes) -> list[bytes]:
    (many,) = struct.unpack_from("<Q", frame)
    offsets = struct.unpack_from(f"<{many}Q", frame, 8)
    return [frame[begin:end] for begin, end in pairwise(offsets)]
