import os
import subprocess
import sys

import pytest

from earthlab.cli import main


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(bare_environment):
    pass


def test_a_refusal_is_one_line_and_exit_code_2(capsys):
    assert main(["settings", "--port", "many"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("earthlab: argument: lab.port is 'many'")


def test_settings_show_where_each_value_came_from(capsys, monkeypatch):
    monkeypatch.setenv("EARTHLAB__HUB__IDLE_MINUTES", "5")
    assert main(["settings", "--port", "8100"]) == 0
    said = capsys.readouterr().out
    assert any(line.split() == ["lab.port", "8100", "argument"] for line in said.splitlines())
    assert any(line.split() == ["hub.idle_minutes", "5", "environment"] for line in said.splitlines())


def test_a_link_is_refused_where_no_lab_runs(capsys, tmp_path):
    assert main(["link", "ada", "--state", str(tmp_path)]) == 2
    assert "make lab" in capsys.readouterr().err


def test_what_to_paste_for_ssh_names_the_user_the_place_and_the_key(capsys, tmp_path, monkeypatch):
    assert main(["ssh-config", "--state", str(tmp_path)]) == 2
    assert "/hub/cles" in capsys.readouterr().err
    (tmp_path / "hub" / "ssh").mkdir(parents=True)
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    (tmp_path / "hub" / "ssh" / "ssh_host_ed25519_key.pub").write_text(f"{key} earthlab\n")
    assert main(["ssh-config", "ada", "--host", "labo.example.org", "--state", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "    User ada\n" in said
    assert f"[labo.example.org]:8022 {key}\n" in said
    assert "SHA256:" in said
    monkeypatch.setenv("EARTHLAB__SSH__PUBLIC_HOST", "labo-ssh.example.org")
    monkeypatch.setenv("EARTHLAB__SSH__PUBLIC_PORT", "22")
    assert main(["ssh-config", "ada", "--state", str(tmp_path)]) == 0
    assert f"\nlabo-ssh.example.org {key}\n" in capsys.readouterr().out


def test_an_unknown_command_is_explained_by_the_usage(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["dance"])
    assert ended.value.code == 2
    assert "doctor" in capsys.readouterr().err


def test_light_commands_do_not_load_the_library():
    script = "import sys; from earthlab.cli import main; main(['version']); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.splitlines()[-1] == "False"
    assert done.stdout.startswith("earthlab ")


def test_the_doctor_says_what_is_wrong_and_fails(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert main(["doctor", "--state", str(tmp_path / "file")]) == 1
    assert "✗" in capsys.readouterr().out
