"""The relay before a server: it hands on, answers 503, and hands on again."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from earthlab.testing.answering import answering
from earthlab.testing.outages import serve_relay

LARGE = b"x" * 300_000


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    slow = threading.Event()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(LARGE)))
        self.end_headers()
        if self.path == "/slow":
            self.wfile.write(LARGE[:10])
            self.wfile.flush()
            self.slow.wait()
        else:
            self.wfile.write(LARGE)

    def log_message(self, *_):
        pass


@pytest.fixture
def relay():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with answering(server), serve_relay(server.server_port) as found:
        yield found
        Handler.slow.set()


def test_what_is_before_a_server_that_goes_and_comes_back(relay):
    assert httpx.get(relay.url).content == LARGE
    with relay.away():
        assert httpx.get(relay.url).status_code == 503
    assert httpx.get(relay.url).content == LARGE


def test_an_answer_that_is_under_way_is_cut(relay):
    with httpx.stream("GET", f"{relay.url}/slow") as answer, relay.away(), pytest.raises(httpx.TransportError):
        answer.read()
