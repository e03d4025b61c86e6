"""A workshop from its making to its deletion, on a real hub with real sign-ins, by HTTP alone."""

import asyncio
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import zipfile
from typing import Any

import httpx
import pytest

from earthlab.hub.accounts import account_name
from earthlab.hub.passes import PassStore, seat_user
from earthlab.services.workshops.text import Notebook, Source, to_toml
from earthlab.testing.workshops import workshop_now
from tests.hub.conftest import root_only
from tests.hub.small_hub import SmallHub, Visitor, small_hub
from tests.patience import PATIENCE, eventually_async
from tests.services.workshops.talking import HERE, open_wall, server_token, xsrf_of

pytestmark = [root_only, pytest.mark.lab]


def text_of(slug: str, **fields: Any) -> str:
    return to_toml(workshop_now(slug, organisers=("earthlab",), pairs=True, **fields))


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Two notebooks: one that runs as an ordinary user, one that fails."""
    folder = tmp_path_factory.mktemp("repository")
    sources = {
        "runs.ipynb": "import os\nassert os.getuid() and os.environ['JUPYTERHUB_API_TOKEN']",
        "fails.ipynb": "{}['neige']",
    }
    for name, source in sources.items():
        cell = {"cell_type": "code", "id": "c1", "source": source, "metadata": {}, "outputs": []}
        (folder / name).write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}))

    def git(*words):
        command = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@example.org", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "a")
    return folder, git("rev-parse", "HEAD")


@pytest.fixture(scope="module")
def hub(repository):
    words = {"WORKSHOPS__REPOSITORIES": str(repository[0].parent)}
    with small_hub(launch=0.1, kept=("workshops", "rehearsal"), words=words) as found:
        yield found


async def post(visitor: Visitor, path: str, **fields) -> httpx.Response:
    """A form, with what keeps other pages from sending it."""
    page = await visitor.get(HERE)
    return await visitor.client.post(HERE + path, data={"_xsrf": xsrf_of(page.text), **fields})


async def take_seat(hub: SmallHub, visitor: Visitor, code: str) -> httpx.Response:
    page = await visitor.get(f"/hub/entree?token={code}")
    token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)[1]
    return await visitor.client.post("/hub/login", data={"_xsrf": token, "token": code})


async def watch(visitor: Visitor, slug: str, enough) -> list[tuple[str, dict]]:
    """What a wall is sent, until that is enough."""
    told = []
    async with asyncio.timeout(PATIENCE), open_wall(visitor, slug) as events:
        async for event in events:
            told.append(event)
            if enough(told):
                return told
    return told


async def tell(hub: SmallHub, user: str, *events, token: str = "") -> httpx.Response:
    body = {"instance": "0123abcd", "events": list(events)}
    headers = {"Authorization": f"token {token or server_token(user)}"}
    async with httpx.AsyncClient(base_url=hub.url) as client:
        return await client.post(f"{HERE}api/events", json=body, headers=headers)


def step(seq, cell, state="done", error=""):
    return {
        "seq": seq,
        "notebook": "theia/neige.ipynb",
        "cell": cell,
        "state": state,
        "error": error,
        "at": time.time(),
    }


async def test_a_workshop_from_its_making_to_its_deletion(hub):
    slug = "neige"
    async with (
        hub.visitor("earthlab") as anne,
        hub.visitor("ben") as ben,
        hub.visitor("a") as ada,
        hub.visitor("b") as bob,
    ):
        await anne.come()
        await ben.come()
        code, join = await open_workshop(anne, slug)
        assert (await take_seat(hub, ada, code)).status_code == 200
        assert (await take_seat(hub, bob, join)).status_code == 200
        seats = {s.number for s in PassStore(hub.layout.passes).seats(slug) if s.claimed}
        assert 1 in seats
        assert len(seats) == 2
        own, other = seat_user(slug, 1), max(seats)
        await steps_reach_the_wall(hub, slug, ben, own, other)
        await acts_reach_the_seats(hub, slug, ben, bob, own, other)
        place = await ada.get(f"{HERE}place")
        assert "Pause de 10 min" in place.text
        assert "print(&#39;neige&#39;)" in place.text
        await help_by_consent(hub, slug, ben, ada, own)
        await pairs_by_consent(hub, slug, ada, bob, own, other)
        await take_home(hub, slug, ada, own)
        await everything_is_deleted(hub, slug, anne, own)
        page = await ada.get(f"{HERE}place")
        assert "Neige" not in page.text


async def open_workshop(anne, slug):
    """A pass of seat 1, and the join link's code."""
    made = await post(anne, "new", toml=text_of(slug))
    assert 'data-stage="draft"' in made.text
    opened = await post(anne, f"w/{slug}/open")
    assert 'data-stage="open"' in opened.text
    sheet = await anne.get(f"{HERE}w/{slug}/sheet.pdf")
    assert sheet.content.startswith(b"%PDF")
    link = await post(anne, f"w/{slug}/link")
    reissued = await post(anne, f"w/{slug}/reissue", seat="1")
    code = re.search(r'id="pass">([A-Z0-9-]+)<', reissued.text)[1]
    return code, re.search(r"token=([A-Z0-9-]+)", link.text)[1]


