"""A seat's pod asks for what its workshop hands out: all of it arrives, or what was there stays."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from earthlab.hub.fetching import FAR, PATIENCE, HandoutUnavailable, fetch_handout, plan_far_handout
from earthlab.hub.handout import WARMED, plan_warmed, read_handout
from earthlab.testing.answering import answering

ROW = {"path": "theia/a.ipynb", "part": 1}
GIVEN = {
    "manifest": {"slug": "neige", "title": "Neige", "contact": "c@example.org", "notebooks": [ROW], "warmed": ["0a"]},
    "originals": {"theia/a.ipynb": "un carnet"},
}


class _Service(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Authorization"]))
        status, said = self.server.answers.pop(0)
        content = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def service(*answers):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    server.answers, server.asked = [*answers], []
    with answering(server):
        yield server


def environment(server, home):
    planned = plan_far_handout("atelier-neige-001", str(home))
    url = f"http://127.0.0.1:{server.server_port}/services/"
    return planned | {"EARTHLAB_SERVICES": url, "JUPYTERHUB_API_TOKEN": "jeton"}


def test_a_seats_pod_has_the_material_of_its_workshop_and_nobody_else_any(tmp_path):
    with service((200, GIVEN)) as server:
        environ = environment(server, tmp_path)
        fetch_handout(environ)
        assert server.asked == [("/services/workshops/api/handout", "token jeton")]
    handout = read_handout(environ)
    assert (handout.slug, handout.title, handout.contact) == ("neige", "Neige", "c@example.org")
    assert (handout.folder / "originaux/theia/a.ipynb").read_text() == "un carnet"
    assert handout.folder.is_relative_to(tmp_path)
    assert plan_warmed(handout.folder) == {WARMED: "0a"}
    assert plan_far_handout("ada", str(tmp_path)) == {}
    assert environ[FAR]


def test_a_service_that_starts_again_is_asked_until_it_answers(tmp_path, capsys):
    paused = []
    with service((503, {}), (200, b"half of"), (200, GIVEN)) as server:
        fetch_handout(environment(server, tmp_path), pause=paused.append)
        assert len(server.asked) == 3
    assert len(paused) == 2
    assert "answers 503" in capsys.readouterr().err


def test_one_that_does_not_come_back_leaves_what_was_there(tmp_path):
    with service((200, GIVEN), *[(502, {})] * 3) as server:
        environ = environment(server, tmp_path)
        fetch_handout(environ)
        times = iter([0.0, 1.0, PATIENCE - 1, PATIENCE + 1])
        with pytest.raises(HandoutUnavailable, match="answers 502"):
            fetch_handout(environ, clock=lambda: next(times), pause=lambda _: None)
    assert read_handout(environ).slug == "neige"
    with pytest.raises(HandoutUnavailable, match="does not answer"):
        fetch_handout(environ, clock=iter([0.0, PATIENCE + 1]).__next__)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_seat_that_is_no_longer_one_does_not_ask_again(tmp_path, status):
    with service((status, {})) as server:
        with pytest.raises(HandoutUnavailable, match=f"answers {status}"):
            fetch_handout(environment(server, tmp_path), pause=lambda _: pytest.fail("it asks again"))
        assert len(server.asked) == 1
