"""The gallery: cards of the lab's notebooks, their pictures, and copies that overwrite nothing."""

import base64
import io
import json
import os
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from PIL import Image

from earthlab.errors import AskLess, NothingFound, SetupError
from earthlab_lab import gallery
from earthlab_lab.gallery import (
    CARDS,
    LEVELS,
    MOST_PICTURE,
    Shelf,
    estimate_minutes,
    shipped_notebooks,
)

OPENING = """# Glacier : à quelle vitesse coule-t-il ?

Un **glacier** coule.
Il accélère.

*In English: how fast does a glacier flow? It is measured.*
"""


def picture(width=1600, height=900, *, noise=False):
    """A constructed picture as notebooks keep them."""
    content = os.urandom(width * height * 3) if noise else bytes(width * height * 3)
    written = io.BytesIO()
    Image.frombytes("RGB", (width, height), content).save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def notebook(*cells, **told):
    return {"cells": list(cells), "metadata": {"earthlab": told} if told else {}, "nbformat": 4, "nbformat_minor": 5}


def words(source):
    return {"cell_type": "markdown", "source": source}


def code(source, *pictures):
    outputs = [{"output_type": "display_data", "data": {"image/png": each}} for each in pictures]
    return {"cell_type": "code", "source": source.splitlines(keepends=True), "outputs": outputs}


@pytest.fixture
def shelf(tmp_path):
    """A shelf of constructed notebooks, and a home that is empty."""
    for folder in ("lab/theia", "lab/start", "home"):
        (tmp_path / folder).mkdir(parents=True)
    found = Shelf(tmp_path / "lab", tmp_path / "home", tmp_path / "pictures")
    put(found, "theia/glacier", notebook(words(OPENING), code("a = 1\n\nb = 2")))
    return found


def put(shelf, name, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (shelf.folder / f"{name}.ipynb").write_text(text, encoding="utf-8")


def test_a_notebook_that_says_nothing_of_itself_is_told_by_its_first_cell(shelf):
    (card,) = shelf.cards()
    Draft202012Validator(CARDS).validate([card])
    assert card["title"] == {"fr": "Glacier", "en": ""}
    assert card["question"]["fr"] == "à quelle vitesse coule-t-il ?"
    assert card["summary"] == {
        "fr": "Un glacier coule. Il accélère.",
        "en": "How fast does a glacier flow? It is measured.",
    }
    assert (card["level"], card["languages"], card["picture"]) == (None, ["fr"], False)
    assert card["pole_title"]["fr"] == "THEIA – surfaces continentales"


def test_what_a_notebook_says_of_itself_comes_before_what_is_read_from_it(shelf):
    put(shelf, "theia/neige", notebook(words(OPENING), title={"fr": "Neige", "en": "Snow"}, level="avancé"))
    put(shelf, "theia/lac", notebook(words("no heading"), level="très dur"))
    cards = {card["id"]: card for card in shelf.cards()}
    assert cards["theia/neige"]["title"] == {"fr": "Neige", "en": "Snow"}
    assert cards["theia/neige"]["level"] == "avancé"
    assert (cards["theia/lac"]["title"]["fr"], cards["theia/lac"]["level"]) == ("theia/lac", None)


def test_what_begins_comes_first_and_the_easy_before_the_hard(shelf):
    put(shelf, "start/premiers-pas", notebook(words(OPENING), level="avancé"))
    put(shelf, "theia/abc", notebook(words(OPENING), level="avancé"))
    put(shelf, "theia/xyz", notebook(words(OPENING), level="début"))
    assert [card["id"] for card in shelf.cards()] == ["start/premiers-pas", "theia/xyz", "theia/abc", "theia/glacier"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"cells": []}', '{"cells": 7}'])
def test_a_file_that_is_no_notebook_does_not_hide_the_others(shelf, content):
    put(shelf, "theia/broken", content)
    assert [card["id"] for card in shelf.cards()] == ["theia/glacier"]


def test_reading_takes_as_long_as_the_text_and_the_code_are():
    assert estimate_minutes(notebook(words("mot " * 2000), code("x = 1\n" * 50))) == 15
    assert estimate_minutes(notebook(code("\n\n"))) == 1


def test_a_picture_of_the_outputs_is_shown_small(shelf):
    put(shelf, "theia/glacier", notebook(words(OPENING), code("plot()", "no picture", picture())))
    found = shelf.picture("theia/glacier")
    assert len(found) <= MOST_PICTURE
    with Image.open(io.BytesIO(found)) as seen:
        assert (seen.format, seen.size) == ("WEBP", (480, 270))
    assert shelf.cards()[0]["picture"]


def test_a_picture_that_cannot_be_made_small_enough_is_none(shelf, monkeypatch):
    monkeypatch.setattr(gallery, "MOST_PICTURE", 500)
    put(shelf, "theia/glacier", notebook(words(OPENING), code("plot()", picture(noise=True))))
    with pytest.raises(NothingFound, match="has no picture"):
        shelf.picture("theia/glacier")


def test_a_notebook_without_a_picture_has_none(shelf):
    with pytest.raises(NothingFound, match="theia/glacier has no picture"):
        shelf.picture("theia/glacier")


def test_a_picture_that_comes_with_the_lab_stands_in(shelf):
    shelf.pictures.mkdir()
    (shelf.pictures / "theia--glacier.webp").write_bytes(b"drawn before")
    assert shelf.picture("theia/glacier") == b"drawn before"
    assert shelf.cards()[0]["picture"]


def test_pictures_are_kept_and_read_anew_when_the_notebook_changes(shelf):
    put(shelf, "theia/glacier", notebook(words(OPENING), code("plot()", picture())))
    first = shelf.picture("theia/glacier")
    assert shelf.picture("theia/glacier") is first
    put(shelf, "theia/glacier", notebook(words(OPENING), code("plot()", picture(400, 400))))
    os.utime(shelf.folder / "theia/glacier.ipynb", ns=(1, 1))
    assert shelf.picture("theia/glacier") != first


def test_a_copy_lies_beside_what_is_there_and_overwrites_nothing(shelf):
    source = (shelf.folder / "theia/glacier.ipynb").read_bytes()
    own = shelf.home / "notebooks/theia/glacier.ipynb"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    places = [shelf.copy("theia/glacier") for _ in range(3)]
    assert places == [f"notebooks/theia/glacier-copie{end}.ipynb" for end in ("", "-2", "-3")]
    assert own.read_text() == "mine"
    (shelf.home / places[1]).write_text("worked on")
    assert shelf.copy("theia/glacier").endswith("-4.ipynb")
    assert (shelf.home / places[1]).read_text() == "worked on"
    assert (shelf.home / places[2]).read_bytes() == source


def test_a_copy_follows_no_link(shelf, tmp_path):
    (shelf.home / "notebooks/theia").mkdir(parents=True)
    (shelf.home / "notebooks/theia/glacier-copie.ipynb").symlink_to(tmp_path / "elsewhere")
    assert shelf.copy("theia/glacier") == "notebooks/theia/glacier-copie-2.ipynb"
    assert not (tmp_path / "elsewhere").exists()


def test_there_is_an_end_to_copies(shelf, monkeypatch):
    monkeypatch.setattr(gallery, "_MOST_COPIES", 2)
    assert [shelf.copy("theia/glacier") for _ in range(2)]
    with pytest.raises(AskLess, match=r"already have 2 copies of glacier\.ipynb: delete some"):
        shelf.copy("theia/glacier")


def test_a_home_that_takes_nothing_in_is_said_in_words(shelf):
    (shelf.home / "notebooks").write_text("a file in the way")
    with pytest.raises(SetupError, match=r"could not be written \(.*\): make room"):
        shelf.copy("theia/glacier")


def test_half_a_copy_is_taken_away_again(shelf):
    put(shelf, "theia/glacier", notebook(words(OPENING + "long " * 10_000)))
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
    try:
        with pytest.raises(SetupError, match="make room in your home"):
            shelf.copy("theia/glacier")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))
    assert list((shelf.home / "notebooks/theia").iterdir()) == []


