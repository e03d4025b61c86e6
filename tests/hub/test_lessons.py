import os

import pytest

from earthlab.hub.lessons import deliver_notebooks

LESSON = "start/first.ipynb"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    (folder / "start" / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / LESSON).write_text("first")
    (folder / "start" / ".ipynb_checkpoints" / "first.ipynb").write_text("old")
    return folder


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_notebooks_arrive_without_the_authors_checkpoints(source, home):
    assert deliver_notebooks(source, home).brought == (LESSON,)
    assert [p.name for p in (home / "notebooks").rglob("*") if p.is_file()] == ["first.ipynb"]


def test_an_untouched_notebook_follows_its_new_version(source, home):
    deliver_notebooks(source, home)
    (source / LESSON).write_text("second")
    assert deliver_notebooks(source, home).brought == (LESSON,)
    assert (home / "notebooks" / LESSON).read_text() == "second"


def test_the_users_own_work_is_never_touched(source, home):
    deliver_notebooks(source, home)
    (home / "notebooks" / LESSON).write_text("mine")
    (source / LESSON).write_text("second")
    assert deliver_notebooks(source, home).kept == (LESSON,)
    assert (home / "notebooks" / LESSON).read_text() == "mine"


def test_a_file_that_was_there_before_us_is_kept(source, home):
    (home / "notebooks" / "start").mkdir(parents=True)
    (home / "notebooks" / LESSON).write_text("mine")
    assert deliver_notebooks(source, home).kept == (LESSON,)
    assert deliver_notebooks(source, home).kept == (LESSON,)
    assert (home / "notebooks" / LESSON).read_text() == "mine"


def test_a_notebook_that_was_thrown_away_comes_back_fresh(source, home):
    deliver_notebooks(source, home)
    (home / "notebooks" / LESSON).unlink()
    assert deliver_notebooks(source, home).brought == (LESSON,)


def test_nothing_new_brings_nothing(source, home):
    deliver_notebooks(source, home)
    before = (home / "notebooks" / LESSON).stat().st_mtime_ns
    assert deliver_notebooks(source, home).brought == ()
    assert (home / "notebooks" / LESSON).stat().st_mtime_ns == before


@pytest.mark.parametrize("place", ["notebooks", "notebooks/start"])
def test_a_link_in_the_place_of_a_folder_is_not_followed(source, home, tmp_path, place):
    outside = tmp_path / "outside"
    outside.mkdir()
    (home / place).parent.mkdir(exist_ok=True)
    (home / place).symlink_to(outside)
    assert deliver_notebooks(source, home).kept == (LESSON,)
    assert list(outside.iterdir()) == []


def test_a_link_in_the_place_of_a_notebook_is_neither_followed_nor_replaced(source, home, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (home / "notebooks" / "start").mkdir(parents=True)
    (home / "notebooks" / LESSON).symlink_to(victim)
    assert deliver_notebooks(source, home).kept == (LESSON,)
    assert victim.read_text() == "precious"
    assert (home / "notebooks" / LESSON).is_symlink()


@pytest.mark.parametrize("record", ["", "[1]", "nonsense", '{"start/first.ipynb": 3}'])
def test_a_spoilt_record_costs_nothing_but_caution(source, home, record):
    deliver_notebooks(source, home)
    (home / ".local/share/earthlab/notebooks.json").write_text(record)
    (source / LESSON).write_text("second")
    assert deliver_notebooks(source, home).kept == (LESSON,)


def test_a_pipe_in_the_place_of_a_notebook_does_not_hold_the_server_up(source, home):
    (home / "notebooks" / "start").mkdir(parents=True)
    os.mkfifo(home / "notebooks" / LESSON)
    assert deliver_notebooks(source, home).kept == (LESSON,)
