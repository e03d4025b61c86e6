"""PostgreSQL restarts under a hub on a cluster: who is in, who comes, who is on the way, and who asks by a token."""

import re
import time

import pytest

from tests.gameday.conftest import LASTS
from tests.helm.pod_hub import TOKENS, pod_hub, stand_in
from tests.patience import eventually

FAULT = "the hub's database is away"
STAYS_GOOD = "reste bon"
ELSEWHERE = "127.77.0.2"
"""A pod's address at which nobody answers yet."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pods")
    with pod_hub(folder) as found:
        yield found


def words_of_page(page):
    """What a person reads on it."""
    said = re.search(r'class="el-bad"[^>]*>(.*?)</p>', page.text, re.DOTALL)
    return said[1] if said else ""


@pytest.fixture
def away(hub):
    """The database stops, for the first `LASTS` seconds of what follows."""

    class Away:
        def __enter__(self):
            hub.database.stop()
            self.until = time.monotonic() + LASTS

        def __exit__(self, *_):
            time.sleep(max(0.0, self.until - time.monotonic()))
            hub.database.start()

    return Away()


def test_who_is_in_works_on_and_is_not_taken_for_a_stranger(hub, away, day, stopwatch):
    with hub.visitor() as ana:
        hub.come_in(ana, "ana")
        with away:
            assert ana.get("/user/ana/").status_code == 200
            page = ana.get("/hub/home")
        stopwatch.start()
        assert page.status_code == 503
        assert page.headers["Retry-After"]
        assert 'name="token"' not in page.text
        eventually(lambda: ana.get("/hub/home").status_code == 200, what="the hub's pages")
        assert hub.ask("users/ana", hub.token_of("ana")).json()["server"] == "/user/ana/"
    day.note(FAULT, "in JupyterLab", "works on")
    day.note(FAULT, "signed in, on the hub's pages", words_of_page(page), back=stopwatch.read())


def test_a_link_that_somebody_follows_meanwhile_stays_good(hub, away, day, stopwatch):
    with hub.visitor() as ben:
        link = hub.link_for("ben", to="/hub/home")
        with away:
            page = ben.get(link)
        stopwatch.start()
        assert page.status_code == 503
        assert STAYS_GOOD in words_of_page(page)
        eventually(lambda: ben.get(link).status_code == 200, what="the same link")
    day.note(FAULT, "at the door, with a one-time link", words_of_page(page), back=stopwatch.read())


def test_a_pod_that_was_on_its_way_is_there_afterwards_and_no_other(hub, away, day, stopwatch):
    hub.api.unschedulable = True
    with hub.visitor() as chloe:
        chloe.get(hub.link_for("chloe"))
        eventually(lambda: "jupyter-chloe" in hub.api.pods(), what="her pod")
        with away:
            hub.api.schedule()
            waits = chloe.get("/hub/spawn-pending/chloe")
        stopwatch.start()
        eventually(lambda: "<h1 id=in>/user/chloe/" in chloe.get("/user/chloe/").text, what="her JupyterLab")
        assert waits.status_code == 503
    assert list(hub.api.pods()).count("jupyter-chloe") == 1
    assert hub.ask("users/chloe", hub.token_of("chloe")).json()["server"] == "/user/chloe/"
    day.note(FAULT, "waiting for JupyterLab", words_of_page(waits), back=stopwatch.read())


def test_a_start_whose_server_answers_only_meanwhile_leads_in_afterwards(hub, away, day, stopwatch):
    """Whether JupyterHub still needs its database then or not; if it does, the start is stopped and begun anew."""
    hub.api.pod_address = ELSEWHERE

    def is_in(page):
        return "<h1 id=in>/user/emil/" in page.text

    with hub.visitor() as emil:
        emil.get(hub.link_for("emil"))
        eventually(lambda: hub.api.pods()["jupyter-emil"]["status"].get("podIP") == ELSEWHERE, what="his pod")
        time.sleep(2)
        with stand_in((ELSEWHERE, hub.pod_port)):
            with away:
                time.sleep(2)
            stopwatch.start()
            eventually(lambda: is_in(emil.get("/user/emil/")) or is_in(emil.get("/hub/spawn")), what="his JupyterLab")
    hub.api.pod_address = "127.0.0.1"
    day.note(FAULT, "in the last second of a start", "the waiting page, then JupyterLab", back=stopwatch.read())


def test_a_good_token_is_told_to_come_back_and_not_that_it_is_none(hub, away, day, stopwatch):
    with hub.visitor() as dina:
        assert dina.get(hub.link_for("dina", to="/hub/home")).status_code == 200
    own = hub.token_of("dina")
    with away:
        told = {name: hub.ask("user", token) for name, token in {"dina": own, "stac": TOKENS["stac"]}.items()}
    stopwatch.start()
    assert {answer.status_code for answer in told.values()} == {503}
    assert STAYS_GOOD in told["dina"].json()["message"]
    eventually(lambda: hub.ask("user", own).status_code == 200, what="the hub's API")
    assert hub.ask("user", TOKENS["stac"]).json()["name"] == "stac"
    day.note(FAULT, "programs and services, with a token", "HTTP 503, come back in 30 s", back=stopwatch.read())
