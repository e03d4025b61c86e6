"""What a warm-up has found, and what an organiser is told of it."""

from dataclasses import replace

import pytest

from earthlab.services.workshops.warmth import (
    CellRun,
    CubeUse,
    Outside,
    Warmth,
    compile_warmth,
    goes,
    judge_warmth,
    list_warmth,
    parse_warmth,
    prove,
)

GOOD = Warmth(
    cells=(CellRun("a.ipynb", "c1", 1.5, 100 * 2**20), CellRun("a.ipynb", "c2", 2.0, 300 * 2**20)), cut="passed"
)
SEAT = 512 * 2**20


def said(warmth, seat=SEAT):
    reasons = judge_warmth(warmth, seat)
    return goes(reasons), "\n".join(f"{it.french}\n{it.english}" for it in reasons)


def test_a_workshop_whose_cells_ran_and_fit_is_ready():
    go, words = said(GOOD)
    assert go
    assert "Les 2 cellules ont tourné, en 4 s." in words
    assert "300 MiB" in words


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (replace(GOOD, cells=(*GOOD.cells, CellRun("b.ipynb", "c9", 1, 0, "KeyError", "'x'"))), "b.ipynb [c9] échoue"),
        (replace(GOOD, cells=(CellRun("b.ipynb", "c9", 1, 0, "KernelDied"),)), "there was probably not enough memory"),
        (replace(GOOD, cells=(CellRun("b.ipynb", "c9", 1, 600 * 2**20),)), "at most 600 MiB of memory (b.ipynb [c9])"),
        (replace(GOOD, cubes=(CubeUse("0a1b2c3d4e", ("S2",), state="large", words="9 GiB"),)), "S2 [0a1b2c3d]"),
        (replace(GOOD, cubes=(CubeUse("0a1b2c3d4e", ("S2",), state="faulty", words="404"),)), "a des trous : 404"),
        (replace(GOOD, faults=("a.ipynb: s, red: 404",)), "pixels are missing: a.ipynb: s, red: 404"),
        (replace(GOOD, broken="OSError"), "broke off: OSError"),
        (
            replace(GOOD, cut="failed", cut_failures=("a [c1] E",), outside=(Outside("x.org", "catalogue", "a"),)),
            "x.org (catalogue)",
        ),
    ],
)
def test_whatever_stands_in_the_way_is_named_with_its_cell(found, named):
    go, words = said(found)
    assert not go
    assert named in words


def test_what_could_not_be_tried_stands_in_nobodys_way():
    go, words = said(replace(GOOD, cut="impossible"))
    assert go
    assert "not tried" in words


def test_lines_of_a_trial_add_up():
    cell = {"notebook": "a", "cell": "c", "seconds": 1.0, "memory": 2, "error": "", "words": ""}
    cube = {"token": "0a", "collections": ["S2"], "bands": ["red"], "dates": 2, "shape": [3, 4], "bytes": 96}
    lines = [
        {"kind": "begin", "number": 1, "of": 1, "notebook": "a", "cell": "c"},
        {"kind": "item", "notebook": "a", "cell": "c", "collection": "S2", "item": "i", "assets": ["B04"]},
        {"kind": "item", "notebook": "a", "cell": "c", "collection": "S2", "item": "i", "assets": ["B03"]},
        {"kind": "cube", "notebook": "a", "cell": "c", "share": True, **cube},
        {"kind": "shared", "token": "0a", "built": True},
        {"kind": "shared", "token": "0a", "built": False},
        {"kind": "shared", "token": "1b", "built": False},
        {"kind": "read", "bytes": 10},
        {"kind": "read", "bytes": 5},
        {"kind": "cell", **cell},
        {"kind": "end"},
    ]
    found = compile_warmth(lines)
    assert found.items[0].assets == ("B03", "B04")
    assert found.cubes == (CubeUse("0a", ("S2",), ("red",), 2, (3, 4), 96, "built"), CubeUse("1b", state="found"))
    assert (found.read, found.warmed) == (15, ("0a", "1b"))
    assert parse_warmth(found.to_json()) == found
    assert any("S2 / i: B03, B04" in line for line in list_warmth(found))
    assert prove(found, lines).cut == "passed"
    assert prove(found, lines[:-1]).cut == "failed"
    assert prove(found, None).cut == "impossible"
