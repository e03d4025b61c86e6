"""Who comes in, and who does not, by the client that people have."""

import re
import subprocess
import time

import pytest

from earthlab.hub.keys import KeyStore
from earthlab.services.ssh.door import CIPHERS, KEX, MACS
from earthlab.testing.hub_api import Token
from tests.services.ssh.running_door import MAY


def test_a_registered_key_opens_the_door_and_its_use_is_remembered(door):
    store = KeyStore(door.layout.keys)
    done = door.ssh("ana", "echo in")
    assert (done.returncode, done.stdout) == (0, b"in\n")
    (key,) = store.keys("ana")
    assert abs(key.used - time.time()) < 30
    line = door.wait_for_line(user="ana", kind="command", by=f"key {key.fingerprint}", exit=0)
    assert line["address"] == "127.0.0.1"


def test_a_token_of_the_hub_opens_the_door_in_place_of_a_password(door):
    done = door.ssh("ana", "echo in", token="token-of-ana")
    assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr
    door.wait_for_line(user="ana", by="token")


def _refused(door, name, *, token="", key=None, why):
    done = door.ssh(name, "echo in", token=token, key=key)
    assert (done.returncode, done.stdout) == (255, b"")
    line = door.wait_for_line(kind="refused", user=name, why=why)
    assert token not in str(line) or not token
    return line


def test_an_unknown_token_is_refused_and_written_down_without_it(door):
    _refused(door, "ana", token="no-such-token", why="unknown, expired, or somebody else's token")


def test_an_expired_token_is_refused(door):
    door.hub.tokens["old"] = Token("ana", scopes=(MAY,), expires=1.0)
    _refused(door, "ana", token="old", why="unknown, expired, or somebody else's token")


def test_somebody_elses_token_is_refused(door):
    _refused(door, "bob", token="token-of-ana", why="unknown, expired, or somebody else's token")


def test_the_token_of_a_service_is_refused(door):
    door.hub.tokens["of-a-service"] = Token("ana", "service", scopes=(MAY,))
    _refused(door, "ana", token="of-a-service", why="unknown, expired, or somebody else's token")


def test_a_token_that_does_not_open_this_door_is_refused(door):
    door.hub.tokens["narrow"] = Token("bob", scopes=("access:services!service=stac",))
    done = door.ssh("bob", "echo in", token="narrow")
    assert done.returncode == 255
    assert any("access:services!service=ssh" in line.get("why", "") for line in door.book)


def test_a_key_of_nobody_is_refused(door, tmp_path):
    file = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    line = _refused(door, "ana", key=file, why="a key that is not the user's")
    assert line["by"].startswith("key SHA256:")


def test_somebody_elses_key_is_refused(door):
    _refused(door, "bob", key=door.folder / "id_ana", why="a key that is not the user's")


def test_the_key_of_a_user_who_is_gone_opens_nothing_even_for_one_of_the_same_name(door):
    file = door.add_user("cleo")
    del door.hub.created["cleo"]
    _refused(door, "cleo", key=file, why="a key of a user who is gone")
    door.hub.created["cleo"] = "2099-01-01T00:00:00.000000Z"
    _refused(door, "cleo", key=file, why="a key of a user who is gone")


@pytest.mark.parametrize("name", ["-x", "a" * 70, "Ana/../root"])
def test_names_that_no_user_has_are_refused(door, name):
    line = ["ssh", *door.options(door.folder / "id_ana"), f"-p{door.port}", f"-l{name}", "127.0.0.1", "id"]
    done = subprocess.run(line, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=30)
    assert done.returncode == 255


def test_nobody_comes_in_while_the_hub_is_away(door):
    door.hub.silent = True
    try:
        assert door.ssh("ana", "echo in").returncode == 255
        assert door.ssh("ana", "echo in", token="token-of-ana").returncode == 255
    finally:
        door.hub.silent = False
    assert door.ssh("ana", "echo in").stdout == b"in\n"


def test_the_name_in_the_token_is_the_hubs_form_of_what_is_typed(door):
    assert door.ssh("ANA", "echo in", key=door.folder / "id_ana").stdout == b"in\n"


def test_what_the_door_speaks_is_of_today_and_nothing_else(door):
    told = door.ssh("ana", "true", "-vv", "-oLogLevel=DEBUG2").stderr.decode()
    offers = dict(re.findall(r"debug2: ([a-zA-Z ]+): ([^ \r\n]*)", told.partition("peer server KEXINIT")[2]))
    exchanges = set(offers["KEX algorithms"].split(",")) - {"ext-info-s", "kex-strict-s-v00@openssh.com"}
    assert "mlkem768x25519-sha256" in exchanges
    assert exchanges <= set(KEX)
    assert "kex-strict-s-v00@openssh.com" in offers["KEX algorithms"]
    assert offers["host key algorithms"] == "ssh-ed25519"
    assert offers["ciphers stoc"] == offers["ciphers ctos"] == ",".join(CIPHERS)
    assert offers["MACs stoc"] == ",".join(MACS)
    assert offers["compression stoc"] == "none"


@pytest.mark.parametrize(
    "option",
    [
        "-oKexAlgorithms=diffie-hellman-group14-sha1",
        "-oCiphers=aes128-ctr",
        "-oHostKeyAlgorithms=ssh-rsa",
        "-oKexAlgorithms=ecdh-sha2-nistp256",
    ],
)
def test_algorithms_of_yesterday_are_not_spoken(door, option):
    done = door.ssh("ana", "echo in", option, "-oLogLevel=INFO")
    assert done.returncode == 255
    assert b"no matching" in done.stderr
