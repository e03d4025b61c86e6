"""``python -m earthlab.services.ssh.consoles``: a console on a live kernel of the user's, behind ``ssh lab kernel``.

It runs as the user, asks the user's own server by that server's own token, and ends no kernel when it is left.
"""

import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthlab.errors import BadRequest, EarthlabError, NothingFound, SetupError

if TYPE_CHECKING:
    from jupyter_client.blocking.client import BlockingKernelClient

_USAGE = """\
ssh -t earthlab kernel           console sur votre noyau · a console on your kernel
ssh -t earthlab kernel NOM       sur celui d’un carnet ou d’un numéro · of a notebook or a number of the list
ssh -t earthlab kernel new       sur un nouveau noyau · on a new kernel
ssh earthlab kernel list         la liste · the list
ssh earthlab kernel NOM < x.py   exécuter x.py dans ce noyau · run x.py in that kernel
Ctrl-C interrompt la cellule, Ctrl-D quitte et laisse le noyau en vie.
Ctrl-C interrupts the cell, Ctrl-D leaves and keeps the kernel alive."""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_WITHIN = 60.0
_AT_ONCE = 1.0
"""Seconds in which a kernel with nothing to do answers."""
_INTERRUPTED = 130
"""The exit code of shells for what was ended by Ctrl-C."""
_BUSY = "Le noyau est occupé : on attend son tour. · The kernel is busy: waiting for our turn."


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that runs; ``notebook`` is its place in the home, or empty."""

    id: str
    notebook: str
    state: str

    @property
    def title(self) -> str:
        """What the user knows it by."""
        return self.notebook or f"({self.id[:8]})"


@dataclass(frozen=True, slots=True)
class Server:
    """The user's own Jupyter server."""

    url: str
    token: str

    def kernels(self) -> list[Kernel]:
        """All that run, those of notebooks first."""
        paths = {one["kernel"]["id"]: one["path"] for one in self.ask("GET", "api/sessions") if one.get("kernel")}
        found = [
            Kernel(one["id"], paths.get(one["id"], ""), one["execution_state"])
            for one in self.ask("GET", "api/kernels")
        ]
        return sorted(found, key=lambda one: (not one.notebook, one.notebook, one.id))

    def start(self) -> Kernel:
        """A new one."""
        made = self.ask("POST", "api/kernels", {})
        return Kernel(made["id"], "", made["execution_state"])

    def interrupt(self, kernel: Kernel) -> None:
        """End the cell that runs, not the kernel."""
        self.ask("POST", f"api/kernels/{kernel.id}/interrupt", {})

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the server answers.

        Raises
        ------
        SetupError
            Where it does not.
        """
        content = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url.rstrip('/')}/{path}", content, headers, method=method)  # noqa: S310
        try:
            with _DIRECT.open(request, timeout=_WITHIN) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as exc:
            raise SetupError(f"Votre serveur refuse · your server refuses: {exc.code} {exc.reason}") from exc
        except OSError as exc:
            raise SetupError("Votre serveur ne répond pas. · Your server does not answer.") from exc


def resolve_kernel(kernels: Sequence[Kernel], name: str) -> Kernel:
    """The kernel that is meant by a notebook's place or name, a number of the list, or the beginning of its id.

    Raises
    ------
    NothingFound
        Where none is.
    BadRequest
        Where several are.
    """
    if name.isdecimal() and 1 <= int(name) <= len(kernels):
        return kernels[int(name) - 1]
    ways: tuple[Callable[[Kernel], bool], ...] = (
        lambda one: one.notebook == name,
        lambda one: Path(one.notebook).name == name or Path(one.notebook).stem == name,
        lambda one: len(name) >= 4 and one.id.startswith(name),
    )
    for fits in ways:
        found = [one for one in kernels if fits(one)]
        if len(found) == 1:
            return found[0]
        if found:
            raise BadRequest(f"« {name} » : {len(found)} noyaux, dites-en plus. · {len(found)} kernels, say more.")
    raise NothingFound(f"« {name} » : aucun noyau. · no kernel.\n{render_kernels(kernels)}")


def render_kernels(kernels: Iterable[Kernel]) -> str:
    """The list, a line each."""
    lines = [f"{number:3}  {one.title}  {one.state}" for number, one in enumerate(kernels, 1)]
    return "\n".join(lines) or "Aucun noyau ne tourne. · No kernel is running."


def main(arguments: Sequence[str]) -> int:
    """Do what ``kernel`` was asked to do; the exit code."""
    terminal = sys.stdin.isatty()
    try:
        server = Server(os.environ["JUPYTERHUB_SERVICE_URL"], os.environ["JUPYTERHUB_API_TOKEN"])
        kernels = server.kernels()
        if list(arguments) == ["list"]:
            _say(render_kernels(kernels))
            return 0
        if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"], ["help"]) or not (arguments or terminal):
            _say(f"{render_kernels(kernels)}\n\n{_USAGE}")
            return 2
        if list(arguments) == ["new"]:
            kernel = server.start()
        elif arguments:
            kernel = resolve_kernel(kernels, arguments[0])
        else:
            kernel = _choose(server, kernels)
        return _open_console(server, kernel) if terminal else _run_input(kernel)
    except EarthlabError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _choose(server: Server, kernels: Sequence[Kernel]) -> Kernel:
    if len(kernels) == 1:
        return kernels[0]
    if not kernels:
        _say("Aucun noyau ne tourne, en voici un nouveau. · No kernel is running, here is a new one.")
        return server.start()
    _say(render_kernels(kernels))
    try:
        answer = input("Lequel · which? (1) ").strip()
    except (EOFError, KeyboardInterrupt) as exc:
        raise BadRequest("") from exc
    return resolve_kernel(kernels, answer or "1")


def _connection_file(kernel: Kernel) -> str:
    return str(Path(os.environ["JUPYTER_RUNTIME_DIR"]) / f"kernel-{kernel.id}.json")


def _open_console(server: Server, kernel: Kernel) -> int:
    # Only now: it takes a second.
    from jupyter_console.app import ZMQTerminalIPythonApp  # type: ignore[import-untyped]

    class Console(ZMQTerminalIPythonApp):  # type: ignore[misc]  # Jupyter's console has no types
        """Jupyter's own, which can interrupt a kernel that it did not start."""

        def handle_sigint(self, *_: object) -> None:
            """Interrupt the cell that runs, or leave the line that is typed."""
            if self.shell._executing:  # noqa: SLF001 - as its own does
                server.interrupt(kernel)
            else:
                raise KeyboardInterrupt

    _wait_for_turn(kernel)
    _say(f"{kernel.title}: Ctrl-D quitte, le noyau reste. · Ctrl-D leaves, the kernel stays.")
    Console.launch_instance(
        [f"--existing={_connection_file(kernel)}", "--no-confirm-exit", "--ZMQTerminalInteractiveShell.banner="]
    )
    return 0


def _run_input(kernel: Kernel) -> int:
    # Who stops listening does not stop the cell: that is what a terminal is for.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    with _connected(kernel) as client:
        reply = client.execute_interactive(sys.stdin.read(), allow_stdin=False)
    return 0 if reply["content"]["status"] == "ok" else 1


def _wait_for_turn(kernel: Kernel) -> None:
    # The console itself would give up on a kernel that is at work.
    with _connected(kernel):
        return


def _wait_without_end(client: "BlockingKernelClient") -> None:
    try:
        client.wait_for_ready(timeout=None)
    except RuntimeError as exc:
        raise NothingFound("Le noyau s’est arrêté. · The kernel has ended.") from exc


@contextmanager
def _connected(kernel: Kernel) -> Iterator["BlockingKernelClient"]:
    """A client of a kernel, once that has nothing to do."""
    from jupyter_client.blocking.client import BlockingKernelClient

    client = BlockingKernelClient(connection_file=_connection_file(kernel))
    client.load_connection_file()
    client.start_channels()
    try:
        try:
            client.wait_for_ready(timeout=_AT_ONCE)
        except RuntimeError:
            sys.stderr.write(f"{_BUSY}\n")
            _wait_without_end(client)
        yield client
    finally:
        client.stop_channels()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
