"""Notebooks of a home that is full."""

import sqlite3

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from earthlab.hub.contents import HomeContents


@pytest.fixture
def contents(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    found = HomeContents(root_dir=str(tmp_path))
    yield found
    found.notary.close()


def notebook(text):
    shown = new_output("display_data", {"text/html": "<b>ici</b>"})
    return new_notebook(cells=[new_code_cell(text, outputs=[shown], metadata={"trusted": True})])


class Full:
    """A database on a full disk."""

    def __init__(self, real):
        self.real = real

    def execute(self, words, *values):
        if not words.lstrip().startswith("SELECT"):
            raise sqlite3.OperationalError("database or disk is full")
        return self.real.execute(words, *values)

    def __getattr__(self, name):
        return getattr(self.real, name)


async def test_on_a_full_disk_notebooks_open_and_save_and_only_their_trust_is_not_kept(contents, caplog):
    await contents.save({"type": "notebook", "format": "json", "content": notebook("1")}, "a.ipynb")
    known = await contents.get("a.ipynb")
    assert known["content"]["cells"][0]["metadata"]["trusted"]

    contents.notary.store.db = Full(contents.notary.store.db)
    again = await contents.get("a.ipynb")
    assert again["content"]["cells"][0]["source"] == "1"
    assert not again["content"]["cells"][0]["metadata"]["trusted"]
    await contents.save({"type": "notebook", "format": "json", "content": notebook("2")}, "a.ipynb")
    assert (await contents.get("a.ipynb"))["content"]["cells"][0]["source"] == "2"
    assert "is the home full?" in caplog.text
