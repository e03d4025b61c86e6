"""``earthlab cubes``."""

import pytest

from earthlab.cli import main
from earthlab.cube.shared import share_cube


@pytest.fixture
def cube(plan, folder, monkeypatch):
    monkeypatch.setenv("EARTHLAB__CUBES__STORE", folder)
    return share_cube(plan)


def test_the_cubes_are_listed_with_what_is_in_them(cube, capsys):
    assert main(["cubes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["token", "bands", "dates", "size"]
    assert lines[1].startswith(f"{cube.token}  red,nir  3, 2018-07-01/2018-07-03")
    assert lines[1].endswith("idle")
    assert lines[2].endswith("1 cubes")


def test_eviction_says_what_went(cube, capsys):
    assert main(["cubes", "evict"]) == 0
    assert capsys.readouterr().out.startswith("0 cubes")
    assert main(["cubes", "evict", "--to", "1 B"]) == 0
    assert capsys.readouterr().out.startswith("1 cubes")
    assert main(["cubes"]) == 0
    assert cube.token not in capsys.readouterr().out


def test_a_size_that_is_none_is_refused(cube, capsys):
    assert main(["cubes", "evict", "--to", "much"]) == 2
    assert "--to is 'much', expected a size such as \"2 GiB\"" in capsys.readouterr().err


def test_damage_is_shown(cube, capsys):
    cube.place.store.delete(cube.place.generation(cube.marker.generation) + "cube.json")
    assert main(["cubes"]) == 0
    assert "damaged" in capsys.readouterr().out
