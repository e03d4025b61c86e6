"""The ssh door as the hub starts it, in front of a stand-in for the hub; and Debian's own client before it."""

import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from earthlab.hub.accounts import Account, account_name, resolve_account
from earthlab.hub.cgroups import Limits, close_group, open_group, open_lab_group, sweep
from earthlab.hub.head import HEAD
from earthlab.hub.hostkeys import Address, read_host_key
from earthlab.hub.inside import Inside, forget_inside, note_inside
from earthlab.hub.keys import KeyStore, parse_public_key
from earthlab.hub.layout import MARKER, Layout, resolve_accounts, resolve_layout
from earthlab.hub.prepare import make_folders
from earthlab.hub.private import open_private, plan_private, sweep_private
from earthlab.hub.processes import find_lab_processes
from earthlab.hub.spawners import make_runtime_folder
from earthlab.kernel.groups import Group
from earthlab.kernel.identity import Identity
from earthlab.settings import Settings, load_settings
from earthlab.testing.accounts import remove_accounts
from earthlab.testing.hub_api import HubApi, Token, serve_hub_api
from earthlab.testing.ports import free_row
from tests.patience import PATIENCE

MAY = "access:services!service=ssh"
OWN = ("read:users", "read:servers", "start:servers", "users:activity")
LONG_AGO = "2020-01-01T00:00:00.000000Z"
MEMORY = 2 << 30


def read_fingerprint(key: Path) -> str:
    return parse_public_key(key.with_suffix(".pub").read_text()).fingerprint


