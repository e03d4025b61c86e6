"""Notebooks come from the lab, or from a repository at one commit: nothing of it is run, and nothing else is opened."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from earthlab.errors import BadRequest, NothingFound
from earthlab.hub.handout import remove_handout, write_handout
from earthlab.hub.layout import shipped
from earthlab.services.workshops import material
from earthlab.services.workshops.material import Shelf, read_document, read_material, write_material
from earthlab.services.workshops.text import Notebook, Source, parse_workshop
from tests.services.workshops.conftest import TEXT


def notebook(*cells, **more):
    return json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 4, **more})


def code(source, **more):
    return {"cell_type": "code", "source": source, "outputs": [{"text": "old"}], "execution_count": 3, **more}


@pytest.fixture
def git(tmp_path):
    folder = tmp_path / "repositories" / "course"
    folder.mkdir(parents=True)
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": "/dev/null",
        **{f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def run(*words):
        return subprocess.run(["git", "-C", folder, *words], env=env, check=True, capture_output=True, text=True).stdout

    run("init", "-q", ".")
    (folder / "a").mkdir()
    (folder / "a" / "b.ipynb").write_text(notebook(code("1 + 1")))
    (folder / "link.ipynb").symlink_to("/etc/passwd")
    (folder / "large.ipynb").write_text(notebook(code("x" * 2000)))
    run("add", ".")
    run("commit", "-q", "-m", "one")
    return folder, run("rev-parse", "HEAD").strip(), run


@pytest.fixture
def shelf(tmp_path):
    return Shelf(shipped("notebooks"), tmp_path / "mirrors", tmp_path / "repositories")


def workshop_of(*rows):
    head = TEXT.partition("[[notebooks]]")[0]
    return parse_workshop(head + "".join(f"[[notebooks]]\n{row}\n" for row in rows))


def test_the_labs_own_notebooks_are_handed_out_without_outputs(shelf, workshop):
    first, second = shelf.gather(workshop)
    assert first.lesson.path == "theia/neige.ipynb"
    assert second.lesson.part == 2
    cells = json.loads(first.text)["cells"]
    assert {cell["id"] for cell in cells} >= set(first.lesson.cells)
    assert all(not cell.get("outputs") for cell in cells)
    assert "start/premiers-pas.ipynb" in shelf.list_lab()


def test_a_repository_is_fetched_once_at_its_commit(shelf, git):
    folder, commit, run = git
    workshop = workshop_of(f'path = "a/b.ipynb"\ngit = "file://{folder}"\ncommit = "{commit}"')
    assert shelf.gather(workshop)[0].lesson.cells == ("cellule-1",)
    run("rm", "-q", "a/b.ipynb")
    run("commit", "-q", "-m", "two")
    (folder / ".git").rename(folder / "gone")
    assert shelf.gather(workshop)[0].lesson.cells == ("cellule-1",)
    assert [path.name for path in shelf.mirrors.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("path", ["link.ipynb", "missing.ipynb"])
def test_links_and_what_is_not_there_are_refused(shelf, git, path):
    folder, commit, _ = git
    with pytest.raises(BadRequest, match=path):
        shelf.gather(workshop_of(f'path = "{path}"\ngit = "file://{folder}"\ncommit = "{commit}"'))


def test_what_is_too_large_is_refused(shelf, git, monkeypatch):
    folder, commit, _ = git
    monkeypatch.setattr(material, "LARGEST_NOTEBOOK", 1000)
    with pytest.raises(BadRequest, match=r"large\.ipynb .*is larger"):
        shelf.gather(workshop_of(f'path = "large.ipynb"\ngit = "file://{folder}"\ncommit = "{commit}"'))


def test_an_unknown_commit_leaves_no_mirror(shelf, git):
    folder, _, _ = git
    with pytest.raises(BadRequest, match=r"fetch .*failed"):
        shelf.gather(workshop_of(f'path = "a/b.ipynb"\ngit = "file://{folder}"\ncommit = "{"0" * 40}"'))
    assert list(shelf.mirrors.iterdir()) == []


def test_folders_elsewhere_are_not_opened(shelf, git, tmp_path):
    folder, commit, _ = git
    row = f'path = "a/b.ipynb"\ngit = "file://{folder}"\ncommit = "{commit}"'
    for elsewhere in (None, tmp_path / "other"):
        with pytest.raises(BadRequest, match=r"workshops\.repositories"):
            Shelf(shelf.lab, shelf.mirrors, elsewhere).gather(workshop_of(row))
    (tmp_path / "repositories" / "way-out").symlink_to(tmp_path)
    with pytest.raises(BadRequest, match=r"workshops\.repositories"):
        Shelf(shelf.lab, shelf.mirrors, tmp_path / "repositories" / "x").gather(workshop_of(row))


def test_no_hook_and_no_configuration_of_a_repository_is_run(shelf, git, tmp_path):
    folder, commit, run = git
    sign = tmp_path / "ran"
    hook = folder / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {sign}\n")
    hook.chmod(0o755)
    run("config", "uploadpack.packObjectsHook", f"touch {sign};")
    run("config", "core.fsmonitor", f"touch {sign}")
    shelf.gather(workshop_of(f'path = "a/b.ipynb"\ngit = "file://{folder}"\ncommit = "{commit}"'))
    assert not sign.exists()


def test_git_believes_the_authorities_that_the_lab_was_given(tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(BadRequest, match="config"):
        material.run_git(tmp_path, "config", "http.sslCAInfo")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/trust/ca.crt")
    assert material.run_git(tmp_path, "config", "http.sslCAInfo") == b"/etc/trust/ca.crt\n"


def test_only_https_and_files_are_spoken(tmp_path):
    with pytest.raises(BadRequest, match=r"fetch .*failed"):
        material.fetch(Source("http://127.0.0.1:9/a", "0" * 40), tmp_path / "m" / "x")
    with pytest.raises(BadRequest, match=r"fetch .*failed"):
        material.fetch(Source(f"ext::touch {tmp_path}/ran", "0" * 40), tmp_path / "m" / "x")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b'{"cells": 1}', notebook().encode(), notebook(code("")).encode(), b"[" * 50_000,
        notebook(code("1"), nbformat=3).encode(), notebook(code("1", id="a"), code("2", id="a")).encode(),
        notebook({"source": "1"}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_notebook_is_refused_by_its_name(content):
    with pytest.raises(BadRequest, match=r"x\.ipynb"):
        read_document(content, Notebook("x.ipynb"))


def test_a_checkpoint_must_be_a_cell():
    with pytest.raises(BadRequest, match="c9"):
        read_document(notebook(code("1", id="c1")).encode(), Notebook("x.ipynb", checkpoints=("c9",)))


def test_every_account_may_read_the_material_and_nobody_change_it(shelf, workshop, tmp_path):
    folder = tmp_path / "workshops" / "neige"
    for _ in range(2):
        write_material(folder, workshop, shelf.gather(workshop))
    said = json.loads((folder / "atelier.json").read_text())
    assert said["slug"] == "neige"
    assert said["title"] == "Neige des Pyrénées · Snow of the Pyrenees"
    assert said["contact"] == "atelier@example.org"
    assert [row["path"] for row in said["notebooks"]] == ["theia/neige.ipynb", "theia/glacier.ipynb"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o644}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    for _ in range(2):
        remove_handout(folder)
    assert [path.name for path in Path(folder.parent).iterdir()] == []


def test_what_is_laid_out_is_read_as_one_and_laid_out_elsewhere_is_the_same(shelf, workshop, tmp_path):
    folder, elsewhere = tmp_path / "here" / "neige", tmp_path / "there" / "neige"
    write_material(folder, workshop, shelf.gather(workshop), warmed=("abc",))
    write_handout(elsewhere, **read_material(folder))
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 3
    for file in files:
        assert json.loads((elsewhere / file).read_text()) == json.loads((folder / file).read_text())
    with pytest.raises(NothingFound, match="nothing is handed out"):
        read_material(tmp_path / "nowhere")


def test_material_of_which_a_notebook_is_missing_leaves_what_was_there(shelf, workshop, tmp_path):
    folder = tmp_path / "workshops" / "neige"
    write_material(folder, workshop, shelf.gather(workshop))
    before = (folder / "atelier.json").read_text()
    found = read_material(folder)
    with pytest.raises(KeyError):
        write_handout(folder, found["manifest"] | {"slug": "autre"}, {})
    assert (folder / "atelier.json").read_text() == before
    assert [path.name for path in folder.parent.iterdir()] == ["neige"]
