"""A workshop as its people live it: an organiser, a trainer, five participants in real browsers, and what is left."""

import json
import os
import pwd
import re
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pypdf import PdfReader

from earthlab.hub.accounts import account_name
from earthlab.hub.layout import resolve_ports
from earthlab.hub.passes import PassStore, seat_user
from earthlab.services.workshops.text import Notebook, Source, to_toml
from earthlab.settings import load_settings
from earthlab.testing.workshops import workshop_now
from tests.e2e.capture import Capture, captured
from tests.e2e.conftest import ARTEFACTS, Lab
from tests.e2e.people import open_lab
from tests.patience import PATIENCE

pytestmark = pytest.mark.e2e

HERE = "/services/workshops/"
SLUG = "essai"
SEATS = 5
FAILING = SEATS
SECRETS = ("soupe_7391", "bonjour_5512", "recette-4407")
"""In the source of a cell, in its output, in the name of a participant's own file."""

CELLS = [
    'items = el.search("simulation-s2-l2a")\nlen(items)',
    'soupe_7391 = "bonjour"\nprint(soupe_7391 + "_5512")',
    "reponse = None  # à vous",
    'print("fin")',
]


@pytest.fixture(scope="module")
def organiser(entry_link: str, browser: Browser) -> Iterator[Page]:
    """Who has started the lab, in a browser."""
    context = browser.new_context(locale="fr-FR", viewport={"width": 1280, "height": 800})
    page = context.new_page()
    open_lab(page, entry_link)
    yield page
    page.screenshot(path=ARTEFACTS / "atelier-fin.png")
    context.close()