async def steps_reach_the_wall(hub, slug, ben, own, other):
    async with httpx.AsyncClient(base_url=hub.url) as client:
        token = {"Authorization": f"token {server_token(own)}"}
        syllabus = (await client.get(f"{HERE}api/syllabus", headers=token)).json()
    cells = json.loads((hub.layout.workshops / slug / "atelier.json").read_text())["notebooks"][0]["cells"]
    assert set(syllabus["cells"]["theia/neige.ipynb"]) == set(cells)
    assert syllabus["folder"] == slug
    answer = await tell(hub, own, step(1, cells[0], "running"), step(2, cells[0]), step(3, cells[1]))
    assert answer.json() == {
        "accepted": 3, "unlocked": 1, "cells": [], "messages": [], "reset": None, "help": None, "guests": [],
        "syllabus": 1,
    }  # fmt: skip
    await tell(hub, seat_user(slug, other), step(1, cells[0], "failed", "KeyError"))
    told = await watch(ben, slug, lambda told: True)
    rows = {row[0]: row for row in told[0][1]["seats"]}
    assert rows[1][2].startswith("dd.")
    await panels_are_told_the_same(hub, own, rows[1][2])
    assert (rows[other][2][0], rows[other][6]) == ("f", "KeyError")
    assert told[0][1]["seats"][0][0] == other


async def panels_are_told_the_same(hub, own, cells):
    """By the tokens of the servers themselves, which is what the panels in JupyterLab have."""
    async with httpx.AsyncClient(base_url=hub.url) as client:
        place, rooms, none = [
            (await client.get(f"{HERE}api/{path}", headers={"Authorization": f"token {server_token(user)}"})).json()
            for path, user in (("place", own), ("rooms", "ben"), ("rooms", own))
        ]
    assert (place["number"], place["cells"]) == (1, cells)
    assert [(room["slug"], room["here"]) for room in rooms["rooms"]] == [("neige", 2)]
    assert none == {"rooms": []}


async def acts_reach_the_seats(hub, slug, ben, bob, own, other):
    async def act():
        await asyncio.sleep(0.5)
        await post(bob, "place/hand", up="yes")
        await post(ben, f"w/{slug}/do/message", text="Pause de 10 min")
        await post(ben, f"w/{slug}/do/unlock")
        await post(ben, f"w/{slug}/do/cell", text="print('neige')")

    def raised(told):
        return any(row[0] == other and row[4] for _, said in told for row in said["seats"])

    acting = asyncio.create_task(act())
    told = await watch(ben, slug, lambda told: raised(told) and told[-1][1].get("unlocked") == 2)
    await acting
    numbers = [said["sequence"] for _, said in told]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    answer = (await tell(hub, own)).json()
    assert answer["unlocked"] == 2
    assert [m["text"] for m in answer["messages"]] == ["Pause de 10 min"]
    assert [c["source"] for c in answer["cells"]] == ["print('neige')"]


