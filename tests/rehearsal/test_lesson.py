"""A notebook becomes cells in order; what is none is refused by name."""

import json
from pathlib import Path

import nbformat
import pytest

from earthlab.errors import BadRequest
from earthlab.rehearsal.lesson import parse_lesson, read_lesson

ROOT = Path(__file__).resolve().parents[2]


def _notebook(*cells: dict, **metadata: object) -> str:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": list(cells)})


def test_every_code_cell_of_a_real_notebook_comes_in_order() -> None:
    path = ROOT / "notebooks" / "start" / "premiers-pas.ipynb"
    lesson = read_lesson(path, "notebooks/start/premiers-pas.ipynb")
    expected = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.code for cell in lesson.cells] == expected
    assert [cell.number for cell in lesson.cells] == list(range(1, len(expected) + 1))
    assert lesson.kernel == "earthlab"


def test_what_is_read_before_a_cell_counts_and_a_cell_may_be_meant_to_fail() -> None:
    text = _notebook(
        {"cell_type": "markdown", "source": ["one two ", "three"]},
        {"cell_type": "code", "source": "x = 1", "metadata": {}},
        {"cell_type": "code", "source": ["1 / 0"], "metadata": {"tags": ["raises-exception"]}},
        {"cell_type": "code", "source": "  ", "metadata": {}},
    )
    first, second = parse_lesson(text, "a.ipynb").cells
    assert (first.reading, first.may_fail) == (6, False)
    assert (second.code, second.reading, second.may_fail) == ("1 / 0", 3, True)


def test_a_stranger_s_notebook_goes_into_a_folder_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.ipynb"
    path.write_text(_notebook({"cell_type": "code", "source": "1"}), encoding="utf-8")
    assert read_lesson(path).path == "repetition/mine.ipynb"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 3}', '"text"'])
def test_what_is_no_notebook_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match=r"a\.ipynb: is not a notebook"):
        parse_lesson(text, "a.ipynb")


def test_a_notebook_without_code_is_refused() -> None:
    with pytest.raises(BadRequest, match="no code cell"):
        parse_lesson(_notebook({"cell_type": "markdown", "source": "words"}), "a.ipynb")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"nowhere\.ipynb"):
        read_lesson(tmp_path / "nowhere.ipynb")
