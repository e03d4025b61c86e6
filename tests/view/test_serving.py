"""The socket of a kernel: who may come, what is bounded, what is left behind."""

import http.client
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from earthlab.errors import SetupError
from earthlab.view import serving
from earthlab.view.serving import Reply, SocketServer, is_own, short_path
from tests.patience import PATIENCE, eventually


class Line(http.client.HTTPConnection):
    """HTTP to a socket of the file system."""

    def __init__(self, path):
        super().__init__("kernel", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        with short_path(self.path) as name:
            self.sock.connect(name)


def ask(path, method, address, body=None, **headers):
    line = Line(path)
    try:
        with suppress(BrokenPipeError):  # refused before all of it was sent: the answer waits to be read
            line.request(method, address, body, headers)
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "runtime").mkdir(mode=0o700)
    return tmp_path / "runtime"


@pytest.fixture
def serve(folder):
    servers = []

    def serve(
        answer=lambda request: Reply(
            200, "text/plain", repr((request.method, request.parts, request.words, request.body)).encode()
        ),
    ):
        servers.append(SocketServer(folder / "earthlab-a.sock", answer))
        return servers[-1].path

    yield serve
    for server in servers:
        server.close()


def test_a_request_comes_in_parts(serve):
    path = serve()
    assert ask(path, "GET", "/tiles/%C3%A9t%C3%A9/3?band=a%2Cb&low=-1") == (
        200,
        "('GET', ('tiles', 'été', '3'), {'band': 'a,b', 'low': '-1'}, b'')".encode(),
    )
    assert ask(path, "POST", "/series", b"{}") == (200, b"('POST', ('series',), {}, b'{}')")


