"""The catalogue as other STAC services load it: all of it, each document by itself, and by the command."""

import json

import pystac
import pytest

from earthlab.cli import main
from earthlab.errors import SetupError
from earthlab.services.stac import export
from earthlab.services.stac.export import COLLECTIONS, ITEMS, export_catalogue
from earthlab.services.stac.search import Search
from earthlab.services.stac.store import Store
from tests.services.stac.conftest import unseen


def read(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("at_a_time", [1, 7, 2000])
def test_every_item_and_collection_is_written_once_as_it_is_found(catalogue, tmp_path, monkeypatch, at_a_time):
    monkeypatch.setattr(export, "_AT_A_TIME", at_a_time)
    steps = []
    report = export_catalogue(catalogue, tmp_path / "out", lambda *step: steps.append(step))
    store = Store(catalogue)
    found = store.find(Search(limit=10_000))
    items = read(tmp_path / "out" / ITEMS)
    assert sorted(items, key=lambda it: (it["collection"], it["id"])) == sorted(
        found.items, key=lambda it: (it["collection"], it["id"])
    )
    assert {each["id"]: each for each in read(tmp_path / "out" / COLLECTIONS)} == store.collections()
    assert (report.collections, report.items) == (len(store.collections()), found.matched)
    assert steps[-1] == ("items", found.matched, found.matched)


def test_what_is_written_is_stac_and_names_files_that_are_there(catalogue, tmp_path):
    export_catalogue(catalogue, tmp_path, unseen)
    for document in read(tmp_path / ITEMS):
        item = pystac.Item.from_dict(document)
        assert item.collection_id
        for asset in item.assets.values():
            assert asset.href.startswith(("https://", str(catalogue))), asset.href
    for document in read(tmp_path / COLLECTIONS):
        assert pystac.Collection.from_dict(document).extent.spatial.bboxes


def test_the_command_says_how_much_and_replaces_what_was_there(catalogue, tmp_path, capsys):
    (tmp_path / ITEMS).write_text("of before")
    assert main(["catalogue", "export", str(tmp_path), "--state", str(catalogue.parent)]) == 0
    assert f"{len(read(tmp_path / ITEMS)):,} items were written" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == [COLLECTIONS, ITEMS]


def test_where_nothing_can_be_written_or_read_it_is_said_and_nothing_is_left(catalogue, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match="could not be written"):
        export_catalogue(catalogue, tmp_path / "file", unseen)
    with pytest.raises(SetupError, match="earthlab catalogue build"):
        export_catalogue(tmp_path / "nowhere", tmp_path, unseen)

    def break_off(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_catalogue(catalogue, tmp_path / "out", break_off)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [COLLECTIONS]