@given(
    st.one_of(st.text(), st.sampled_from(["../lab/theia/glacier", "theia/../theia/glacier", "/etc/passwd", "theia"]))
)
def test_a_notebook_is_named_out_of_the_list_and_by_no_path(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp() / "listed"
    (folder / "theia").mkdir(parents=True, exist_ok=True)
    (folder / "theia/glacier.ipynb").write_text("{}")
    shelf = Shelf(folder, folder / "home")
    for ask in (shelf.copy, shelf.picture):
        with pytest.raises(NothingFound, match="choose one in the gallery"):
            ask(name)
    assert not (folder / "home").exists()


def test_the_lab_s_own_notebooks_are_told_in_both_languages(ask):
    cards = ask("GET", "gallery").said
    Draft202012Validator(CARDS).validate(cards)
    assert cards[0]["id"] == "start/premiers-pas"
    assert {card["pole"] for card in cards} == {"start", "aeris", "dinamis", "formater", "odatis", "pndb", "theia"}
    for card in cards:
        assert card["level"] in LEVELS
        for told in ("title", "question", "summary", "pole_title"):
            assert all(card[told].values()), (card["id"], told)
        assert card["picture"]


def test_a_copy_is_made_where_jupyterlab_opens_it(ask, jp_root_dir):
    path = ask("POST", "gallery/copy", {"id": "theia/neige"}).said["path"]
    assert path == "notebooks/theia/neige-copie.ipynb"
    assert json.loads((jp_root_dir / path).read_text(encoding="utf-8"))["cells"]


def test_every_picture_of_a_card_is_there_and_small(ask):
    for card in ask("GET", "gallery").said:
        answer = ask("GET", f"gallery/{card['id']}/picture")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/webp")
        assert "max-age" in answer.headers["Cache-Control"]
        assert len(answer.body) <= MOST_PICTURE


def test_the_cell_whose_picture_is_shown_is_one_of_the_notebook_s():
    for path in shipped_notebooks().glob("*/*.ipynb"):
        found = json.loads(path.read_text(encoding="utf-8"))
        chosen = found["metadata"]["earthlab"]["picture"]
        assert [cell["cell_type"] for cell in found["cells"] if cell["id"] == chosen] == ["code"]


@pytest.mark.parametrize("path", ["gallery/theia/none/picture", "gallery/start/nowhere/picture"])
def test_what_is_not_in_the_list_is_refused_in_words(ask, path):
    refused = ask("GET", path)
    assert (refused.status, refused.said["code"]) == (404, "NothingFound")
    assert ask("POST", "gallery/copy", {"id": "../../etc/passwd"}).status == 404
    assert ask("POST", "gallery/copy", {"id": "theia/neige", "path": "x"}).status == 400
