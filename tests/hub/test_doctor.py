import os
import resource
import socket
import subprocess
import sys
import threading

import pytest

from earthlab.errors import SetupError
from earthlab.hub import doctor
from earthlab.hub.cgroups import governed_group
from earthlab.hub.prepare import make_folders
from earthlab.settings import load_settings
from earthlab.testing.identity_provider import serve_identity_provider
from earthlab.testing.ports import free_row
from tests.hub.conftest import root_only


def faults(settings):
    return [f.text for f in doctor.examine(settings) if f.level == "fault"]


def test_a_fit_machine_has_no_fault(settings, layout):
    assert faults(settings) == []


def test_a_taken_port_is_named_with_its_holder_and_the_setting(settings, layout):
    first = free_row()
    port = first + 3
    with socket.create_server(("127.0.0.1", port)):
        busy = load_settings({"lab.state": layout.state, "lab.port": first}, environ={}, files=())
        [text] = faults(busy)
    assert str(port) in text
    assert str(os.getpid()) in text
    assert "EARTHLAB__LAB__PORT" in text


def test_the_port_of_ssh_is_told_free_taken_answering_or_shut(settings, layout, monkeypatch):
    def told(settings):
        (found,) = [finding for finding in doctor.examine(settings) if "ssh" in finding.text]
        return found.level, found.text

    port = free_row()
    asked = load_settings({"lab.state": layout.state, "lab.port": port}, environ={}, files=())
    level, text = told(asked)
    assert level == "ok"
    assert f"{port + 22}, is free from this machine alone (EARTHLAB__SSH__ADDRESS)" in text
    off = load_settings({"lab.state": layout.state, "lab.port": port, "ssh.enabled": False}, environ={}, files=())
    assert told(off) == ("ok", "nobody comes in by ssh (ssh.enabled)")
    with socket.create_server(("127.0.0.1", port + 22)) as other:
        level, text = told(asked)
        assert level == "warning"
        assert str(os.getpid()) in text
        assert "EARTHLAB__SSH__PORT" in text
        monkeypatch.setattr(doctor, "lab_runs", lambda _: True)
        speaker = threading.Thread(target=_greet_one, args=[other])
        speaker.start()
        level, text = told(asked)
        speaker.join()
        assert (level, text.partition(" from")[0]) == ("ok", f"the port of ssh, {port + 22}, answers")
    assert told(asked)[0] == "warning"


def _greet_one(server):
    with server.accept()[0] as line:
        line.sendall(b"SSH-2.0-EarthLab\r\n")


def test_an_address_that_is_not_this_machines_is_a_fault(layout):
    with pytest.raises(SetupError, match=r"192\.0\.2\.1"):
        doctor.refuse_unfit_machine(
            load_settings(
                {"lab.state": layout.state, "lab.address": "192.0.2.1", "lab.port": 8100}, environ={}, files=()
            )
        )


def test_a_state_folder_that_cannot_be_written_is_a_fault(layout):
    unwritable = load_settings({"lab.state": "/proc/lab"}, environ={}, files=())
    assert any("EARTHLAB__LAB__STATE" in text for text in faults(unwritable))


def test_a_full_disk_is_a_fault(settings, layout, monkeypatch):
    make_folders(layout)
    monkeypatch.setattr(doctor, "_ROOM", 2**60)
    assert any("Free space" in text for text in faults(settings))


def test_a_missing_node_and_a_missing_proxy_are_faults_that_make_setup_mends(settings, layout, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "proxy_program", lambda: tmp_path / "none")
    assert any("make setup" in text for text in faults(settings))
    monkeypatch.setattr(doctor, "node", lambda: tmp_path / "node")
    assert any(text.startswith("Node is missing") for text in faults(settings))


@root_only
def test_a_state_folder_that_other_accounts_cannot_reach_is_a_fault(tmp_path):
    tmp_path.chmod(0o700)
    hidden = load_settings({"lab.state": tmp_path / "lab", "lab.port": 8100}, environ={}, files=())
    assert any("other accounts" in text for text in faults(hidden))


def test_what_bounds_a_user_is_told(settings, layout):
    make_folders(layout)
    found = [finding for finding in doctor.examine(settings) if "control groups" in finding.text]
    assert [finding.level for finding in found] == ["ok" if governed_group() else "warning"]
    assert "4 GiB" in found[0].text


def test_too_few_open_files_are_a_fault(settings, layout):
    script = (
        "from earthlab.hub.doctor import examine; from earthlab.settings import load_settings\n"
        "print([f.text for f in examine(load_settings()) if f.level == 'fault'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "EARTHLAB__LAB__STATE": str(layout.state), "EARTHLAB__LAB__PORT": "8100"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "256 files" in done.stdout


def with_institution(layout, issuer, secret_in="LAB_SECRET"):
    words = {
        "issuer": issuer,
        "client_id": "earthlab",
        "client_secret_env": secret_in,
        "everybody": True,
        "label_fr": "l’université",
        "label_en": "the university",
    }
    return load_settings(
        {"lab.state": layout.state, "lab.port": 8100, **{f"oidc.{name}": value for name, value in words.items()}},
        environ={},
        files=(),
    )


def of_the_institution(settings):
    (found,) = [finding for finding in doctor.examine(settings) if "university" in finding.text]
    return found.level, found.text


def test_an_institution_is_told_to_answer_to_be_away_or_to_be_another_one(layout, monkeypatch):
    monkeypatch.setenv("LAB_SECRET", "planted-secret")
    with serve_identity_provider() as provider:
        level, text = of_the_institution(with_institution(layout, provider.issuer))
        assert (level, "says where to sign in" in text) == ("ok", True)
        other = provider.issuer.replace("127.0.0.1", "localhost")
        level, text = of_the_institution(with_institution(layout, other))
        assert (level, "expected oidc.issuer to the letter" in text) == ("warning", True)
    level, text = of_the_institution(with_institution(layout, provider.issuer))
    assert (level, "docs/sign-in.md" in text) == ("warning", True)
    assert "planted-secret" not in text


def test_an_institution_without_its_client_s_secret_is_a_fault(layout):
    (text,) = faults(with_institution(layout, "https://login.example.org", secret_in="NO_SUCH_SECRET"))
    assert "NO_SUCH_SECRET" in text
