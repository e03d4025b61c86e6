"""Which keys are taken, and that each is one user's until it is removed."""

import base64
import os
import stat
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import AskLess, BadRequest, SetupError
from earthlab.hub.hostkeys import Address, read_host_key
from earthlab.hub.inside import Inside, forget_inside, note_inside, read_inside, sweep_inside
from earthlab.hub.key_pages import key_handler, resolve_host
from earthlab.hub.keys import MOST_KEYS, KeyStore, parse_public_key
from earthlab.hub.layout import Layout, people_ssh, resolve_ssh_port
from earthlab.kernel.identity import Identity
from earthlab.settings import load_settings


def make_key(number: int = 0, kind: str = "ssh-ed25519", *fields: bytes) -> str:
    parts = [kind.encode(), *(fields or [number.to_bytes(32, "big")])]
    return f"{kind} {base64.b64encode(b''.join(struct.pack('>I', len(part)) + part for part in parts)).decode()}"


@pytest.fixture
def store(tmp_path):
    return KeyStore(tmp_path / "keys.sqlite", lambda: 1000.0)


@pytest.mark.parametrize(("kind", "words"), [("ed25519", []), ("rsa", ["-b", "3072"])])
def test_keys_of_ssh_keygen_have_the_fingerprint_that_it_shows(tmp_path, kind, words):
    file = tmp_path / "id"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, *words, "-N", "", "-C", "mon portable", "-f", str(file)], check=True
    )
    key = parse_public_key(file.with_suffix(".pub").read_text())
    shown = subprocess.run(["ssh-keygen", "-lf", str(file)], capture_output=True, text=True, check=True).stdout
    assert key.fingerprint == shown.split()[1]
    assert key.comment == "mon portable"
    with pytest.raises(BadRequest, match="private key"):
        parse_public_key(file.read_text())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 not-base64!",
        make_key() + "\n" + make_key(1),
        'command="rm" ' + make_key(),
        make_key(kind="ssh-rsa").replace("ssh-rsa", "ssh-ed25519", 1),
        make_key(0, "ssh-ed25519", b"short"),
        "ssh-ed25519 " + "A" * 9000,
    ],
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(BadRequest, match="no public key"):
        parse_public_key(text)


@pytest.mark.parametrize(
    "text",
    [
        make_key(0, "ssh-rsa", b"\x01\x00\x01", b"\x00" + b"\xff" * 256),
        make_key(0, "ssh-dss", b"p", b"q"),
        make_key(0, "ecdsa-sha2-nistp256", b"nistp256", b"x" * 65),
    ],
)
def test_keys_that_are_too_weak_are_refused_by_what_to_do(text):
    with pytest.raises(BadRequest, match="ssh-keygen -t ed25519"):
        parse_public_key(text)


@given(st.text())
def test_any_text_is_a_key_or_refused(text):
    try:
        key = parse_public_key(text)
    except BadRequest:
        return
    assert key.fingerprint.startswith("SHA256:")


def test_a_comment_cannot_do_more_than_be_read():
    assert parse_public_key(f"{make_key()} \x1b[31mred {'x' * 300}").comment == ("[31mred " + "x" * 300)[:100]


def test_a_key_is_one_users_until_it_is_removed(store):
    key = store.add("ana", make_key() + " laptop")
    assert store.add("ana", make_key() + " another name") == key
    assert store.find("bob", key.fingerprint) is None
    store.note_use("ana", key.fingerprint)
    assert store.keys("ana")[0].used == 1000.0
    assert not store.remove("bob", key.fingerprint)
    assert store.remove("ana", key.fingerprint)
    assert store.keys("ana") == []


def test_all_keys_of_a_user_can_be_forgotten_at_once(store):
    for number in range(3):
        store.add("ana", make_key(number))
    store.add("bob", make_key())
    store.forget("ana")
    assert store.keys("ana") == []
    assert len(store.keys("bob")) == 1


def test_there_is_a_most_and_it_is_said(store):
    for number in range(MOST_KEYS):
        store.add("ana", make_key(number))
    with pytest.raises(AskLess, match=str(MOST_KEYS)):
        store.add("ana", make_key(999))


def test_keys_are_for_their_owner_alone_and_many_may_come_at_once(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.add(f"user{number}", make_key(number)), range(24)))
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert all(len(store.keys(f"user{number}")) == 1 for number in range(24))


