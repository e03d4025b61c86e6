import gzip
import zlib

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from earthlab.hub.front import ROUTE, FrontHandler, static_folder
from earthlab.hub.server import STATIC, plan_arguments

NAMES = sorted(file.name for file in static_folder().iterdir())
MAIN = next(name for name in NAMES if name.startswith("main.") and name.endswith(".js"))


@pytest.fixture
async def ask():
    server = HTTPServer(Application([(rf"/hub{ROUTE}", FrontHandler)]))
    listener, port = bind_unused_port()
    server.add_socket(listener)
    client = AsyncHTTPClient()
    yield lambda name, **options: client.fetch(f"http://127.0.0.1:{port}{STATIC}/{name}", **options)
    server.stop()
    client.close()
    await server.close_all_connections()


async def test_a_hashed_file_is_whole_and_kept_for_a_year(ask):
    for name in (MAIN, next(name for name in NAMES if name.endswith(".woff2"))):
        answer = await ask(name, decompress_response=False)
        assert answer.body == (static_folder() / name).read_bytes()
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert "Content-Encoding" not in answer.headers


async def test_a_browser_gets_text_compressed(ask):
    answer = await ask(MAIN, decompress_response=False, headers={"Accept-Encoding": "gzip, br"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Type"].partition(";")[0] in {"text/javascript", "application/javascript"}
    assert gzip.decompress(answer.body) == (static_folder() / MAIN).read_bytes()
    assert len(answer.body) < len(zlib.decompress(answer.body, 31)) / 2


@pytest.mark.parametrize(
    "name",
    ["index.html", "build_log.json", "style.js", "nothing.0123456789abcdef.js", "..%2Fschemas.0123456789abcdef.js"],
)
async def test_what_could_change_or_is_not_there_is_not_sent(ask, name):
    with pytest.raises(HTTPClientError) as refused:
        await ask(name)
    assert refused.value.code == 404


def test_the_page_of_every_server_names_that_place(tmp_path):
    assert f"--LabApp.override_static_url={STATIC}" in plan_arguments(tmp_path)


def test_all_that_pages_ask_for_is_there():
    other = {"bootstrap.js", "build_log.json", "index.html", "index.out.js", "package.json", "style.js"}
    hashed = [name for name in NAMES if name not in other | {"third-party-licenses.json"}]
    assert len(hashed) > 200
    from earthlab.hub.front import read_static

    assert sum(len(read_static(name).content) for name in hashed) < 8 * 2**20
