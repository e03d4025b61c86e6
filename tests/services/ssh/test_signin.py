"""Who comes in, and who does not, by the client that people have."""

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from earthlab.hub.keys import KeyStore
from earthlab.services.ssh.door import CIPHERS, KEX, MACS
from earthlab.testing.hub_api import Token
from tests.patience import PATIENCE
from tests.services.ssh.running_door import MAY, read_fingerprint


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


@pytest.fixture(scope="module")
def refused(door, tmp_path_factory):
    """All who must not come in, at the same time: a wrong token makes one wait."""
    alone = tmp_path_factory.mktemp("keys") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(alone)], check=True)
    others = {name: door.add_user(name) for name in ("cleo", "cleo2", "dora")}
    del door.hub.created["cleo"]
    door.hub.created["cleo2"] = "2099-01-01T00:00:00.000000Z"
    assert door.ssh("dora", "true").returncode == 0
    door.hub.tokens["of-yesterday"] = Token("dora", scopes=(MAY,))
    for token in ("token-of-dora", "of-yesterday"):
        assert door.ssh("dora", "true", token=token).returncode == 0
    door.hub.blocked.add("dora")
    del door.hub.tokens["of-yesterday"]
    door.hub.tokens |= {
        "old": Token("ana", scopes=(MAY,), expires=1.0),
        "of-a-service": Token("ana", "service", scopes=(MAY,)),
        "narrow": Token("bob", scopes=("access:services!service=stac",)),
    }
    tried = {
        "an unknown token": ("ana", {"token": "no-such-token"}),
        "an expired token": ("ana", {"token": "old"}),
        "a revoked token": ("dora", {"token": "of-yesterday"}),
        "somebody else's token": ("bob", {"token": "token-of-ana"}),
        "the token of a service": ("ana", {"token": "of-a-service"}),
        "a token for something else": ("bob", {"token": "narrow"}),
        "a blocked user's token": ("dora", {"token": "token-of-dora"}),
        "a key of nobody": ("ana", {"key": alone}),
        "somebody else's key": ("bob", {"key": door.folder / "id_ana"}),
        "the key of a user who is gone": ("cleo", {"key": others["cleo"]}),
        "the key of one who was called the same before": ("cleo2", {"key": others["cleo2"]}),
        "a blocked user's key": ("dora", {"key": others["dora"]}),
    }
    with ThreadPoolExecutor(len(tried)) as pool:
        begun = {
            what: pool.submit(door.ssh, name, "echo in", "-oLogLevel=INFO", **way)
            for what, (name, way) in tried.items()
        }
    return {what: (name, way, begun[what].result()) for what, (name, way) in tried.items()}


_NOT_A_TOKEN = "unknown, expired, or somebody else's token"
_GONE = "a key of a user who is gone or blocked"


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("an unknown token", _NOT_A_TOKEN),
        ("an expired token", _NOT_A_TOKEN),
        ("a revoked token", _NOT_A_TOKEN),
        ("somebody else's token", _NOT_A_TOKEN),
        ("the token of a service", _NOT_A_TOKEN),
        ("a token for something else", "access:services!service=ssh"),
        ("a blocked user's token", "access:services!service=ssh"),
        ("a key of nobody", "a key that is not the user's"),
        ("somebody else's key", "a key that is not the user's"),
        ("the key of a user who is gone", _GONE),
        ("the key of one who was called the same before", _GONE),
        ("a blocked user's key", _GONE),
    ],
)
def test_who_has_no_right_is_refused_and_written_down(door, refused, what, why):
    name, way, done = refused[what]
    assert (done.returncode, done.stdout) == (255, b"")
    by = "token" if "token" in way else f"key {read_fingerprint(way['key'])}"
    line = door.wait_for_line(kind="refused", user=name, by=by, holds=lambda line: why in line["why"])
    assert line["address"] == "127.0.0.1"
    if "token" in way:
        assert way["token"] not in str(door.book)
        assert b"/hub/token" in done.stderr


def test_whose_key_is_removed_is_shown_out_and_others_stay(door):
    file = door.add_user("eli")
    clients = [door.begin(name, "-oLogLevel=INFO", "echo up; read x; echo $x") for name in ("eli", "ana")]
    for client in clients:
        assert client.stdout.readline() == b"up\n"
    KeyStore(door.layout.keys).forget("eli")
    eli, ana = clients
    assert eli.wait(PATIENCE) == 255
    assert b"Your key or token is no longer valid" in eli.communicate()[1]
    assert ana.communicate(b"still\n", timeout=120)[0] == b"still\n"
    door.wait_for_line(user="eli", kind="ended", why="a key that is not the user's")
    assert door.ssh("eli", "true", key=file).returncode == 255


@pytest.mark.parametrize("name", ["-x", "a" * 70, "Ana/../root"])
def test_names_that_no_user_has_are_refused(door, name):
    line = ["ssh", *door.options(door.folder / "id_ana"), f"-p{door.port}", f"-l{name}", "127.0.0.1", "id"]
    done = subprocess.run(line, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 255


def test_nobody_comes_in_while_the_hub_is_away_and_all_are_told_so(door):
    door.hub.silent = True
    try:
        for way in ({}, {"token": "token-of-ana"}):
            done = door.ssh("ana", "echo in", "-oLogLevel=INFO", **way)
            assert done.returncode == 255
            assert "The hub does not answer: try again in a moment" in done.stderr.decode()
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
