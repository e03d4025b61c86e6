"""What people take home: their own plain files, bounded, and words that say how to go on."""

import io
import os
import subprocess
import sys
import zipfile

import pytest

from earthlab.services.workshops import takehome
from earthlab.services.workshops.takehome import write_takehome


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home" / "neige"
    (folder / "theia").mkdir(parents=True)
    (folder / "theia" / "neige.ipynb").write_text("my work")
    (folder / "carte.png").write_bytes(b"png")
    for unwanted in ("originaux", ".ipynb_checkpoints"):
        (folder / unwanted).mkdir()
        (folder / unwanted / "x.ipynb").write_text("unwanted")
    return tmp_path / "home"


def take(home):
    output = io.BytesIO()
    left_out = write_takehome(str(home), "neige", "Neige des Pyrénées", "contact@example.org", output)
    return zipfile.ZipFile(output), left_out


def test_people_take_their_own_work_and_the_way_on(home):
    archive, left_out = take(home)
    assert sorted(archive.namelist()) == ["neige/LISEZMOI-README.md", "neige/carte.png", "neige/theia/neige.ipynb"]
    assert archive.read("neige/theia/neige.ipynb") == b"my work"
    words = archive.read("neige/LISEZMOI-README.md").decode()
    assert "Neige des Pyrénées" in words
    assert words.count("contact@example.org") == 2
    assert left_out == []


def test_no_link_is_followed_and_no_pipe_is_waited_for(home, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    (home / "neige" / "folder").symlink_to(tmp_path / "secret")
    (home / "neige" / "key").symlink_to(tmp_path / "secret" / "key")
    os.mkfifo(home / "neige" / "pipe")
    assert len(take(home)[0].namelist()) == 3
    (home / "neige").rename(home / "other")
    (home / "neige").symlink_to(tmp_path / "secret")
    assert take(home)[0].namelist() == ["neige/LISEZMOI-README.md"]


def test_what_is_too_much_is_left_out_and_named(home, monkeypatch):
    monkeypatch.setattr(takehome, "LARGEST_FILE", 5)
    archive, left_out = take(home)
    assert left_out == ["neige/theia/neige.ipynb"]
    assert "neige/theia/neige.ipynb" in archive.read("neige/LISEZMOI-README.md").decode()
    monkeypatch.setattr(takehome, "MOST_FILES", 0)
    assert len(take(home)[1]) == 2


def test_who_has_nothing_takes_the_words_home(tmp_path):
    assert take(tmp_path / "gone")[0].namelist() == ["neige/LISEZMOI-README.md"]


def test_it_runs_as_a_process_of_its_own(home):
    command = [sys.executable, "-P", "-m", "earthlab.services.workshops.takehome", "neige", "Neige", "a@b.c"]
    done = subprocess.run(command, cwd=home, capture_output=True, check=True)
    assert "neige/carte.png" in zipfile.ZipFile(io.BytesIO(done.stdout)).namelist()