def make_repository(folder: Path) -> Source:
    """A git repository with the workshop's two notebooks, at its commit."""
    folder.mkdir(parents=True)
    cells = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": code,
        }
        for number, code in enumerate(CELLS, start=1)
    ]
    kernel = {"kernelspec": {"name": "earthlab", "display_name": "EarthLab", "language": "python"}}
    for name, given in (("un.ipynb", cells), ("deux.ipynb", cells[:1])):
        document = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": given}
        (folder / name).write_text(json.dumps(document))
    for command in (
        ["git", "init", "-q"],
        ["git", "add", "."],
        ["git", "-c", "user.name=essai", "-c", "user.email=essai@example.org", "commit", "-qm", "essai"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return Source(f"file://{folder}", commit.stdout.strip())


def text_of(source: Source) -> str:
    notebooks = (Notebook("un.ipynb", source=source), Notebook("deux.ipynb", part=2, source=source))
    return to_toml(workshop_now(SLUG, seats=SEATS, organisers=("earthlab",), trainers=(), notebooks=notebooks))


def make_workshop(lab: Lab, page: Page) -> list[str]:
    """By the pages alone, from the form to the printed passes."""
    page.goto(f"{lab.url}{HERE}new")
    page.locator("summary", has_text="TOML").click()
    page.locator("#toml").fill(text_of(make_repository(lab.state / "depots" / SLUG)))
    page.get_by_role("button", name="Enregistrer").click()
    page.get_by_role("button", name="Ouvrir les places").click()
    with page.expect_download() as sheet:
        page.get_by_role("link", name="Télécharger la feuille").click()
    pages = PdfReader(sheet.value.path()).pages
    return re.findall(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b", "\n".join(each.extract_text() for each in pages))


def take_seat(lab: Lab, context: BrowserContext, code: str) -> Page:
    page = context.new_page()
    page.goto(f"{lab.url}/hub/entree?token={code}")
    page.locator("#enter").click(no_wait_after=True)
    return page


def run_all(page: Page) -> None:
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']")).to_be_attached()
    page.locator(".jp-Notebook .jp-CodeCell").first.click()
    # JupyterLab loses cells that are asked for while it still connects.
    for _ in range(5):
        page.locator("#jp-MainMenu").get_by_text(re.compile("^(Run|Exécution|Executer)$")).click()
        page.locator('[data-command="runmenu:run-all"]').click()
        page.wait_for_timeout(1500)
        if page.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[(\*|\d+)\]")).count():
            return
    raise AssertionError("JupyterLab did not run the cells")


def fail_on_purpose(page: Page) -> None:
    """In the exercise's cell."""
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").nth(2).click()
    page.keyboard.press("Control+a")
    page.keyboard.type("raise ValueError(soupe_7391)")
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-OutputArea-output", has_text="ValueError").first).to_be_visible()


def tile(wall: Page, seat: int):
    return wall.locator(f"#wall button[data-seat='{seat}']")


def see_room(wall: Page) -> None:
    for seat in range(1, SEATS):
        expect(tile(wall, seat)).to_have_attribute("data-cells", "dddd.")
    expect(tile(wall, FAILING)).to_have_attribute("data-cells", re.compile(r"ddf.\."))


def see_own_progress(wall: Page, needy: Page) -> None:
    """In JupyterLab itself: how far one is, and a hand that is raised and lowered."""
    panel = needy.locator("#earthlab-workshop")
    if not (panel.count() and panel.is_visible()):
        needy.locator('[data-id="earthlab-workshop"]').click()
    expect(panel).to_contain_text(re.compile(r"Cellules faites : \d sur 5"))
    expect(panel).to_contain_text("Dernière erreur : ValueError")
    panel.get_by_role("button", name="Lever la main").click()
    expect(wall.locator("[data-count=hand]")).to_have_text("1")
    needy.screenshot(path=ARTEFACTS / "atelier-panneau.png")
    panel.get_by_role("button", name="Baisser la main").click()
    expect(wall.locator("[data-count=hand]")).to_have_text("0")


def help_by_consent(lab: Lab, wall: Page, needy: Page) -> None:
    """A hand, a question, a yes, and an end that holds."""
    needy.goto(f"{lab.url}{HERE}place")
    needy.get_by_role("button", name="Lever la main").click()
    expect(wall.locator("#wall button").first).to_have_attribute("data-seat", str(FAILING))
    expect(wall.locator("[data-count=hand]")).to_have_text("1")
    user = seat_user(SLUG, FAILING)
    # Before the yes, nobody but the participant is let in.
    assert wall.request.get(f"{lab.url}/user/{user}/api/contents", max_redirects=0).status in {302, 403}
    tile(wall, FAILING).click()
    wall.locator("#seat [data-seat=help]").click()
    needy.get_by_role("button", name="Oui").click()
    expect(wall.locator("#seat-enter")).to_be_visible()
    with wall.expect_popup() as opened:
        wall.locator("#seat-enter").click()
    trainer = opened.value
    # A picture of a page that is about to be another cannot be taken.
    expect(trainer.locator("#accept")).to_be_visible()
    trainer.screenshot(path=ARTEFACTS / "atelier-entrer.png")
    trainer.locator("#accept").click()
    expect(trainer.locator("#authorize")).to_be_visible()
    trainer.screenshot(path=ARTEFACTS / "atelier-confirmer.png")
    trainer.locator("#authorize").click()
    trainer.wait_for_selector("#jp-main-dock-panel", timeout=120_000)
    assert f"/user/{user}/" in trainer.url
    trainer.screenshot(path=ARTEFACTS / "atelier-aide.png")
    trainer.close()
    needy.get_by_role("button", name="Arrêter maintenant").click()
    expect(needy.get_by_role("button", name="Arrêter maintenant")).to_have_count(0)
    wall.keyboard.press("Escape")


def kill_hub(lab: Lab) -> None:
    ends = lab.said().count("· ready")
    hub = next(p for p in lab.processes() if "jupyterhub" in p.cmdline() and "-f" in p.cmdline())
    hub.kill()
    deadline = time.monotonic() + 120
    while lab.said().count("· ready") == ends:
        assert time.monotonic() < deadline, lab.said()
        time.sleep(0.2)


def type_cell(page: Page, code: str) -> None:
    """One more cell, the participant's own, at the end."""
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").last.click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    page.keyboard.type(code)
    page.keyboard.press("Shift+Enter")


def take_home(lab: Lab, page: Page) -> None:
    page.keyboard.press("Control+s")
    page.wait_for_timeout(1500)
    place = page.context.new_page()
    place.goto(f"{lab.url}{HERE}place")
    with place.expect_download() as taken:
        place.locator("a[href$='place/zip']").click()
    with zipfile.ZipFile(taken.value.path()) as archive:
        document = json.loads(archive.read(f"{SLUG}/un.ipynb"))
        assert "bonjour_5512" in str([cell.get("outputs") for cell in document["cells"]])
        assert any("LISEZMOI" in name for name in archive.namelist())


def delete_everything(lab: Lab, page: Page) -> None:
    users = [seat_user(SLUG, number) for number in range(1, SEATS + 1)]
    accounts = [account_name(user, lab.layout.lab_id) for user in users]
    assert all((lab.layout.homes / account).is_dir() for account in accounts)
    page.goto(f"{lab.url}{HERE}w/{SLUG}")
    page.locator("summary", has_text="Effacer tout").click()
    page.locator("#confirm").fill(SLUG)
    page.get_by_role("button", name="Effacer places").click()
    deadline = time.monotonic() + PATIENCE
    while page.locator("[data-stage=forgotten]").count() == 0:
        assert time.monotonic() < deadline
        page.wait_for_timeout(500)
        page.reload()
    expect(page.locator("#counts")).to_contain_text("Venus")
    assert not [account for account in accounts if (lab.layout.homes / account).exists()]
    assert not [account for account in accounts if account in {each.pw_name for each in pwd.getpwall()}]
    assert PassStore(lab.layout.passes).seats(SLUG) == []
    assert not (lab.layout.workshops / SLUG).exists()
    for file in (*lab.layout.hub.glob("workshops.sqlite*"), *lab.layout.hub.glob("passes.sqlite*")):
        assert b"ValueError" not in file.read_bytes()
    listed = page.request.get(f"{lab.url}/hub/api/users?limit=200").text()
    assert not [user for user in users if user in listed]


def holds_no_secret(lab: Lab, capture: Capture) -> None:
    ports = resolve_ports(load_settings({"lab.port": lab.port}, environ={}, files=()))
    told = capture.to(ports.workshops)
    # It was listened to: the ids, states and the class of the error are there.
    for expected in (b'"cell": "c2"', b'"state": "done"', b'"error": "ValueError"'):
        assert expected in told
    for port in (ports.workshops, ports.hub_api, ports.stac, ports.signing, ports.gateway):
        said = capture.to(port)
        assert not [secret for secret in SECRETS if secret.encode() in said], port


@pytest.mark.skipif(os.getuid() != 0, reason="only root hears all that passes, and removes accounts")
def test_five_people_and_their_trainer_from_the_first_page_to_the_last_trace(
    lab: Lab, organiser: Page, browser: Browser
) -> None:
    codes = make_workshop(lab, organiser)
    assert len(codes) == len(set(codes)) == SEATS
    organiser.goto(f"{lab.url}{HERE}w/{SLUG}/wall")
    expect(organiser.locator("#wall button")).to_have_count(SEATS)
    with ExitStack() as stack:
        capture = stack.enter_context(captured())
        contexts = [stack.enter_context(browser.new_context(locale="fr-FR")) for _ in codes]
        pages = [take_seat(lab, context, code) for context, code in zip(contexts, codes, strict=True)]
        for page in pages:
            run_all(page)
        fail_on_purpose(pages[-1])
        see_room(organiser)
        expect(tile(organiser, FAILING)).to_contain_text("ValueError")
        organiser.screenshot(path=ARTEFACTS / "atelier-mur.png")
        see_own_progress(organiser, pages[-1])
        help_by_consent(lab, organiser, contexts[-1].new_page())
        type_cell(pages[0], "open('recette-4407.txt', 'w').write('x'); travail = 41")
        kill_hub(lab)
        see_room(organiser)
        expect(organiser.locator("[data-count=hand]")).to_have_text("1")
        type_cell(pages[0], "print('sauf', travail + 1)")
        expect(pages[0].locator(".jp-OutputArea-output", has_text="sauf 42")).to_be_visible()
        take_home(lab, pages[0])
        # A pass is good once: whoever has been passed it, or reads it over a shoulder, is told so.
        again = stack.enter_context(browser.new_context()).new_page()
        refused = again.goto(f"{lab.url}/hub/entree?token={codes[0]}")
        assert refused is not None
        assert refused.status == 403
        assert "déjà servi" in again.inner_text("body")
    holds_no_secret(lab, capture)
    delete_everything(lab, organiser)
