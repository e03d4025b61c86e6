"""From the page of keys to a shell, on the lab's own hub; and the end of it all with the server, and with the hub."""

import os
import pwd
import re
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from earthlab.hub.accounts import account_name
from earthlab.hub.keys import KeyStore, parse_public_key
from earthlab.hub.links import entry_url
from earthlab.hub.passes import PassStore, seat_user
from earthlab.hub.processes import find_lab_processes
from earthlab.testing.ports import free_row
from tests.hub.participants import NEVER, form_of
from tests.hub.small_hub import SmallHub, small_hub
from tests.patience import PATIENCE

_WORKSHOP = "essai"


@dataclass
class Person:
    """Somebody with a browser and a terminal."""

    hub: SmallHub
    port: int
    key: Path
    client: httpx.Client
    name: str = "ana"

    def open_page(self) -> str:
        """The page of keys, once the door is open."""
        page = self.client.get(f"{self.hub.link_for('ana')}&next=%2Fhub%2Fcles")
        until = time.monotonic() + PATIENCE
        while 'id="known-hosts"' not in page.text:
            assert time.monotonic() < until, page.text
            time.sleep(0.2)
            page = self.client.get("/hub/cles")
        return page.text

    @property
    def xsrf(self) -> str:
        return next(c.value for c in self.client.cookies.jar if c.name == "_xsrf" and c.path == "/hub/")

    def post(self, **fields: str) -> httpx.Response:
        return self.client.post("/hub/cles", data={"_xsrf": self.xsrf, **fields})

    def call(self, method: str, path: str) -> httpx.Response:
        return self.client.request(method, f"/hub/api/{path}", headers={"X-XSRFToken": self.xsrf})

    def line(self, *more: str) -> list[str]:
        known = f"-oUserKnownHostsFile={self.hub.folder / 'known_hosts'}"
        options = [known, "-oIdentitiesOnly=yes", f"-oIdentityFile={self.key}"]
        return ["ssh", "-F", "none", *options, f"-p{self.port}", f"{self.name}@127.0.0.1", *more]

    def run(self, command: str, **words):
        return subprocess.run(
            self.line(command),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
            **words,
        )

    def begin(self) -> subprocess.Popen:
        client = subprocess.Popen(
            self.line("echo up; sleep 600"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert client.stdout.readline() == "up\n"
        return client


def test_a_key_of_the_page_leads_into_the_users_own_server(tmp_path):
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mon portable", "-f", str(key)], check=True)
    port = free_row(1)
    with (
        small_hub(kept=("ssh",), words={"SSH__PORT": str(port)}) as hub,
        httpx.Client(base_url=hub.url, follow_redirects=True, timeout=120) as client,
    ):
        ana = Person(hub, port, key, client)
        _register(ana)
        seat = _claim_a_seat(ana)
        _come_in(ana)
        _come_in_by_token(ana, tmp_path)
        _stop_the_server_and_revoke_the_seat(ana, seat)
        _kill_the_hub(ana)


def _register(ana: Person) -> None:
    page = ana.open_page()
    known = re.search(r'id="known-hosts"[^>]*>([^<]+)<', page)[1]
    (ana.hub.folder / "known_hosts").write_text(known + "\n")
    assert parse_public_key(known.split(" ", 1)[1]).fingerprint in page
    assert "User ana\n" in page
    public = ana.key.with_suffix(".pub").read_text()
    assert ana.client.post("/hub/cles", data={"key": public}).status_code == 403
    wrong = ana.post(key=ana.key.read_text())
    assert wrong.status_code == 400
    assert "clé privée" in wrong.text
    added = ana.post(key=public)
    assert added.status_code == 200
    fingerprint = parse_public_key(public).fingerprint
    assert "mon portable" in added.text
    assert fingerprint in added.text
    assert fingerprint not in ana.post(remove=fingerprint).text
    assert ana.run("echo in", env=os.environ | {"SSH_ASKPASS_REQUIRE": "never"}).returncode == 255
    ana.post(key=public)


def _come_in(ana: Person) -> None:
    done = ana.run("id -un; echo $JUPYTERHUB_USER")
    assert done.returncode == 0, (done.stderr, ana.hub.log[-3000:])
    assert "JupyterLab démarre" in done.stderr
    me = pwd.getpwuid(os.getuid()).pw_name
    account = account_name("ana", ana.hub.layout.lab_id) if os.getuid() == 0 else me
    assert done.stdout.split() == [account, "ana"]
    assert ana.run("true").stderr == ""


def _come_in_by_token(ana: Person, folder: Path) -> None:
    token = ana.call("POST", "users/ana/tokens").json()["token"]
    ask = folder / "ask"
    ask.write_text('#!/bin/sh\necho "$TOKEN"\n')
    ask.chmod(0o700)
    asked = subprocess.run(
        ["ssh", "-oPubkeyAuthentication=no", *ana.line("echo in")[1:]], capture_output=True, text=True, timeout=120,
        check=False, stdin=subprocess.DEVNULL,
        env=os.environ | {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "TOKEN": token},
    )  # fmt: skip
    assert asked.stdout == "in\n", asked.stderr


def _claim_a_seat(ana: Person) -> Person:
    """Somebody with a workshop's pass, and a key."""
    (issued,) = PassStore(ana.hub.layout.passes).open_seats(_WORKSHOP, 1, 0, NEVER)
    with httpx.Client(base_url=ana.hub.url, follow_redirects=True, timeout=120) as client:
        action, fields = form_of(client.get(entry_url("", issued.code)).text, {})
        assert client.post(action, data=fields).status_code == 200
    user = seat_user(_WORKSHOP, 1)
    KeyStore(ana.hub.layout.keys).add(user, ana.key.with_suffix(".pub").read_text())
    return replace(ana, name=user)


def _stop_the_server_and_revoke_the_seat(ana: Person, seat: Person) -> None:
    clients = [ana.begin(), seat.begin()]
    assert ana.call("DELETE", "users/ana/server").status_code in {202, 204}
    PassStore(ana.hub.layout.passes).revoke(_WORKSHOP, 1)
    for client in clients:
        assert client.wait(PATIENCE) != 0
        client.communicate()
    assert seat.run("echo in", env=os.environ | {"SSH_ASKPASS_REQUIRE": "never"}).returncode == 255


def _kill_the_hub(ana: Person) -> None:
    client = ana.begin()
    ana.hub.process.kill()
    assert client.wait(PATIENCE) != 0
    client.communicate()
    until = time.monotonic() + PATIENCE
    while left := [one for one in find_lab_processes(ana.hub.layout) if "sleep" in one.command]:
        assert time.monotonic() < until, left
        time.sleep(0.1)