async def everything_is_deleted(hub, slug, anne, own):
    home = hub.layout.homes / account_name(own, hub.layout.lab_id)
    assert home.is_dir()
    assert (await post(anne, f"w/{slug}/forget", slug=slug)).status_code == 200

    async def forgotten():
        page = await anne.get(f"{HERE}w/{slug}")
        return page.text if 'data-stage="forgotten"' in page.text else ""

    words = await eventually_async(forgotten)
    assert re.search(r"Venus.*?<dd>2</dd>", words, re.DOTALL)
    assert not home.exists()
    assert not (hub.layout.workshops / slug).exists()
    assert PassStore(hub.layout.passes).seats(slug) == []
    for file in hub.layout.hub.glob("workshops.sqlite*"):
        assert b"KeyError" not in file.read_bytes()


async def help_by_consent(hub, slug, ben, ada, user):
    assert (await post(ben, f"w/{slug}/do/help", seat="1")).status_code == 204
    place = await ada.get(f"{HERE}place")
    number = re.search(r'name="number" value="(\d+)"', place.text)[1]
    assert (await tell(hub, user)).json()["help"] == {"number": int(number), "trainer": "ben"}
    assert (await ben.get(f"{HERE}w/{slug}/enter/{number}")).status_code == 403
    said = await post(ada, "place/answer", number=number, answer="yes")
    assert said.status_code == 200, said.text
    assert "peut entrer" in said.text
    door = await ben.client.get(f"{HERE}w/{slug}/enter/{number}", follow_redirects=False)
    page = await ben.get(door.headers["location"])
    form = dict(re.findall(r'name="(_xsrf|code|next)" value="([^"]*)"', page.text))
    accepted = await ben.client.post("/hub/accept-share", data=form, follow_redirects=False)
    assert accepted.status_code == 302, accepted.text
    shared = await ada.call("GET", f"shares/{user}")
    assert [row["user"]["name"] for row in shared.json()["items"]] == ["ben"]
    # Its time is over: nobody has to end it.
    with sqlite3.connect(hub.layout.hub / "workshops.sqlite", timeout=120) as book:
        book.execute("UPDATE helps SET until = ? WHERE number = ?", (time.time(), int(number)))
    book.close()

    async def ended():
        return (await ada.call("GET", f"shares/{user}")).json()["items"] == []

    await eventually_async(ended)

    async def refused():
        return (await ben.get(f"{HERE}w/{slug}/enter/{number}")).status_code == 403

    await eventually_async(refused)
    assert "peut entrer" not in (await ada.get(f"{HERE}place")).text
    # A second time, the participant ends it.
    assert (await post(ben, f"w/{slug}/do/help", seat="1")).status_code == 204
    number = re.search(r'name="number" value="(\d+)"', (await ada.get(f"{HERE}place")).text)[1]
    await post(ada, "place/answer", number=number, answer="yes")
    await post(ada, "place/end")
    assert (await ben.get(f"{HERE}w/{slug}/enter/{number}")).status_code == 403
    assert await ended()


async def pairs_by_consent(hub, slug, ada, bob, user, other):
    async def let_in():
        return [row["user"]["name"] for row in (await ada.call("GET", f"shares/{user}")).json()["items"]]

    asked = await post(ada, "place/pair/ask", seat=str(other), notebook="theia/neige.ipynb")
    assert asked.status_code == 200, asked.text
    # By name: there is no code that could be passed on.
    assert await let_in() == [seat_user(slug, other)]
    assert (await tell(hub, user)).json()["guests"] == [seat_user(slug, other)]
    invited = await bob.get(f"{HERE}place")
    number = re.search(r'data-pair="(\d+)"', invited.text)[1]
    door = await post(bob, "place/pair/accept", number=number)
    assert door.url.path.startswith((f"/user/{user}/lab/tree/{slug}/", "/hub/api/oauth2/authorize")), door.url
    await post(bob, "place/pair/end", number=number)
    assert await let_in() == []
    assert (await tell(hub, user)).json()["guests"] == []