@pytest.fixture
def layout(tmp_path):
    found = Layout(tmp_path, tmp_path / "run", "0123abcd")
    found.run.mkdir()
    return found


def test_what_is_pasted_is_what_openssh_reads(layout, tmp_path):
    layout.ssh.mkdir(parents=True)
    with pytest.raises(SetupError, match=r"ssh\.enabled"):
        read_host_key(layout)
    (layout.ssh / "ssh_host_ed25519_key.pub").write_text(make_key(7) + " earthlab\n")
    address = Address("labo.example.org", 8022, read_host_key(layout))
    config, known = tmp_path / "config", tmp_path / "known"
    config.write_text(address.config("ana") + "\n")
    known.write_text(address.known_hosts + "\n")
    shown = subprocess.run(
        ["ssh", "-G", "-F", str(config), "earthlab-kernel"], capture_output=True, text=True, check=True
    )
    for line in ("hostname labo.example.org", "port 8022", "user ana", "requesttty force", "remotecommand kernel"):
        assert f"\n{line}\n" in f"\n{shown.stdout}"
    plain = subprocess.run(["ssh", "-G", "-F", str(config), "earthlab"], capture_output=True, text=True, check=True)
    assert "remotecommand" not in plain.stdout
    found = subprocess.run(
        ["ssh-keygen", "-F", "[labo.example.org]:8022", "-lf", str(known)], capture_output=True, text=True, check=True
    )
    assert address.key.fingerprint in found.stdout


def test_at_the_usual_port_openssh_looks_for_the_name_alone(tmp_path):
    key = parse_public_key(make_key(7))
    known = tmp_path / "known"
    known.write_text(Address("labo-ssh.example.org", 22, key).known_hosts + "\n")
    found = subprocess.run(
        ["ssh-keygen", "-F", "labo-ssh.example.org", "-lf", str(known)], capture_output=True, text=True, check=True
    )
    assert key.fingerprint in found.stdout


def test_people_are_told_the_doors_public_address_where_the_settings_have_one():
    def told(**words):
        return people_ssh(load_settings({f"ssh.{name}": words[name] for name in words}, files=()), "labo.example.org")

    assert told() == ("labo.example.org", 8022)
    assert told(port=2200) == ("labo.example.org", 2200)
    assert told(public_host="labo-ssh.example.org", public_port=22) == ("labo-ssh.example.org", 22)
    assert told(public_port=30022) == ("labo.example.org", 30022)


@pytest.mark.parametrize(
    ("name", "value"), [("public_host", "labo.example.org\nProxyCommand x"), ("public_port", 70000)]
)
def test_a_public_address_that_is_none_is_refused_before_a_page_shows_it(name, value, layout):
    with pytest.raises(SetupError, match=f"EARTHLAB__SSH__{name.upper()}"):
        key_handler(layout, load_settings({f"ssh.{name}": value}, files=()))


@pytest.mark.parametrize(
    ("header", "host"),
    [("labo.example.org:8000", "labo.example.org"), ("[::1]:8000", "::1"), ("a b\n:1", "localhost"), ("", "localhost")],
)
def test_a_host_is_no_more_than_a_name(header, host):
    assert resolve_host(header) == host


def test_what_a_server_was_started_with_comes_back_whole_and_goes(layout):
    inside = Inside(Identity(7, 8, (9,), {"core": 0}, ("/x",), 0o022, {"/tmp": "/y"}), {"A": "é"}, "/home")
    assert read_inside(layout, "ana") is None
    note_inside(layout, "ana", inside)
    assert read_inside(layout, "ana") == inside
    (file,) = layout.inside.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_uid == os.getuid()
    assert stat.S_IMODE(layout.inside.stat().st_mode) == 0o700
    forget_inside(layout, "ana")
    forget_inside(layout, "ana")
    assert read_inside(layout, "ana") is None
    note_inside(layout, "bob", inside)
    sweep_inside(layout)
    sweep_inside(layout)
    assert not layout.inside.exists()


def test_the_port_follows_the_labs_unless_it_is_said():
    assert resolve_ssh_port(load_settings({}, environ={}, files=())) == 8022
    assert resolve_ssh_port(load_settings({"ssh.port": 22}, environ={}, files=())) == 22
    with pytest.raises(SetupError, match="EARTHLAB__SSH__PORT"):
        resolve_ssh_port(load_settings({"ssh.port": 70000}, environ={}, files=()))
