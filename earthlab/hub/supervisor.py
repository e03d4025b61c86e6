"""``earthlab lab``: starts the hub, tells people how to come in, stays, and in the end leaves no process behind."""

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from earthlab.errors import SetupError
from earthlab.hub.configure import tethered
from earthlab.hub.doctor import refuse_unfit_machine
from earthlab.hub.ending import END_BY_HAND, end_all, end_hub
from earthlab.hub.head import HEAD
from earthlab.hub.layout import MARKER, Layout, interpreter, local_url, public_url, resolve_layout, shipped
from earthlab.hub.links import LinkStore, entry_url
from earthlab.hub.prepare import prepare_lab
from earthlab.hub.processes import adopt_orphans
from earthlab.hub.standing import Standing, make_proxy_token, plan_standing, start_part
from earthlab.settings import Settings

_READY_WITHIN = 180.0
_END_WITHIN = 25.0
_MOST_ENDS = 3
_MOST_ENDS_WITHIN = 600.0
"""A hub that ends by itself more often than so many times within so many seconds is not started again."""

_STOPPERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


# The operator's proxy leads to the world, not to this machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Stopped(BaseException):
    """Somebody asked the lab to end: Ctrl-C, SIGTERM, or a terminal that closed."""


def run_lab(settings: Settings) -> None:
    """Run the lab until somebody ends it. Returns after an orderly end, with no process of the lab left.

    Raises
    ------
    SetupError
        Where the machine is not fit, or the hub does not start or ends by itself.
    """
    layout = resolve_layout(settings)
    adopt_orphans()
    with _stoppers() as stop, suppress(Stopped):
        _get_ready(settings, layout)
        hub = _Hub(settings, layout, stop)
        try:
            hub.start()
            hub.wait_until_ready()
            _say_how_to_come_in(settings, layout)
            hub.watch_for_good()
        finally:
            hub.end()
    _say("Le labo est fermé. · The lab is closed.")


@dataclass(slots=True)
class _Stop:
    """Turns the signals that end a lab into ``Stopped``, at once or at the next wait; ``woken`` wakes a wait."""

    woken: int
    deaf: bool = False

    def on_signal(self, _sent: int, _frame: object) -> None:
        if not self.deaf:
            self.deaf = True
            raise Stopped


@contextmanager
def _stoppers() -> Iterator[_Stop]:
    woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    stop = _Stop(woken)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    # Without a handler the wake-up pipe would not learn that a child ended.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for sent in _STOPPERS:
        # `nohup make lab` means it: that signal stays ignored.
        if sent != signal.SIGHUP or signal.getsignal(sent) != signal.SIG_IGN:
            signal.signal(sent, stop.on_signal)
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(-1)
        for sent in (*_STOPPERS, signal.SIGCHLD):
            signal.signal(sent, signal.SIG_DFL)
        os.close(woken)
        os.close(wake)


def _get_ready(settings: Settings, layout: Layout) -> None:
    _say(f"EarthLab · état · state: {layout.state}")
    # Leftovers first: they may hold the very ports that the checks want free. The hub takes the lock again for itself.
    os.close(prepare_lab(layout))
    for warning in refuse_unfit_machine(settings):
        _say(f"  attention · warning: {warning.text}")
    _raise_open_files()
    if not (layout.catalogue / "COMPLETE").is_file():
        _say("  catalogue embarqué : construction (une seule fois) · building the embedded catalogue (only once)")
    # In a process of its own: it takes the libraries' memory along when it ends. It does nothing where all is built.
    _run_to_end([str(interpreter()), "-P", "-m", "earthlab.cli", "catalogue", "build"], settings, layout)


def _run_to_end(command: list[str], settings: Settings, layout: Layout) -> None:
    done = subprocess.run([*tethered(), *command], env=_environment(settings, layout), check=False)
    if done.returncode:
        raise SetupError("the embedded catalogue could not be built (see above). Mend it and run `make lab` again.")


def _raise_open_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536, hard))


