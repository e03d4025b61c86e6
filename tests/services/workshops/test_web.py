"""How the pages say no: a page to who reads pages, JSON to programs, and nothing of our faults to anybody."""

import logging

import pytest

from earthlab.hub.passes import seat_user
from earthlab.testing.workshops import workshop_now
from tests.services.workshops.serving import serve_site


@pytest.fixture
async def site(tmp_path):
    async with serve_site(tmp_path / "lab") as found:
        found.desk.make(workshop_now())
        found.desk.open("neige")
        yield found


def own(site, name):
    return {"Authorization": f"token {site.sign_in(name)}"}


async def test_a_refusal_is_told_in_words_and_is_no_fault_in_the_log(site, caplog):
    with caplog.at_level(logging.ERROR):
        async with site.browser("eve") as eve:
            drawn, told = await eve.get("w/neige"), await eve.get("w/neige/stream")
        async with site.browser() as client:
            sent = {"instance": "no", "events": []}
            refused = await client.post("api/events", json=sent, headers=own(site, seat_user("neige", 1)))
    assert drawn.status_code == 403
    assert "Only this workshop" in drawn.text
    assert told.status_code == 403
    assert told.json()["code"] == 403
    assert "Only this workshop" in told.json()["message"]
    assert refused.status_code == refused.json()["code"] == 400
    assert "instance" in refused.json()["message"]
    assert caplog.records == []


async def test_programs_are_told_what_a_request_lacks_and_pages_only_its_status(site):
    async with site.browser() as client:
        nobody = await client.post("api/events", json={})
        stranger = await client.post("api/events", json={}, headers=own(site, "anne"))
        streamed = await client.get("w/neige/stream")
    assert nobody.json() == {"code": 401, "message": "send the header Authorization: token …"}
    assert stranger.json()["message"] == "only servers of a workshop's participants tell their progress"
    assert streamed.json() == {"code": 403, "message": "Forbidden"}


async def test_of_a_fault_of_ours_only_the_log_has_the_cause(site, caplog):
    site.desk.store.close()
    with caplog.at_level(logging.ERROR):
        async with site.browser("anne", ["organisateurs"]) as anne:
            drawn, told = await anne.get("w/neige"), await anne.get("w/neige/stream")
    assert drawn.status_code == 500
    assert "The service has a problem" in drawn.text
    assert told.json() == {"code": 500, "message": "Internal Server Error"}
    assert "closed" not in drawn.text
    assert "closed database" in caplog.text
