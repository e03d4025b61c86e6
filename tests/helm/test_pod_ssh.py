"""By ssh into a pod: the hub of a cluster, its page of keys, a real server in place of the pod, and Debian's client."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from earthlab.hub.configure import tethered
from earthlab.hub.keys import parse_public_key
from earthlab.testing.ports import free_row
from tests.helm.pod_hub import TOKENS, PodHub, pod_hub
from tests.helm.pod_processes import Processes
from tests.patience import PATIENCE, eventually

PUBLIC = "labo-ssh.example.org"
"""By which people reach the door, whatever the name of the page."""


@dataclass
class Lab:
    hub: PodHub
    pods: Processes
    port: int

    @property
    def folder(self) -> Path:
        return self.hub.folder

    @property
    def book(self) -> str:
        return "".join(file.read_text() for file in (self.folder / "door").rglob("ssh-*.jsonl"))

    def start_door(self) -> None:
        ours = {
            "EARTHLAB__LAB__STATE": str(self.folder / "door"),
            "EARTHLAB__SSH__ADDRESS": "127.0.0.1",
            "EARTHLAB__KUBERNETES__SERVICES": f"{self.hub.url}/services",
            "JUPYTERHUB_API_URL": f"http://127.0.0.1:{self.hub.first_port + 2}/hub/api",
            "JUPYTERHUB_API_TOKEN": TOKENS["ssh"],
            "JUPYTERHUB_SERVICE_NAME": "ssh",
        }
        with (self.folder / "door.log").open("a") as log:
            self.door = subprocess.Popen(
                [*tethered(), sys.executable, "-P", "-m", "earthlab.services.ssh"],
                env=self.hub.environment | ours, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def client(self) -> list[str]:
        """Debian's, with what the page has told people of the door."""
        known = f"-oUserKnownHostsFile={self.folder / 'known_hosts'}"
        return ["ssh", "-F", "none", known, f"-oHostKeyAlias={PUBLIC}", f"-p{self.port}"]

    def ssh(self, user: str, *command: str, **words):
        options = [
            "-oIdentitiesOnly=yes",
            f"-oIdentityFile={self.folder / 'id'}",
            "-oPreferredAuthentications=publickey",
        ]
        if "input" not in words:
            words["stdin"] = subprocess.DEVNULL
        line = [*self.client, *options, f"{user}@127.0.0.1", *command]
        return subprocess.run(line, capture_output=True, text=True, timeout=180, check=False, **words)


@pytest.fixture(scope="module")
def lab(fifth, tmp_path_factory):
    """A cluster's hub, in the chart's version, with the door beside it."""
    folder = tmp_path_factory.mktemp("pod-ssh")
    pods, port = Processes(folder), free_row(1)
    words = {"SSH__PORT": str(port), "SSH__PUBLIC_HOST": PUBLIC, "SSH__PUBLIC_PORT": "22"}
    with pod_hub(folder, environ={"PYTHONPATH": str(fifth)}, **words) as hub:
        hub.api.run, hub.api.end = pods.run, pods.end
        found = Lab(hub, pods, port)
        found.start_door()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id")], check=True)
        try:
            yield found
        finally:
            found.door.terminate()
            found.door.wait(PATIENCE)
            pods.close()


def register_key(lab: Lab, visitor: httpx.Client, user: str) -> None:
    """As a user does: the page shows the door's key, and takes theirs."""
    visitor.get(lab.hub.link_for(user, to="/hub/cles"))
    eventually(lambda: 'id="known-hosts"' in visitor.get("/hub/cles").text, what="the door's key on the page")
    secret = next(each.value for each in visitor.cookies.jar if each.name == "_xsrf" and each.path == "/hub/")
    sent = visitor.post("/hub/cles", data={"_xsrf": secret, "key": (lab.folder / "id.pub").read_text()})
    assert parse_public_key((lab.folder / "id.pub").read_text()).fingerprint in sent.text
    assert f"    HostName {PUBLIC}\n    Port 22\n" in sent.text
    line = re.search(rf"(?<=>){re.escape(PUBLIC)} ssh-ed25519 [A-Za-z0-9+/=]+", sent.text)
    (lab.folder / "known_hosts").write_text(line[0] + "\n")


def test_a_key_of_the_page_leads_into_a_pod_that_starts_for_it(lab):
    with lab.hub.visitor() as visitor:
        register_key(lab, visitor, "ana")
    assert "jupyter-ana" not in lab.hub.api.pods()
    first = lab.ssh("ana", "pwd; echo $JUPYTERHUB_USER; cat > note.txt; exit 3", input="gardé\n")
    assert (first.returncode, first.stdout.split()) == (3, [str(lab.folder / "volumes/jupyter-ana"), "ana"]), (
        first.stderr
    )
    assert "jupyter-ana" in lab.hub.api.pods()
    assert (lab.folder / "volumes/jupyter-ana/note.txt").read_text() == "gardé\n"
    # The notebooks that the server brings are there, and a kernel of the same server answers at the prompt.
    assert "start" in lab.ssh("ana", "ls notebooks").stdout
    asked = lab.ssh("ana", "kernel", "new", input="print(6 * 7)\n")
    assert asked.stdout.strip() == "42", asked.stderr
    eventually(lambda: '"kind": "kernel"' in lab.book, what="the line of the console in the book")


def test_a_token_of_the_users_page_opens_their_own_pod_and_nobody_elses(lab):
    token = lab.hub.token_of("ana")
    ask = lab.folder / "askpass"
    ask.write_text('#!/bin/sh\necho "$TOKEN"\n')
    ask.chmod(0o755)
    words = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "TOKEN": token}
    for user, code in (("ana", 0), ("earthlab", 255)):
        line = [*lab.client, "-oIdentityFile=none", "-oNumberOfPasswordPrompts=1", f"{user}@127.0.0.1", "true"]
        done = subprocess.run(line, env=words, capture_output=True, timeout=180, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == code, done.stderr


def test_a_key_that_is_removed_ends_its_connection(lab):
    with lab.hub.visitor() as visitor:
        register_key(lab, visitor, "ana")
        assert lab.ssh("ana", "true").returncode == 0
        secret = next(each.value for each in visitor.cookies.jar if each.name == "_xsrf" and each.path == "/hub/")
        fingerprint = parse_public_key((lab.folder / "id.pub").read_text()).fingerprint
        line = [*lab.client, f"-oIdentityFile={lab.folder / 'id'}", "ana@127.0.0.1", "echo up; sleep 600"]
        client = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert client.stdout.readline() == b"up\n"
        visitor.post("/hub/cles", data={"_xsrf": secret, "remove": fingerprint})
        _, said = client.communicate(timeout=PATIENCE)
        assert client.returncode == 255
        assert "no longer valid" in said.decode()
        assert lab.ssh("ana", "true").returncode == 255
