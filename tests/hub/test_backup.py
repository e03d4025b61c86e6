"""The hub's books as one file: taken at one moment of a lab that goes on, brought back whole or not at all."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from earthlab.cli import main
from earthlab.errors import SetupError
from earthlab.hub.backup import MANIFEST, restore_backup, write_backup
from earthlab.hub.layout import resolve_layout
from earthlab.hub.links import LinkStore
from earthlab.hub.prepare import make_folders, take_lock
from earthlab.settings import load_settings
from tests.hub.conftest import root_only


def layout_in(folder):
    return resolve_layout(load_settings({"lab.state": folder}, environ={}, files=()))


def quiet(_part):
    pass


@pytest.fixture
def lab(tmp_path):
    layout = layout_in(tmp_path / "lab")
    make_folders(layout)
    with closing(sqlite3.connect(layout.database)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE users (name TEXT)")
        db.execute("INSERT INTO users VALUES ('amina')")
        db.commit()
    (layout.hub / "cookie_secret").write_text("un secret")
    (layout.hub / "cookie_secret").chmod(0o600)
    (layout.ssh).mkdir()
    (layout.ssh / "ssh_host_ed25519_key").write_text("une clé")
    (layout.hub / "hub.log").write_text("bavardages")
    (layout.server_logs / "amina.log").write_text("bavardages")
    (layout.catalogue / "items.parquet").write_bytes(os.urandom(1000))
    return layout


def test_what_was_taken_is_there_again_and_works(lab, tmp_path):
    code = LinkStore(lab.links).create("amina")
    file = tmp_path / "copie.tar.gz"
    taken = write_backup(lab, file, tell=quiet)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    other = layout_in(tmp_path / "autre")
    assert restore_backup(other, file, tell=quiet) == taken
    assert LinkStore(other.links).redeem(code).user == "amina"
    with closing(sqlite3.connect(other.database)) as db:
        assert db.execute("SELECT name FROM users").fetchall() == [("amina",)]
    assert stat.S_IMODE((other.hub / "cookie_secret").stat().st_mode) == 0o600
    assert (other.catalogue / "items.parquet").read_bytes() == (lab.catalogue / "items.parquet").read_bytes()
    assert not [
        place for place in other.state.rglob("*") if place.suffix == ".log" or place.name.startswith(".restoring")
    ]


@root_only
def test_a_pods_volume_is_the_clusters_own_and_each_pod_keeps_its_own_part(lab, tmp_path):
    """A volume's root belongs to nobody of ours, its group may write; a pod of workshops has no hub's books."""
    workshops = layout_in(tmp_path / "ateliers")
    workshops.workshops.mkdir(parents=True)
    (workshops.workshops / "neige.zip").write_bytes(b"carnets")
    file = tmp_path / "ateliers.tar.gz"
    assert [*write_backup(workshops, file, catalogue=False, tell=quiet).digests] == ["workshops/neige.zip"]

    volume = layout_in(tmp_path / "volume")
    volume.state.mkdir()
    os.chown(volume.state, 4242, 1000)
    with pytest.raises(SetupError, match="not a folder of uid"):
        restore_backup(volume, file, tell=quiet)
    restore_backup(volume, file, in_pod=True, tell=quiet)
    assert (volume.workshops / "neige.zip").read_bytes() == b"carnets"
    (volume.workshops / "neige.zip").write_bytes(b"de nouveaux carnets")
    with pytest.raises(SetupError, match=r"holds workshops/neige\.zip already"):
        restore_backup(volume, file, in_pod=True, tell=quiet)
    assert (volume.workshops / "neige.zip").read_bytes() == b"de nouveaux carnets"


@root_only
def test_the_catalogue_of_a_pod_is_built_on_its_volume(tmp_path, monkeypatch):
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chown(volume, 4242, 1000)
    monkeypatch.setenv("EARTHLAB__LAB__STATE", str(volume))
    monkeypatch.setenv("EARTHLAB__KUBERNETES__ENABLED", "true")
    assert main(["catalogue", "build"]) == 0
    assert {each.name for each in volume.iterdir()} >= {"hub", "catalogue"}
    assert [*(volume / "catalogue").iterdir()]


def test_without_the_catalogue_it_is_small(lab, tmp_path):
    taken = write_backup(lab, tmp_path / "copie.tar.gz", catalogue=False, tell=quiet)
    assert not [name for name in taken.digests if name.startswith("catalogue")]


def test_a_database_is_taken_as_it_is_at_one_moment_while_others_write(lab, tmp_path):
    """Two columns that every transaction keeps equal are equal in every copy."""
    with closing(sqlite3.connect(lab.database)) as db:
        db.execute("CREATE TABLE pairs (a INTEGER, b INTEGER)")
        db.execute("INSERT INTO pairs VALUES (0, 0)")
        db.commit()
    stop = threading.Event()

    def write():
        with closing(sqlite3.connect(lab.database, timeout=60)) as db:
            while not stop.is_set():
                db.execute("BEGIN IMMEDIATE")
                db.execute("UPDATE pairs SET a = a + 1")
                db.execute("UPDATE pairs SET b = b + 1")
                db.execute("COMMIT")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for turn in range(5):
            write_backup(lab, tmp_path / f"copie-{turn}.tar.gz", catalogue=False, tell=quiet)
    finally:
        stop.set()
        writer.join()
    seen = []
    for turn in range(5):
        other = layout_in(tmp_path / f"autre-{turn}")
        restore_backup(other, tmp_path / f"copie-{turn}.tar.gz", tell=quiet)
        with closing(sqlite3.connect(other.database)) as db:
            seen += db.execute("SELECT a, b FROM pairs").fetchall()
    assert all(a == b for a, b in seen)
    assert seen[-1][0] > seen[0][0]


def test_a_lab_that_has_books_or_runs_is_left_as_it_is(lab, tmp_path):
    file = tmp_path / "copie.tar.gz"
    write_backup(lab, file, tell=quiet)
    with pytest.raises(SetupError, match=r"holds hub/hub\.sqlite already, and a backup replaces nothing"):
        restore_backup(lab, file, tell=quiet)
    running = layout_in(tmp_path / "en-marche")
    make_folders(running)
    lock = take_lock(running)
    with pytest.raises(SetupError, match="already runs"):
        restore_backup(running, file, tell=quiet)
    os.close(lock)
    assert not running.database.exists()


@pytest.mark.parametrize("harm", ["cut", "changed", "foreign", "text", "outside"])
def test_a_file_that_is_no_whole_backup_changes_nothing(lab, tmp_path, harm):
    file = tmp_path / "copie.tar.gz"
    write_backup(lab, file, tell=quiet)
    damage(file, harm, tmp_path)
    other = layout_in(tmp_path / "autre")
    with pytest.raises(SetupError, match=r"no whole backup|is not what was taken"):
        restore_backup(other, file, tell=quiet)
    assert not [place for place in other.hub.rglob("*") if place.is_file() and place.name != "lock"]
    assert not (tmp_path / "ailleurs").exists()


def damage(file: Path, harm: str, folder: Path) -> None:
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-200])
    elif harm == "text":
        file.write_text("pas une copie")
    elif harm == "foreign":
        with tarfile.open(file, "w:gz") as archive:
            archive.add(__file__, "hub/hub.sqlite")
    else:
        place = folder / "unpacked"
        with tarfile.open(file) as archive:
            for member in archive:
                (place / member.name).parent.mkdir(parents=True, exist_ok=True)
                (place / member.name).write_bytes(archive.extractfile(member).read())
        name = "hub/cookie_secret" if harm == "changed" else "../ailleurs"
        if harm == "outside":
            told = json.loads((place / MANIFEST).read_text())
            told["digests"][name] = told["digests"]["hub/cookie_secret"]
            (place / MANIFEST).write_text(json.dumps(told))
        with tarfile.open(file, "w:gz") as archive:
            for each in sorted(place.rglob("*")):
                if each.is_file():
                    archive.add(each, str(each.relative_to(place)))
            if harm == "changed":
                archive.add(__file__, name)
            else:
                archive.add(place / "hub/cookie_secret", name)


def test_a_full_disk_leaves_no_half_of_a_copy(lab, tmp_path):
    """The whole command, within a limit on the size of files."""
    (lab.catalogue / "items.parquet").write_bytes(os.urandom(3_000_000))
    file = tmp_path / "copie.tar.gz"
    bound = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    bound += "; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    words = ["backup", str(file), "--state", str(lab.state)]
    code = f"{bound}; import sys; from earthlab.cli import main; sys.exit(main({words!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "could not be written: File too large. Nothing was left" in done.stderr
    assert not [place for place in tmp_path.iterdir() if "copie" in place.name]


def test_where_there_is_no_lab_there_is_nothing_to_keep(tmp_path):
    with pytest.raises(SetupError, match="There is no lab in"):
        write_backup(layout_in(tmp_path / "nulle-part"), tmp_path / "copie.tar.gz", tell=quiet)


def test_the_commands_say_what_they_did(lab, tmp_path, capsys):
    from earthlab.cli import main

    file = tmp_path / "copie.tar.gz"
    assert main(["backup", str(file), "--state", str(lab.state)]) == 0
    assert "il contient des secrets" in capsys.readouterr().out
    assert main(["restore", str(file), "--state", str(tmp_path / "autre")]) == 0
    assert "hub/hub.sqlite" in capsys.readouterr().out
