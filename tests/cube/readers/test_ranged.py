"""Remote objects of servers with byte ranges and without."""

import gzip
import http.server
import io
import os
import stat
import threading

import pytest

from earthlab.catalog.signing import Signed
from earthlab.cube.readers.ranged import RangedFile, Refused, open_download
from earthlab.errors import AskLess
from earthlab.testing.providers import fixed, provider, unreachable_url
from earthlab.testing.stores import serve_files

CONTENT = bytes(range(256)) * 5000


def opened(url, most=10**7, **words):
    return open_download(Signed(url), most, **words)


def test_where_there_are_ranges_only_the_bytes_read_are_fetched(tmp_path):
    (tmp_path / "a.bin").write_bytes(CONTENT)
    with serve_files(tmp_path) as store, opened(f"{store.url}a.bin", most=10) as file:
        assert isinstance(file.raw, RangedFile)
        file.seek(-4, io.SEEK_END)
        assert file.read() == CONTENT[-4:]
        assert sum(stop - start for _, start, stop in store.ranges()) < len(CONTENT) / 2


@pytest.mark.parametrize("computed", [True, False])
def test_where_there_are_none_the_answer_is_fetched_once_into_a_file_of_nobody_else(computed):
    with provider(fixed((200, "text/csv", CONTENT))) as running, opened(running.url, computed=computed) as file:
        about = os.fstat(file.fileno())
        assert (stat.S_IMODE(about.st_mode), about.st_nlink) == (0o600, 0)
        assert file.read() == CONTENT
        file.seek(256)
        assert file.read(2) == b"\x00\x01"
    assert ["Range" in request.headers for request in running.requests] == [not computed]


def test_more_than_is_allowed_is_refused_by_the_name_of_the_setting():
    for computed in (True, False):
        with provider(fixed((200, "text/csv", CONTENT))) as running:
            with pytest.raises(AskLess, match=r"more than 0\.954 MiB as a whole.*reading\.download"):
                opened(running.url, most=10**6, computed=computed)
            assert len(running.requests) == 1


def test_what_is_compressed_counts_as_what_it_becomes():
    squeezed = fixed((200, "text/csv", gzip.compress(CONTENT), {"Content-Encoding": "gzip"}))
    with provider(squeezed) as running:
        with opened(running.url, computed=True) as file:
            assert file.read() == CONTENT
        with pytest.raises(AskLess):
            opened(running.url, most=10**6, computed=True)


class _BreaksOff(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    times = 0
    asked = 0

    def do_GET(self):
        type(self).asked += 1
        self.send_response(200)
        self.send_header("content-length", str(len(CONTENT)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(CONTENT[:1000] if self.asked <= self.times else CONTENT)

    def log_message(self, *_):
        return


@pytest.fixture
def breaking_off():
    """The address of a server, and how it behaves: its first ``times`` answers end early."""
    behaviour = type("Handler", (_BreaksOff,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), behaviour)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/a", behaviour
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_answer_that_breaks_off_is_asked_for_again(breaking_off):
    url, behaviour = breaking_off
    behaviour.times = 2
    with opened(url) as file:
        assert file.read() == CONTENT
    assert behaviour.asked == 3
    behaviour.times = 99
    with pytest.raises(OSError, match="breaks off"):
        opened(url)


def test_a_refusal_carries_what_the_server_says():
    with provider(fixed((404, "text/plain", b"no\n matching  results"))) as running:
        with pytest.raises(Refused, match=r"answers 404 Not Found \(no matching results\)") as refused:
            opened(running.url)
        assert (refused.value.status, refused.value.said) == (404, "no\n matching  results")
    too_much = fixed((413, "text/plain", b"Your query produced too much data."))
    with provider(too_much) as running, pytest.raises(AskLess, match=r"too large \(Your query produced too much data"):
        opened(running.url, computed=True)
    with pytest.raises(OSError, match="cannot be reached"):
        opened(unreachable_url())