@dataclass
class RunningDoor:
    folder: Path
    hub: HubApi
    port: int
    words: dict[str, str] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)
    """More of the environment of users' servers."""

    @property
    def settings(self) -> Settings:
        given = {"lab.state": self.folder / "lab", "ssh.port": self.port}
        return load_settings(given, environ={f"EARTHLAB__{k}": v for k, v in self.words.items()}, files=())

    @property
    def layout(self) -> Layout:
        return resolve_layout(self.settings)

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("EARTHLAB", "JUPYTERHUB"))}
        ours = {"LAB__STATE": str(self.layout.state), "SSH__PORT": str(self.port), **self.words}
        return (
            kept
            | {f"EARTHLAB__{name}": value for name, value in ours.items()}
            | {
                MARKER: self.layout.lab_id,
                HEAD: str(os.getpid()),
                "JUPYTERHUB_API_URL": self.hub.url,
                "JUPYTERHUB_API_TOKEN": "own",
                "JUPYTERHUB_SERVICE_NAME": "ssh",
                "HUSH": "a secret of the service's own",
            }
        )

    def start(self) -> "RunningDoor":
        make_folders(self.layout)
        with (self.folder / "door.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "earthlab.services.ssh"],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + PATIENCE
        while not self._listens():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.05)
        self.known = self.folder / "known_hosts"
        self.known.write_text(Address("127.0.0.1", self.port, read_host_key(self.layout)).known_hosts + "\n")
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def log(self) -> str:
        return (self.folder / "door.log").read_text()

    @property
    def book(self) -> list[dict]:
        lines = "".join(file.read_text() for file in sorted(self.layout.ssh.glob("ssh-*.jsonl")))
        return [json.loads(line) for line in lines.splitlines()]

    def wait_for_line(self, seconds: float = PATIENCE, holds=lambda _: True, **words) -> dict:
        until = time.monotonic() + seconds
        while True:
            found = [line for line in self.book if words.items() <= line.items() and holds(line)]
            if found:
                return found[-1]
            assert time.monotonic() < until, self.book[-5:]
            time.sleep(0.05)

    def add_user(self, name: str) -> Path:
        """Make a user known to the hub, with a token of the name and a key; the private key's file."""
        self.hub.created[name] = LONG_AGO
        self.hub.tokens[f"token-of-{name}"] = Token(name, scopes=(MAY,))
        file = self.folder / f"id_{name}"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
        KeyStore(self.layout.keys).add(name, file.with_suffix(".pub").read_text())
        return file

    def launch(self, name: str) -> bool:
        """What the hub does when it starts a server, as far as the door sees it."""
        mode = resolve_accounts(self.settings)
        account = resolve_account(name, self.layout, mode)
        places = plan_private(self.settings, self.layout, {})
        make_runtime_folder(self.runtime(name), account)
        own = open_private(self.layout, account_name(name, self.layout.lab_id), account, places)
        group = self._open_group(name)
        identity = Identity(
            account.uid, account.gid,
            tuple(os.getgrouplist(account.name, account.gid)) if os.getuid() == 0 else tuple(os.getgroups()),
            bounds={"core": 0, "data": MEMORY}, cgroups=group.places if group else (), umask=0o022, private=own,
        )  # fmt: skip
        note_inside(self.layout, name, Inside(identity, self.server_environment(name, account), str(account.home)))
        return True

    def server_environment(self, name: str, account: Account) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.prefix).resolve()}/bin:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(account.home),
            "USER": account.name,
            "SHELL": "/bin/bash",
            MARKER: self.layout.lab_id,
            HEAD: str(os.getpid()),
            "JUPYTERHUB_API_TOKEN": f"server-token-of-{name}",
            "JUPYTERHUB_USER": name,
            "JUPYTER_RUNTIME_DIR": str(self.runtime(name)),
            **self.extra,
        }

    def _open_group(self, name: str) -> Group | None:
        try:
            group = open_group(open_lab_group(self.layout), account_name(name, self.layout.lab_id), Limits(MEMORY))
        except OSError:
            return None
        self.groups[name] = group
        return group

    def stop_server(self, name: str) -> None:
        self.hub.active.discard(name)
        forget_inside(self.layout, name)
        if name in self.groups:
            assert close_group(self.groups.pop(name), patience=0.1)

    def options(self, key: Path | None, *more: str) -> list[str]:
        # The first word of an option is the one that counts: what a test asks for comes before these.
        settings = {
            "UserKnownHostsFile": self.known,
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "IdentityFile": key or "none",
            "NumberOfPasswordPrompts": 1,
            "LogLevel": "ERROR",
        }
        if key:
            settings["PreferredAuthentications"] = "publickey"
        return ["-F", "none", *more, *(f"-o{name}={value}" for name, value in settings.items())]

    def ssh(self, name: str, command: str, *more: str, key: Path | None = None, token: str = "", **words):
        """Debian's client, run to its end."""
        own = key or (None if token else self.folder / f"id_{name}")
        line = ["ssh", *self.options(own, *more), f"-p{self.port}", f"{name}@127.0.0.1", command]
        words = {"capture_output": True, "timeout": 60, **words}
        if "input" not in words and "stdin" not in words:
            words["stdin"] = subprocess.DEVNULL
        return subprocess.run(line, check=False, env=self._client_environment(token), **words)

    def _client_environment(self, token: str) -> dict[str, str]:
        ask = self.folder / "askpass"
        ask.write_text('#!/bin/sh\necho "$TOKEN"\n')
        ask.chmod(0o755)
        return {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "TOKEN": token}

    def begin(self, name: str, *command: str, **words) -> subprocess.Popen:
        """Debian's client with a command, before which options may stand."""
        own = [word for word in command if word.startswith("-")]
        rest = [word for word in command if not word.startswith("-")]
        options = self.options(self.folder / f"id_{name}", *own)
        line = ["ssh", *options, f"-p{self.port}", f"{name}@127.0.0.1", *rest]
        return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **words)

    def transfer(self, program: str, name: str, *more: str, **words):
        line = [program, *self.options(self.folder / f"id_{name}"), f"-P{self.port}", *more]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, **words)

    def home(self, name: str) -> Path:
        return self.layout.homes / account_name(name, self.layout.lab_id)

    def runtime(self, name: str) -> Path:
        return self.layout.run / account_name(name, self.layout.lab_id)[-6:]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        for name in [*self.groups]:
            self.stop_server(name)
        left = find_lab_processes(self.layout)
        sweep_private(self.layout)
        assert sweep(self.layout) == []
        assert not [one for one in left if one.pid != os.getpid()], left
        remove_accounts(self.layout)


@contextmanager
def running_door(**words):
    """A door that listens; nothing is left of it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="earthlab-ssh-", dir="/var/tmp"))
    folder.chmod(0o755)
    with serve_hub_api() as hub:
        hub.tokens["own"] = Token("ssh", "service", OWN)
        door = RunningDoor(folder, hub, free_row(1), words)
        hub.start = door.launch
        try:
            yield door.start()
        finally:
            door.close()
            shutil.rmtree(door.layout.run, ignore_errors=True)
            shutil.rmtree(folder)


class Screen:
    """A terminal in which Debian's client runs."""

    def __init__(self, door, name, *command):
        self.ours, theirs = pty.openpty()
        options = door.options(door.folder / f"id_{name}", "-tt", f"-p{door.port}")
        line = ["ssh", *options, f"{name}@127.0.0.1", *command]
        self.client = subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        self.seen = b""

    def type(self, text):
        os.write(self.ours, text.encode())

    def wait_for(self, text, seconds=PATIENCE):
        until = time.monotonic() + seconds
        while text.encode() not in self.seen:
            assert time.monotonic() < until, self.seen[-2000:]
            self.read(0.1)

    def read(self, seconds):
        if select.select([self.ours], [], [], seconds)[0]:
            # The client may just have left.
            with suppress(OSError):
                self.seen += os.read(self.ours, 65536)

    def close(self):
        self.client.kill()
        self.client.wait()
        os.close(self.ours)
