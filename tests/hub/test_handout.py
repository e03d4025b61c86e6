"""A seat's home: originals nobody changes by mistake, copies nobody overwrites, and nothing written elsewhere."""

import json
import stat
import time

import pytest

from earthlab.hub.handout import (
    Reception,
    deliver_handout,
    plan_handout,
    read_handout,
    reset_notebook,
)


@pytest.fixture
def handout(tmp_path):
    folder = tmp_path / "workshops" / "neige"
    rows = [{"path": "theia/a.ipynb", "part": 1}, {"path": "b.ipynb", "part": 2}]
    for row in rows:
        path = folder / "originaux" / row["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"original {row['path']}")
    (folder / "atelier.json").write_text(json.dumps({"slug": "neige", "notebooks": rows}))
    return read_handout({"EARTHLAB_WORKSHOP": str(folder)})


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_a_part_arrives_when_it_is_unlocked(handout, home):
    assert deliver_handout(handout, home) == ("theia/a.ipynb",)
    assert not (home / "neige" / "b.ipynb").exists()
    assert deliver_handout(handout, home, unlocked=2) == ("b.ipynb",)
    assert stat.S_IMODE((home / "neige" / "originaux" / "theia" / "a.ipynb").stat().st_mode) == 0o444
    assert handout.first() == "neige/theia/a.ipynb"


def test_a_copy_is_never_overwritten_and_an_original_is_mended(handout, home):
    deliver_handout(handout, home)
    own, original = home / "neige" / "theia" / "a.ipynb", home / "neige" / "originaux" / "theia" / "a.ipynb"
    own.write_text("my work")
    original.unlink()
    assert deliver_handout(handout, home) == ()
    assert own.read_text() == "my work"
    assert original.read_text() == "original theia/a.ipynb"


def test_no_link_is_followed_out_of_the_home(handout, home, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (home / "neige").symlink_to(tmp_path / "elsewhere")
    assert deliver_handout(handout, home) == ()
    reset_notebook(handout, home, "theia/a.ipynb")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_reset_keeps_what_was_there(handout, home):
    deliver_handout(handout, home)
    own = home / "neige" / "theia" / "a.ipynb"
    own.write_text("my work")
    aside = reset_notebook(handout, home, "theia/a.ipynb", clock=lambda: time.gmtime(3600 * 10 + 61))
    assert aside == own.with_name("a (avant 10h01m01).ipynb")
    assert aside.read_text() == "my work"
    assert own.read_text() == "original theia/a.ipynb"
    assert reset_notebook(handout, home, "../../x.ipynb") is None


def test_only_seats_of_workshops_are_handed_anything(layout):
    assert plan_handout(layout, "atelier-neige-2026-017") == {"EARTHLAB_WORKSHOP": str(layout.workshops / "neige-2026")}
    assert plan_handout(layout, "ada") == {}
    assert read_handout({}) is None
    assert read_handout({"EARTHLAB_WORKSHOP": str(layout.workshops / "gone")}) is None


def copies(home):
    return sorted(
        str(path.relative_to(home / "neige"))
        for path in (home / "neige").rglob("*.ipynb")
        if "originaux" not in path.parts
    )


def reset_to(number, notebook="theia/a.ipynb"):
    return {"unlocked": 1, "reset": {"number": number, "notebook": notebook, "cell": ""}}


def test_a_server_brings_the_next_part_when_it_is_told_of_it(handout, home):
    reception = Reception(handout, home)
    deliver_handout(handout, home)
    reception.take({"unlocked": 1, "reset": None})
    assert copies(home) == ["theia/a.ipynb"]
    for _ in range(2):
        reception.take({"unlocked": 2, "reset": None})
        assert copies(home) == ["b.ipynb", "theia/a.ipynb"]


def test_a_notebook_is_set_back_once_for_each_word_of_it_also_by_a_server_that_starts_anew(handout, home):
    deliver_handout(handout, home)
    own = home / "neige" / "theia" / "a.ipynb"
    own.write_text("lost")
    reception = Reception(handout, home)
    reception.take(reset_to(7))
    assert own.read_text() == "original theia/a.ipynb"
    own.write_text("my work")
    for each in (reception, Reception(handout, home)):
        each.take(reset_to(7))
        each.take(reset_to(5))
        assert own.read_text() == "my work"
    Reception(handout, home).take(reset_to(8))
    assert own.read_text() == "original theia/a.ipynb"


@pytest.mark.parametrize("said", ["", "seven", "-3"])
def test_a_record_that_says_nothing_is_as_none(handout, home, said):
    deliver_handout(handout, home)
    own = home / "neige" / "theia" / "a.ipynb"
    own.write_text("lost")
    (home / "neige" / ".derniere-remise").write_text(said)
    Reception(handout, home).take(reset_to(1))
    assert own.read_text() == "original theia/a.ipynb"


def test_the_record_of_resets_is_not_written_through_a_link(handout, home, tmp_path):
    deliver_handout(handout, home)
    (home / "neige" / ".derniere-remise").symlink_to(tmp_path / "elsewhere")
    reception = Reception(handout, home)
    own = home / "neige" / "theia" / "a.ipynb"
    reception.take(reset_to(3))
    own.write_text("my work")
    reception.take(reset_to(3))
    assert own.read_text() == "my work"
    assert not (tmp_path / "elsewhere").exists()


def test_a_home_that_takes_nothing_in_is_asked_again(handout, home):
    deliver_handout(handout, home)
    (home / "neige" / ".b.ipynb.arriving").mkdir()
    reception = Reception(handout, home)
    with pytest.raises(OSError, match="arriving"):
        reception.take({"unlocked": 2, "reset": None})
    (home / "neige" / ".b.ipynb.arriving").rmdir()
    reception.take({"unlocked": 2, "reset": None})
    assert "b.ipynb" in copies(home)


def test_kernels_of_a_seat_are_told_what_was_warmed(layout):
    folder = layout.workshops / "neige"
    folder.mkdir(parents=True)
    (folder / "atelier.json").write_text(json.dumps({"warmed": ["0a", "1b"]}))
    assert plan_handout(layout, "atelier-neige-001")["EARTHLAB__CUBES__WARMED"] == "0a,1b"
