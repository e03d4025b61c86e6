"""The organiser's work from a shell: the same book, the same passes, codes on paper only."""

import stat

import pytest

from earthlab.cli import main
from earthlab.hub.passes import PassStore
from earthlab.services.workshops.text import to_toml
from earthlab.testing.workshops import workshop_now
from tests.services.workshops.serving import make_desk


@pytest.fixture
def run(bare_environment, tmp_path, capsys):
    make_desk(tmp_path / "lab").store.close()
    (tmp_path / "neige.toml").write_text(to_toml(workshop_now()))

    def command(*words):
        code = main(["workshop", *map(str, words), "--state", str(tmp_path / "lab")])
        said = capsys.readouterr()
        return code, said.out + said.err

    return command


def test_a_workshop_from_a_file_to_its_sheet(run, tmp_path):
    assert run("new", tmp_path / "neige.toml")[0] == 0
    assert "neige: brouillon · draft" in run()[1]
    assert 'slug = "neige"' in run("show", "neige")[1]
    (tmp_path / "shared.toml").write_text(to_toml(workshop_now(workers=2)))
    assert "shared cluster: 2 workers" in run("edit", tmp_path / "shared.toml")[1]
    code, said = run("open", "neige", "--sheet", tmp_path / "passes.pdf")
    assert (code, said.strip()) == (0, str(tmp_path / "passes.pdf"))
    assert (tmp_path / "passes.pdf").read_bytes().startswith(b"%PDF")
    assert stat.S_IMODE((tmp_path / "passes.pdf").stat().st_mode) == 0o600
    assert "ouvert · open" in run("list")[1]
    assert "/hub/entree?token=" in run("link", "neige")[1]
    said = run("passes", "neige", "--seat", "2")[1]
    assert said.startswith("2: ")
    store = PassStore(tmp_path / "lab" / "hub" / "passes.sqlite")
    assert store.claim(said[3:].strip()).seat == 2
    assert run("passes", "neige", "--sheet", tmp_path / "more.pdf")[0] == 0
    assert run("extend", "neige", "--minutes", "60")[0] == 0
    assert "terminé · over" in run("close", "neige")[1]
    assert run("forget", "neige")[0] == 0


def test_refusals_are_one_line_and_make_no_codes(run, tmp_path):
    assert run("show", "brume")[0] == 2
    assert run("open")[0] == 2
    assert run("new", tmp_path / "missing.toml")[0] == 2
    run("new", tmp_path / "neige.toml")
    (tmp_path / "there.pdf").touch()
    code, said = run("open", "neige", "--sheet", tmp_path / "there.pdf")
    assert (code, said.count("\n")) == (2, 1)
    assert "brouillon · draft" in run("list")[1]
    assert run("link", "neige")[0] == 2


def test_without_a_lab_the_way_to_one_is_told(bare_environment, tmp_path, capsys):
    assert main(["workshop", "--state", str(tmp_path / "none")]) == 2
    assert "make lab" in capsys.readouterr().err
