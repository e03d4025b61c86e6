"""Files by sftp and by both ways of scp, as the user and nobody else."""

import os
import re
import shlex
import stat
import subprocess
from pathlib import Path

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


def _tree(folder):
    """What is there: names, kinds, modes, times, and what is in files and links."""
    return {
        str(place.relative_to(folder)): (
            stat.S_IFMT(place.lstat().st_mode) | (0 if place.is_symlink() else place.lstat().st_mode),
            int(place.lstat().st_mtime),
            place.readlink() if place.is_symlink() else place.read_bytes() if place.is_file() else b"",
        )
        for place in sorted(folder.rglob("*"))
    }


def test_rsync_brings_trees_as_they_are_takes_away_what_has_gone_and_goes_on_where_it_broke_off(
    door, content, tmp_path
):
    shell = shlex.join(["ssh", *door.options(door.folder / "id_ana"), f"-p{door.port}"])
    here, back = tmp_path / "arbre", tmp_path / "retour"
    (here / "a" / "vide").mkdir(parents=True)
    (here / "a" / "l’été.txt").write_text("été")
    (here / "run.sh").write_text("#!/bin/sh\n")
    (here / "run.sh").chmod(0o750)
    (here / "lien").symlink_to("a/l’été.txt")
    content.rename(here / "gros.bin")
    for place, moment in ((here / "run.sh", 1_000_000_000), (here / "a", 1_100_000_000)):
        os.utime(place, (moment, moment))
    there = door.home("ana") / "arbre"

    def rsync(*words):
        line = ["rsync", "-a", "-e", shell, *words]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, check=True).stdout

    # As it lies there where the line broke in the midst of it.
    door.ssh("ana", "mkdir arbre && head -c 3000000 > arbre/gros.bin", input=(here / "gros.bin").read_bytes())
    told = rsync("--append-verify", "--stats", f"{here}/", "ana@127.0.0.1:arbre/")
    assert int(re.search(r"Literal data: ([\d,]+)", told)[1].replace(",", "")) < 2_100_000
    assert _tree(there) == _tree(here)
    (here / "run.sh").unlink()
    rsync("--delete", f"{here}/", "ana@127.0.0.1:arbre/")
    assert _tree(there) == _tree(here)
    back.mkdir()
    (back / "d’hier").write_text("")
    rsync("--delete", "ana@127.0.0.1:arbre/", f"{back}/")
    assert _tree(back) == _tree(here)
    assert "gros.bin" not in rsync("-i", f"{here}/", "ana@127.0.0.1:arbre/")


@root_only
def test_files_belong_to_the_user_and_others_stay_closed(door, content, tmp_path):
    done = door.transfer("scp", "ana", str(content), "ana@127.0.0.1:own.bin")
    assert done.returncode == 0, done.stderr
    assert (door.home("ana") / "own.bin").stat().st_uid == door.home("ana").stat().st_uid
    door.ssh("bob", "true")
    places = (f"{door.layout.hub}/keys.sqlite", f"{door.home('bob')}/x", "/etc/shadow")
    batch = tmp_path / "batch"
    tries = [f"-get {place} {tmp_path}/stolen" for place in places]
    batch.write_text("\n".join([*tries, f"-put {content} /etc/earthlab\n"]))
    refused = door.transfer("sftp", "ana", "-b", str(batch), "ana@127.0.0.1")
    assert len(refused.stderr.splitlines()) == 4, refused.stderr
    assert not (tmp_path / "stolen").exists()
    assert not Path("/etc/earthlab").exists()


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