@dataclass(slots=True)
class _Hub:
    """The running hub, as its supervisor sees it."""

    settings: Settings
    layout: Layout
    stop: _Stop
    process: subprocess.Popen[bytes] | None = None
    standing: tuple[Standing, ...] = ()
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.environment = _environment(self.settings, self.layout) | make_proxy_token()
        self.standing = plan_standing(self.settings, self.layout, self.environment)

    def start(self) -> None:
        for each in self.standing:
            each.keep()
        command = [str(interpreter()), "-P", "-m", "jupyterhub", "-f", str(shipped("jupyterhub_config.py"))]
        _put_log_aside(self.layout)
        self.process = start_part(command, self.environment, self.layout.log)

    def wait_until_ready(self) -> None:
        _say("  le hub et ses services démarrent… · the hub and its services are starting…")
        base = local_url(self.settings.lab)
        # The hub starts its services one after the other, the workshops' last.
        for part in ("/hub/health", "/services/stac/", "/services/dask-gateway/api/health", "/services/workshops/"):
            while not _answers(base + part):
                if time.monotonic() - self.began > _READY_WITHIN:
                    raise SetupError(
                        f"{part} did not answer within {_READY_WITHIN:.0f} s. What happened is in {self.layout.log}."
                    )
                self._wait(0.1)
        _say(f"  prêt en {time.monotonic() - self.began:.1f} s · ready")

    def watch_for_good(self) -> None:
        """Watch, and start the hub again whenever it ends; servers and kernels go on meanwhile, clusters do not.

        Raises
        ------
        SetupError
            Where it has ended, or did not come back, more often than an accident explains.
        """
        ends: list[float] = []
        in_vain = 0
        while True:
            try:
                if ends:
                    in_vain += 1
                    self._start_again()
                    in_vain = 0
                self._watch()
            except SetupError as exc:
                now = time.monotonic()
                ends = [*(each for each in ends if each > now - _MOST_ENDS_WITHIN), now]
                # Starts that hang may take so long that the first of their ends no longer counts.
                if len(ends) > _MOST_ENDS or in_vain >= _MOST_ENDS:
                    raise
                _say(f"  {exc}")

    def _watch(self) -> None:
        while True:
            self._wait(60)

    def _start_again(self) -> None:
        _say("  le hub redémarre ; serveurs et noyaux continuent · the hub is started again; servers and kernels go on")
        # One that runs and does not answer: asked to end, it would take people's servers along.
        if self.process and self._reap() is None:
            self.process.kill()
            self.process.wait()
        spare = [each.process.pid for each in self.standing if each.process]
        # The next hub must not meet anything of this one: ports, proxies, services.
        _refuse_left(end_hub(self.layout, below=os.getpid(), spare=spare))
        self.began = time.monotonic()
        self.start()
        self.wait_until_ready()

    def end(self) -> None:
        """Ask the hub to end in order, then end whatever is left. A second Ctrl-C cuts the asking short."""
        _say("\nFermeture du labo… · Closing the lab…")
        self.stop.deaf = False
        with suppress(Stopped):
            until = time.monotonic() + _END_WITHIN
            if self.process and self._reap() is None:
                self.process.send_signal(signal.SIGTERM)
            while self.process and self._reap() is None and time.monotonic() < until:
                time.sleep(0.05)
        self.stop.deaf = True
        for each in self.standing:
            each.end()
        self._end_all(patience=3.0)

    def _end_all(self, patience: float) -> None:
        _refuse_left(end_all(self.layout, below=os.getpid(), patience=patience, grace=4.0))

    def _wait(self, seconds: float) -> None:
        # What does not stand is started again, if need be a moment later.
        stand = [each.keep() for each in self.standing]
        select.select([self.stop.woken], [], [], seconds if all(stand) else min(seconds, 1.0))
        with suppress(BlockingIOError):
            os.read(self.stop.woken, 4096)
        if self.process and self._reap() is not None:
            raise SetupError(
                f"the hub ended by itself ({_how_it_ended(self.process.returncode)}{_last_words(self.layout)}). "
                f"What happened is in {self.layout.log}."
            )

    def _reap(self) -> int | None:
        """Take note of every child that ended, adopted ones included; the hub's exit code once it has one."""
        ours = {child.pid: child for child in (self.process, *(each.process for each in self.standing)) if child}
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid in ours:
                    ours[pid].returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode if self.process else None


def _refuse_left(left: list[str]) -> None:
    if left:
        raise SetupError(f"these parts of the lab would not end: {', '.join(left)}. {END_BY_HAND}")


def _put_log_aside(layout: Layout) -> None:
    if layout.log.exists():
        layout.log.replace(layout.log.with_suffix(".log.before"))


def _environment(settings: Settings, layout: Layout) -> dict[str, str]:
    return {
        **os.environ,
        MARKER: layout.lab_id,
        HEAD: str(os.getpid()),
        "EARTHLAB__LAB__STATE": str(layout.state),
        "EARTHLAB__LAB__PORT": str(settings.lab.port),
        "EARTHLAB__LAB__ADDRESS": settings.lab.address,
        "EARTHLAB__LAB__FIRST_USER": settings.lab.first_user,
        "EARTHLAB__LAB__ACCOUNTS": settings.lab.accounts,
        "PYTHONUNBUFFERED": "1",
    }


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=5) as answer:
            return bool(answer.status < 500)
    except urllib.error.HTTPError as exc:
        # A service that wants a sign-in is there; the proxy's own 404 and 503 say that nothing is there yet.
        return exc.code in {401, 403}
    except OSError:
        return False


def _how_it_ended(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _last_words(layout: Layout) -> str:
    with suppress(OSError):
        lines = layout.log.read_text(errors="replace").splitlines()[-200:]
        telling = [line for line in lines if line.startswith(("[C ", "[E ", "earthlab: ")) or "Error: " in line]
        return f": {telling[-1].strip()[:300]}" if telling else ""
    return ""


def _say_how_to_come_in(settings: Settings, layout: Layout) -> None:
    code = LinkStore(layout.links).create(settings.lab.first_user)
    link = entry_url(public_url(settings.lab, socket.gethostname()), code)
    _say(
        "\nOuvrez ce lien, il ne sert qu’une fois · Open this link, it works once:\n"
        f"\n    {link}\n\n"
        "Un autre lien, pour vous ou quelqu’un d’autre · another link: .venv/bin/earthlab link NOM\n"
        "Ctrl-C ferme le labo · ends the lab."
    )


def _say(text: str) -> None:
    # Where the terminal has been closed there is nobody left to tell, and much left to end.
    with suppress(OSError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
