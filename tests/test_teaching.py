"""Checks and exercises: what they print, what they refuse, what they record."""

import json

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.teaching import CheckFailed, check, exercise


def test_a_figure_within_its_tolerance_is_printed_beside_its_reference(capsys):
    check("volume / volume", 0.0081, 0.008, tolerance=0.002, unit="km³", source="Hydroweb")
    assert capsys.readouterr().out == (
        "✓ volume / volume : 0.008 km³ · référence / reference 0.008 km³, ± 0.002 km³ (Hydroweb)\n"
    )


def test_several_figures_are_compared_one_by_one_and_the_first_are_shown(capsys):
    check("médianes", da.arange(10, chunks=3), np.arange(10), tolerance=0)
    assert "0 1 2 3 4 5 6 7 … (10)" in capsys.readouterr().out
    with pytest.raises(CheckFailed, match="largest difference is 1"):
        check("médianes", np.arange(3), [0, 1, 3], tolerance=0.5)


def test_a_figure_that_is_missing_fails():
    with pytest.raises(CheckFailed):
        check("moyenne", np.nan, 1.0, tolerance=10)


def test_a_relative_tolerance_is_a_share_of_the_reference(capsys):
    check("débit", 101, 100, tolerance=0.02, relative=True)
    assert "± 2 %" in capsys.readouterr().out
    with pytest.raises(CheckFailed):
        check("débit", 103, 100, tolerance=0.02, relative=True)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 10), st.floats(-2, 2))
def test_a_check_passes_exactly_where_the_difference_is_allowed(reference, tolerance, share):
    found = reference + share * tolerance
    if abs(found - reference) <= tolerance:
        check("x", found, reference, tolerance=tolerance)
    else:
        with pytest.raises(CheckFailed):
            check("x", found, reference, tolerance=tolerance)


@pytest.mark.parametrize(
    ("found", "reference", "tolerance", "words"),
    [
        ([1, 2], [1, 2, 3], 1, "expected as many"),
        ([], 1, 1, "expected as many"),
        ("beaucoup", 1, 1, "expected numbers"),
        (1, 1, -1, "expected a number from 0 on"),
        (1, 1, np.nan, "expected a number from 0 on"),
    ],
)
def test_what_cannot_be_compared_is_refused(found, reference, tolerance, words):
    with pytest.raises(BadRequest, match=words):
        check("x", found, reference, tolerance=tolerance)


def test_each_check_is_recorded_where_a_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("EARTHLAB_CHECKS", str(tmp_path / "checks"))
    check("a", 1, 1, tolerance=0, source="ici")
    check("b", 2.01, 2, tolerance=0.1)
    lines = [json.loads(line) for line in (tmp_path / "checks").read_text().splitlines()]
    assert lines[0] == {"name": "a", "reference": "1", "found": "1", "tolerance": "0", "source": "ici"}
    assert [line["name"] for line in lines] == ["a", "b"]


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (None, 12.3, "À vous ! regardez\nYour turn! look"),
        (12.35, 12.3, "✓ Bravo"),
        (12.5, 12.3, "Pas encore. regardez\nNot yet. look"),
        (" Mai ", "mai", "✓ Bravo"),
        (5, "mai", "Pas encore."),
        ("douze", 12.3, "Pas encore."),
        ([1], 12.3, "Pas encore."),
        (True, True, "✓ Bravo"),
    ],
)
def test_an_answer_is_right_or_gets_the_hint(answer, expected, words, capsys):
    exercise(answer, expected, tolerance=0.1, hint="regardez", hint_en="look")
    assert capsys.readouterr().out.startswith(words)
