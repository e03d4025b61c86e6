"""What a forked kernel does: run as any other, or be made ready beforehand and wait for whoever wants it."""

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import zmq

from earthlab.catalog.search import search
from earthlab.errors import EarthlabError
from earthlab.kernel import wire
from earthlab.kernel.app import LabKernelApp
from earthlab.kernel.fresh import files_seen, names_seen, settings_seen
from earthlab.kernel.life import hear, take_surroundings
from earthlab.kernel.process import set_name

_PORTS = ("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port")
_READ_ON_THE_WAY = ("HOME", "IPYTHON", "JUPYTER_CONFIG", "JUPYTER_NO_CONFIG", "JUPYTER_RUNTIME", "TZ", "XDG_")


def run_kernel(content: dict[str, Any]) -> None:
    """Be one kernel; ``arguments`` are those of the command line."""
    app = _make_ready(content["arguments"])
    app.start()  # type: ignore[no-untyped-call]


def run_parked_kernel(content: dict[str, Any]) -> None:
    """Be a kernel on sockets of our own in the folder ``place``, until the nursery says on ``line`` for whom."""
    nursery = socket.socket(fileno=content["line"])
    place = Path(content["place"], f"parked-{os.getpid()}")
    file = place.with_suffix(".json")
    file.touch(mode=0o600)
    file.write_text(json.dumps(_own_connection(place)))
    outside, before = dict(os.environ), _seen_outside()
    app = _make_ready(["-f", str(file)])
    added = {name: value for name, value in os.environ.items() if outside.get(name) != value}
    before |= _seen_by(app)
    loop = asyncio.get_event_loop()

    def on_word() -> None:
        loop.remove_reader(nursery)
        taken = False
        try:
            with nursery:
                taken = _is_taken(app, nursery, before, added)
        finally:
            if not taken:
                loop.stop()

    file.unlink()
    # It waits in its own loop: whoever takes it finds it running.
    loop.add_reader(nursery, on_word)
    threading.Thread(target=_try_out, args=(app, nursery), name="earthlab-trial", daemon=True).start()
    app.start()  # type: ignore[no-untyped-call]


def _try_out(app: LabKernelApp, nursery: socket.socket) -> None:
    """Have the kernel run a cell without words, search the catalogue and show what it found; then say that it is ready.

    So its user's first cells find the way gone before.
    """
    assert app.shell is not None
    assert app.shell.display_formatter is not None
    line: zmq.Socket[bytes]
    with zmq.Context.instance().socket(zmq.DEALER) as line:
        line.connect(f"ipc://{app.ip}-{app.shell_port}")
        cell = {"code": "None", "silent": True, "store_history": False, "user_expressions": {}, "allow_stdin": False}
        app.session.send(line, "execute_request", cell)
        line.recv_multipart()
    # Where the catalogue does not answer now, the user's own question will say why.
    with suppress(EarthlabError):
        app.shell.display_formatter.format(search(limit=1))
    wire.send(nursery, {"ready": True})


def _is_taken(
    app: LabKernelApp, nursery: socket.socket, before: Mapping[str, Hashable], added: Mapping[str, str]
) -> bool:
    """Become the kernel that the nursery asks for; False where it is gone, or asks for one that this cannot be."""
    if (files := hear(nursery)) is None:
        return False
    content = wire.unseal(files[0])
    take_surroundings(content)
    now = _seen_outside() | _seen_by(app)
    if changed := sorted(name for name in now if now[name] != before[name]):
        wire.send(nursery, {"unfit": f"other settings now ({', '.join(changed)})"})
        return False
    wanted = json.loads(Path(content["connection_file"]).read_text())
    wire.send(nursery, {"fit": True})
    # Only who is known to the server may stand where it connects to: as for any copy, see `Birth.line`.
    if hear(nursery) is None:
        return False
    os.environ.update(added)
    set_name("el-kernel")
    _take_place(app, content, wanted)
    return True


def _make_ready(arguments: list[str]) -> LabKernelApp:
    sys.argv = [str(Path(__file__).with_name("__main__.py")), *arguments]
    # Whoever asked for us ends us: ipykernel need not watch our parent's pid.
    app = LabKernelApp.instance(parent_handle=1)
    app.initialize(arguments)
    return app


def _own_connection(place: Path) -> dict[str, Any]:
    ports = {name: number for number, name in enumerate(_PORTS, start=1)}
    return {
        "transport": "ipc",
        "ip": f"{place}-ipc",
        "key": os.urandom(16).hex(),
        "signature_scheme": "hmac-sha256",
        **ports,
    }


def _seen_outside() -> dict[str, Hashable]:
    """What a kernel that is made ready follows from: its user's settings, and what IPython finds in the environment."""
    return {**settings_seen(), "environment": names_seen(*_READ_ON_THE_WAY)}


def _seen_by(app: LabKernelApp) -> dict[str, Hashable]:
    """And its user's IPython profile."""
    assert app.profile_dir is not None
    folders = [*app.config_file_paths, app.profile_dir.startup_dir]
    return {"profile": files_seen(folders, (".py", ".ipy", ".json"))}


def _take_place(app: LabKernelApp, content: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Become the kernel that a connection file describes: its key, and its sockets under the names it has for them."""
    app.session.key = wanted["key"].encode()
    for port in _PORTS:
        Path(f"{app.ip}-{getattr(app, port)}").rename(f"{wanted['ip']}-{wanted[port]}")
        setattr(app, port, wanted[port])
    app.ip = str(wanted["ip"])
    app.connection_file = content["connection_file"]
    sys.argv[1:] = content["arguments"]
    if session := os.environ.get("JPY_SESSION_NAME"):
        assert app.shell is not None
        app.shell.user_ns["__session__"] = session
