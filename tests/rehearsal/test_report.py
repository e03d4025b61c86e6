"""The page is whole, needs nothing else, shows everything twice, and lets no text of the lab become markup."""

import json
from html.parser import HTMLParser
from pathlib import Path

from earthlab.rehearsal.report import render_json, render_page, render_summary, write_report
from earthlab.rehearsal.statistics import compute_figures
from earthlab.rehearsal.story import Failure, Rehearsal
from earthlab.rehearsal.verdict import Bars, judge
from tests.rehearsal.made import GB, made_rehearsal

VOID = {"meta", "rect", "line", "circle", "polygon", "polyline", "br", "link"}


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.links += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _page(rehearsal: Rehearsal) -> Reader:
    figures = compute_figures(rehearsal, reserve=GB)
    reader = Reader()
    reader.feed(render_page(rehearsal, figures, judge(rehearsal, figures, Bars()), Bars()))
    return reader


def test_the_page_is_well_formed_and_asks_for_nothing_from_elsewhere() -> None:
    page = _page(made_rehearsal())
    assert page.open == []
    assert page.links == []
    for words in (
        "La classe peut avoir lieu",
        "Go",
        "première image",
        "first picture",
        "Erreurs",
        "Failures",
        "Mémoire",
    ):
        assert words in page.text


def test_what_the_lab_said_stays_text() -> None:
    page = _page(made_rehearsal([Failure("cell error", "a", 3.0, "<script>alert(1)</script> & more")]))
    assert "<script>alert(1)</script> & more" in page.text
    assert "script" not in page.open
    assert "Pas ainsi" in page.text


def test_one_person_and_nobody_s_picture_make_a_page_too() -> None:
    rehearsal = made_rehearsal()
    lonely = made_rehearsal(stories=rehearsal.stories[:1], samples=rehearsal.samples[:1], seats=1)
    lonely.stories[0].first_picture = None
    lonely.stories[0].signed_in = None
    assert "Trop peu de personnes" in _page(lonely).text


def test_the_json_holds_verdict_figures_and_all_that_was_measured(tmp_path: Path) -> None:
    rehearsal = made_rehearsal([Failure("timeout", "a", 3.0, "x")])
    figures = compute_figures(rehearsal, reserve=GB)
    verdict = judge(rehearsal, figures, Bars())
    found = json.loads(render_json(rehearsal, figures, verdict, Bars()))
    assert found["verdict"]["go"] is False
    assert found["figures"]["waits"]["sign_in"]["many"] == 4
    assert len(found["rehearsal"]["stories"]) == 4
    page = write_report(tmp_path / "new", rehearsal, figures, verdict, Bars())
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads((tmp_path / "new" / "repetition.json").read_text(encoding="utf-8")) == found


def test_the_terminal_is_told_the_verdict_its_reasons_and_an_example_of_each_failure() -> None:
    rehearsal = made_rehearsal([Failure("timeout", "a", 3.0, "no answer from /lab")])
    figures = compute_figures(rehearsal, reserve=GB)
    said = render_summary(rehearsal, figures, judge(rehearsal, figures, Bars()))
    assert said.startswith("✗ no-go: 4")
    assert "1 × timeout: no answer from /lab" in said