async def take_home(hub, slug, ada, user):
    home = hub.layout.homes / account_name(user, hub.layout.lab_id)
    owner = home.stat()
    (home / slug).mkdir()
    (home / slug / "a.ipynb").write_text("mon travail")
    secret = hub.layout.hub / "cookie_secret"
    (home / slug / "secret").symlink_to(secret)
    for path in (home / slug, home / slug / "a.ipynb"):
        os.chown(path, owner.st_uid, owner.st_gid)
    answer = await ada.get(f"{HERE}place/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert sorted(archive.namelist()) == [f"{slug}/LISEZMOI-README.md", f"{slug}/a.ipynb"]


async def test_a_workshop_is_warmed_up_and_rehearsed(hub, repository):
    slug = "givre"
    async with hub.visitor("earthlab") as anne:
        await anne.come()
        await post(anne, "new", toml=draft_of(slug, repository, "runs.ipynb"))

        async def over():
            page = await anne.get(f"{HERE}w/{slug}")
            return page.text if 'class="verdict' in page.text else ""

        await post(anne, f"w/{slug}/try/warm")
        page = await eventually_async(over)
        assert "✓ Prêt" in page, page[page.index('class="verdict') :][:900]
        assert "runs.ipynb [c1]" in page
        assert "vérifié" in page
        user = seat_user(slug, 0)
        assert not (hub.layout.homes / account_name(user, hub.layout.lab_id)).exists()

        await post(anne, f"w/{slug}/edit", toml=draft_of(slug, repository, "fails.ipynb"))
        assert "L’atelier a changé depuis" in (await anne.get(f"{HERE}w/{slug}")).text
        code, said = await asyncio.to_thread(shell, hub, "warm", slug)
        assert code == 1
        assert "fails.ipynb [c1] échoue : KeyError: 'neige'" in said

        # Nobody comes to JupyterLab here, so that the verdict is sure; its seats have gone.
        code, said = await asyncio.to_thread(shell, hub, "rehearse", slug, "--minutes", "1")
        assert code == 1, said
        assert "0 personnes sur 1" in said
        report = await anne.get(f"{HERE}w/{slug}/rehearsal/0")
        assert "No-go" in report.text
        assert not list(hub.layout.homes.glob("el-repetition-*"))
        assert (await post(anne, f"w/{slug}/forget", slug=slug)).status_code == 200


def draft_of(slug, repository, notebook):
    folder, commit = repository
    return text_of(slug, seats=1, notebooks=(Notebook(notebook, source=Source(f"file://{folder}", commit)),))


def shell(hub, *words):
    done = subprocess.run(
        [sys.executable, "-m", "earthlab.cli", "workshop", *words], env=hub.environment, capture_output=True, text=True,
        timeout=200, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


async def test_nobody_does_what_is_not_theirs(hub):
    slug = "brume"
    async with (
        hub.visitor("earthlab") as anne,
        hub.visitor("ben") as ben,
        hub.visitor("eve") as eve,
        hub.visitor("x") as ada,
    ):
        await anne.come()
        await ben.come()
        await eve.come()
        await post(anne, "new", toml=text_of(slug))
        await post(anne, f"w/{slug}/open")
        reissued = await post(anne, f"w/{slug}/reissue", seat="1")
        await take_seat(hub, ada, re.search(r'id="pass">([A-Z0-9-]+)<', reissued.text)[1])
        for visitor, path in ((ben, ""), (eve, ""), (eve, "/wall"), (eve, "/stream"), (ada, ""), (ada, "/wall")):
            page = await visitor.get(f"{HERE}w/{slug}{path}")
            assert page.status_code == 403, (visitor.name, path)
        assert (await eve.get(f"{HERE}w/gibtsnicht")).status_code == 403
        assert slug not in (await eve.get(HERE)).text
        assert (await post(eve, "new", toml=text_of("mine"))).status_code == 403
        refused = await ben.client.post(f"{HERE}w/{slug}/do/message", data={"text": "x"})
        assert refused.status_code == 403
        assert (await post(ben, f"w/{slug}/close")).status_code == 403
        assert (await eve.get(f"{HERE}place")).url.path == HERE

        user = seat_user(slug, 1)
        cells = json.loads((hub.layout.workshops / slug / "atelier.json").read_text())["notebooks"][0]["cells"]
        assert (await tell(hub, user, step(1, cells[0]) | {"source": "secret = 1"})).status_code == 400
        assert (await tell(hub, "eve", step(1, cells[0]))).status_code == 403
        assert (await tell(hub, user, token="0" * 32)).status_code == 403
        good = server_token(user)
        assert (await tell(hub, user, step(1, cells[0]))).status_code == 200
        await post(anne, f"w/{slug}/revoke", seat="1")

        async def refused_soon():
            return (await tell(hub, user, token=good)).status_code == 403

        await eventually_async(refused_soon)
