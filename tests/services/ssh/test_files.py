"""Files by sftp and by both ways of scp, as the user and nobody else."""

import os
import subprocess

import pytest

from tests.hub.conftest import root_only


@pytest.fixture
def content(tmp_path):
    file = tmp_path / "données.bin"
    file.write_bytes(os.urandom(5_000_003))
    return file


@pytest.mark.parametrize("way", [[], ["-O"]], ids=["sftp", "classic"])
def test_scp_brings_the_same_file_there_and_back(door, content, tmp_path, way):
    there = door.transfer("scp", "ana", *way, str(content), "ana@127.0.0.1:là.bin")
    assert there.returncode == 0, there.stderr
    assert (door.home("ana") / "là.bin").read_bytes() == content.read_bytes()
    back = door.transfer("scp", "ana", *way, "ana@127.0.0.1:là.bin", str(tmp_path / "back.bin"))
    assert back.returncode == 0, back.stderr
    assert (tmp_path / "back.bin").read_bytes() == content.read_bytes()


def test_sftp_does_what_a_file_manager_asks_for(door, content, tmp_path):
    batch = tmp_path / "batch"
    lines = [
        "mkdir a",
        "cd a",
        f"put {content} x",
        "rename x y",
        "chmod 600 y",
        "ln -s y z",
        "ls -la",
        f"get z {tmp_path}/z",
    ]
    batch.write_text("\n".join([*lines, "df", "rm z", "rm y", "cd ..", "rmdir a", "pwd\n"]))
    done = door.transfer("sftp", "ana", "-b", str(batch), "ana@127.0.0.1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "z").read_bytes() == content.read_bytes()
    assert str(door.home("ana")) in done.stdout
    assert not (door.home("ana") / "a").exists()
    door.wait_for_line(user="ana", kind="sftp", exit=0)


@root_only
def test_files_belong_to_the_user_and_others_stay_closed(door, content, tmp_path):
    done = door.transfer("scp", "ana", str(content), "ana@127.0.0.1:own.bin")
    assert done.returncode == 0, done.stderr
    assert (door.home("ana") / "own.bin").stat().st_uid == door.home("ana").stat().st_uid
    door.ssh("bob", "true")
    for place in (f"{door.layout.hub}/keys.sqlite", f"{door.home('bob')}/x", "/etc/shadow"):
        refused = door.transfer("scp", "ana", f"ana@127.0.0.1:{place}", str(tmp_path / "stolen"))
        assert refused.returncode != 0
        assert not (tmp_path / "stolen").exists()
    refused = door.transfer("scp", "ana", str(content), "ana@127.0.0.1:/etc/earthlab-proof")
    assert refused.returncode != 0


def test_a_transfer_that_breaks_off_leaves_no_process(door, content):
    options = door.options(door.folder / "id_ana")
    line = ["sftp", *options, f"-P{door.port}", "ana@127.0.0.1"]
    client = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    client.stdin.write(b"pwd\n")
    client.stdin.flush()
    while b"homes" not in (line := client.stdout.readline()):
        assert line
    client.kill()
    client.communicate()
    line = door.wait_for_line(user="ana", kind="sftp")
    assert line["bytes_in"] > 0
