"""The recording is whole, and its blanks are filled from the page that a server really sends."""

import json

import pytest

from earthlab.errors import SetupError
from earthlab.rehearsal.traffic import Places, describe_drift, load_recording, parse_places


def _page(**config: object) -> str:
    return f'<html><script id="jupyter-config-data" type="application/json">{json.dumps(config)}</script></html>'


def test_each_request_waits_for_an_earlier_one() -> None:
    recording = load_recording()
    for steps in (recording.page, recording.notebook):
        assert steps
        assert all(-1 <= step.after < index for index, step in enumerate(steps))
        assert all(0 <= step.delay < 2 for step in steps)


def test_no_name_of_whoever_recorded_is_left_in_it() -> None:
    recording = load_recording()
    urls = [
        *recording.hub,
        *(step.url for step in (*recording.page, *recording.notebook)),
        *recording.session,
        *recording.cell,
        *(url for _, url in recording.save),
        *recording.polls,
    ]
    assert all(url.startswith(("{base}", "{static}/", "{extensions}/", "/hub/static/")) for url in urls)
    assert "/homes/" not in json.dumps(dict(recording.workspace))
    assert "execute_request" not in {frame["msg_type"] for frame in recording.frames}


def test_the_recording_is_of_the_versions_that_are_installed() -> None:
    assert describe_drift(load_recording()) == ()


def test_blanks_are_filled_from_the_page_s_configuration() -> None:
    page = _page(
        baseUrl="/user/amina/",
        fullStaticUrl="/lab-static/lab",
        fullLabextensionsUrl="/user/amina/lab/extensions",
        serverRoot="~",
    )
    places = parse_places(page, "notebooks/été/a b.ipynb")
    assert places.fill("{base}api/me") == "/user/amina/api/me"
    assert places.fill("{static}/main.js") == "/lab-static/lab/main.js"
    assert places.fill("{extensions}/x.js") == "/user/amina/lab/extensions/x.js"
    assert (
        places.fill("{base}api/contents/{notebook}") == "/user/amina/api/contents/notebooks/%C3%A9t%C3%A9/a%20b.ipynb"
    )
    assert places.fill("{folder}") == "notebooks/%C3%A9t%C3%A9"
    assert places.fill("?{now}")[1:].isdigit()


def test_a_page_that_is_not_jupyterlab_s_is_refused() -> None:
    with pytest.raises(SetupError, match="not JupyterLab's"):
        parse_places("<html>Sign in</html>", "a.ipynb")


def test_a_blank_that_nobody_knows_stays_as_it_is() -> None:
    assert Places("/b/", "/s", "/e", "a.ipynb").fill("{other}") == "{other}"