def test_nobody_else_can_look_in(serve):
    path = serve()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_see_is_refused(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(SetupError, match=r"with mode 755; a folder of our own with mode 700 was expected.*chmod 700"):
        SocketServer(tmp_path / "open" / "a.sock", lambda request: Reply(200, "", b""))


def test_paths_may_be_longer_than_sockets_take(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    server = SocketServer(
        deep / "earthlab-12345678-1234-1234-1234-123456789abc.sock", lambda request: Reply(200, "", b"x")
    )
    try:
        assert ask(server.path, "GET", "/") == (200, b"x")
    finally:
        server.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_gets_no_answer():
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1)"
    with tempfile.TemporaryDirectory(prefix="el-") as name, socket.socket(socket.AF_UNIX) as listener:
        place = Path(name, "s")
        listener.bind(str(place))
        for each, mode in ((place.parent, 0o755), (place, 0o777)):
            each.chmod(mode)
        listener.listen()
        listener.settimeout(PATIENCE)
        answers = []
        for user in (65534, 0):
            asking = subprocess.Popen([sys.executable, "-S", "-c", code, str(place)], user=user, group=user)
            connection, _ = listener.accept()
            with connection:
                answers.append(is_own(connection))
            asking.wait(PATIENCE)
    assert answers == [False, True]


def test_a_body_that_is_too_long_or_without_length_is_refused(serve):
    path = serve()
    assert ask(path, "POST", "/series", b"", **{"Content-Length": "1000001"})[0] == 413
    assert ask(path, "POST", "/series", iter([b"x"]), **{"Transfer-Encoding": "chunked"})[0] == 413


def test_so_many_are_answered_at_once_and_the_others_wait(serve, monkeypatch):
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 3)
    free, within, most = threading.Event(), [], []

    def answer(_request):
        within.append(1)
        most.append(len(within))
        free.wait(PATIENCE)
        within.pop()
        return Reply(200, "", b"x")

    path, answers = serve(answer), []
    threads = [threading.Thread(target=lambda: answers.append(ask(path, "GET", "/"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(most) < 3:
        time.sleep(0.01)
    time.sleep(0.2)
    assert len(most) == 3
    free.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert answers == [(200, b"x")] * 8
    assert max(most) == 3


def test_who_has_gone_is_known_to_be_gone(serve):
    seen, asked, gone = [], threading.Event(), threading.Event()

    def answer(request):
        seen.append(request.is_wanted())
        asked.set()
        gone.wait(PATIENCE)
        seen.append(request.is_wanted())
        asked.clear()
        return Reply(200, "", b"")

    line = Line(serve(answer))
    line.request("GET", "/")
    asked.wait(PATIENCE)
    line.close()
    gone.set()
    while asked.is_set():
        time.sleep(0.01)
    assert seen == [True, False]


def test_a_socket_that_was_left_is_replaced_and_others_swept(folder, serve):
    for name in ("earthlab-a.sock", "earthlab-b.sock", "earthlab-new.sock"):
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(folder / name))
        left.close()
    old = time.time() - 3600
    os.utime(folder / "earthlab-b.sock", (old, old))
    living = SocketServer(folder / "earthlab-c.sock", lambda request: Reply(200, "", b"c"))
    os.utime(living.path, (old, old))
    path = serve()
    assert {each.name for each in folder.iterdir()} == {"earthlab-a.sock", "earthlab-c.sock", "earthlab-new.sock"}
    assert ask(path, "GET", "/")[0] == 200
    assert ask(living.path, "GET", "/") == (200, b"c")
    living.close()


def test_closing_ends_it_and_removes_the_socket(folder):
    server = SocketServer(folder / "earthlab-a.sock", lambda request: Reply(200, "", b"x"))
    listening = [each for each in threading.enumerate() if each.name == "earthlab-layers"]
    server.close()
    server.close()
    for thread in listening[-1:]:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert not list(folder.iterdir())
    with pytest.raises(FileNotFoundError):
        ask(folder / "earthlab-a.sock", "GET", "/")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_that_closes_it_leaves_it_to_its_owner(folder, serve):
    path = serve()
    server = SocketServer(folder / "earthlab-f.sock", lambda request: Reply(200, "", b"f"))
    child = multiprocessing.get_context("fork").Process(target=server.close)
    child.start()
    child.join(PATIENCE)
    assert child.exitcode == 0
    assert ask(server.path, "GET", "/") == (200, b"f")
    assert path.exists()
    server.close()


def layer_threads():
    return [each for each in threading.enumerate() if each.name == "earthlab-layer"]


def test_one_after_another_is_served_by_few_threads_which_stay_a_while(serve, monkeypatch):
    before, served = len(layer_threads()), set()
    path = serve(lambda request: served.add(threading.get_ident()) or Reply(200, "", b""))
    for _ in range(20):
        ask(path, "GET", "/")
    assert len(served) <= 3
    assert len(layer_threads()) - before <= 3


def test_at_once_each_has_a_thread_and_all_are_answered(serve):
    everybody = threading.Barrier(8, timeout=120)
    path = serve(lambda request: everybody.wait() is not None and Reply(200, "", request.parts[0].encode()))
    for _ in range(3):
        with ThreadPoolExecutor(8) as asking:
            answers = list(asking.map(lambda name: ask(path, "GET", f"/{name}"), "abcdefgh"))
        assert answers == [(200, name.encode()) for name in "abcdefgh"]


def test_who_waits_in_vain_goes_and_the_next_is_served_all_the_same(serve, monkeypatch):
    monkeypatch.setattr(serving, "_WAITS", 0.05)
    before = len(layer_threads())
    path = serve(lambda request: Reply(200, "", b"x"))
    for pause in (0.0, 0.05, 0.05, 0.2, 0.05, 0.05):
        time.sleep(pause)
        assert ask(path, "GET", "/") == (200, b"x")
    eventually(lambda: len(layer_threads()) <= before)


def test_a_server_that_is_closed_leaves_nobody_waiting(folder):
    before = len(layer_threads())
    server = SocketServer(folder / "earthlab-b.sock", lambda request: Reply(200, "", b"x"))
    ask(server.path, "GET", "/")
    eventually(lambda: server._crew._idle == 1)
    server.close()
    eventually(lambda: len(layer_threads()) <= before)
