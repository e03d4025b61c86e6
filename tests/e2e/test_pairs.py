"""Two participants in one notebook, each before a browser: what one does the other sees, and it ends when they say."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocket, expect

from earthlab.hub.accounts import account_name
from earthlab.hub.passes import seat_user
from earthlab.services.workshops.desk import open_desk
from earthlab.services.workshops.text import Notebook
from earthlab.settings import load_settings
from earthlab.testing.workshops import workshop_now
from tests.e2e.conftest import ARTEFACTS, Lab
from tests.patience import PATIENCE

pytestmark = pytest.mark.e2e

SLUG = "adeux"
NOTEBOOK = "start/premiers-pas.ipynb"
PLACE = "/services/workshops/place"
OWNER, GUEST = seat_user(SLUG, 1), seat_user(SLUG, 2)


@pytest.fixture(scope="module")
def codes(lab: Lab, entry_link: str) -> list[str]:
    """Passes of a workshop with pairs."""
    workshop = workshop_now(
        SLUG, seats=2, pairs=True, organisers=("earthlab",), trainers=(), notebooks=(Notebook(NOTEBOOK),)
    )
    settings = load_settings({"lab.state": lab.state}, environ={}, files=())
    desk = open_desk(settings, lab.layout)
    try:
        desk.make(workshop)
        return [each.code for each in desk.open(SLUG)]
    finally:
        desk.store.close()


@contextmanager
def take_seat(browser: Browser, lab: Lab, code: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 900}, locale="fr-FR")
    page = context.new_page()
    page.goto(f"{lab.url}/hub/entree?token={code}")
    page.locator("#enter").click()
    page.wait_for_selector("#jp-main-dock-panel", timeout=1000 * PATIENCE)
    yield page
    context.close()


def open_notebook(page: Page) -> Locator:
    """The notebook's first code cell, once its kernel answers."""
    panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    expect(panel).to_have_count(1)
    expect(panel.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']")).to_be_attached()
    return panel.locator(".jp-CodeCell").first


def rewrite(page: Page, cell: Locator, text: str) -> None:
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.type(text)


def on_disk(lab: Lab) -> str:
    home = lab.layout.homes / account_name(OWNER, lab.layout.lab_id)
    return (home / SLUG / NOTEBOOK).read_text()


def ids_of(lab: Lab) -> list[str]:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return [cell["id"] for cell in json.loads(on_disk(lab))["cells"]]
        except json.JSONDecodeError:
            # Jupyter writes in place: it is being saved at this moment.
            assert time.monotonic() < end
            time.sleep(0.05)


def _until(page: Page, good: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait, while the page goes on, until something is so."""
    end = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < end
        page.wait_for_timeout(100)


def test_two_write_one_notebook_and_part(lab: Lab, codes: list[str], browser: Browser) -> None:
    with take_seat(browser, lab, codes[0]) as ada, take_seat(browser, lab, codes[1]) as bob:
        lines: dict[str, WebSocket] = {}
        bob.on("websocket", lambda line: lines.update({line.url.partition("?")[0]: line}))
        seat = ada.context.new_page()
        seat.goto(lab.url + PLACE)
        seat.locator("#together summary").click()
        seat.locator("#neighbour").fill("2")
        seat.get_by_role("button", name="Inviter").click()
        expect(seat.locator("[data-pair]")).to_contain_text("n’a pas encore répondu")
        bob.goto(lab.url + PLACE)
        bob.get_by_role("button", name="Accepter").click()
        # The hub asks once more, of whose server this is.
        bob.locator("input[type=submit], button[type=submit]").first.click()
        theirs = open_notebook(bob)
        assert f"/user/{OWNER}/" in bob.url
        ada.goto(f"{lab.url}/user/{OWNER}/lab/tree/{SLUG}/{NOTEBOOK}?reset")
        mine = open_notebook(ada)
        cells = ids_of(lab)

        rewrite(ada, mine, "print('ada' * 2)")
        expect(theirs.locator(".cm-content")).to_have_text("print('ada' * 2)")
        bob.keyboard.press("Escape")
        rewrite(bob, theirs, "print('bob' * 3)")
        expect(mine.locator(".cm-content")).to_have_text("print('bob' * 3)")
        bob.keyboard.press("Control+Enter")
        for cell in (theirs, mine):
            expect(cell.locator(".jp-OutputArea-output")).to_contain_text("bobbobbob")
        ada.screenshot(path=ARTEFACTS / "a-deux.png")

        bob.reload()
        theirs = open_notebook(bob)
        expect(theirs.locator(".cm-content")).to_have_text("print('bob' * 3)")
        expect(theirs.locator(".jp-OutputArea-output")).to_contain_text("bobbobbob")
        _until(ada, lambda: "bobbobbob" in on_disk(lab))
        assert ids_of(lab) == cells

        line = next(it for url, it in lines.items() if f"/user/{OWNER}/api/collaboration/room/json" in url)
        assert not line.is_closed()
        seat.get_by_role("button", name="Arrêter").click()
        _until(bob, line.is_closed)
        rewrite(ada, mine, "print('seule')")
        _until(ada, lambda: "seule" in on_disk(lab))
        assert "seule" not in theirs.locator(".cm-content").inner_text()
        assert bob.goto(f"{lab.url}/user/{OWNER}/lab").status == 403
