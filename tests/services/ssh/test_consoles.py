"""A console on a live kernel: what is in the notebook's memory is at the prompt."""

import json
import os
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from earthlab.errors import BadRequest, NothingFound
from earthlab.services.ssh.consoles import Kernel, render_kernels, resolve_kernel
from earthlab.testing.ports import free_row
from tests.patience import PATIENCE
from tests.services.ssh.running_door import Screen

KERNELS = [
    Kernel("aaaa1111-0", "cours/leçon.ipynb", "idle"),
    Kernel("aaaa2222-0", "essais/leçon.ipynb", "busy"),
    Kernel("bbbb3333-0", "", "idle"),
]


@pytest.mark.parametrize(
    ("name", "found"),
    [("1", 0), ("3", 2), ("cours/leçon.ipynb", 0), ("essais/leçon.ipynb", 1), ("bbbb", 2), ("aaaa2", 1)],
)
def test_a_kernel_is_meant_by_number_place_or_the_beginning_of_its_id(name, found):
    assert resolve_kernel(KERNELS, name) is KERNELS[found]


@pytest.mark.parametrize("name", ["leçon", "leçon.ipynb", "aaaa"])
def test_a_name_of_several_kernels_is_refused(name):
    with pytest.raises(BadRequest, match="2 noyaux"):
        resolve_kernel(KERNELS, name)


@pytest.mark.parametrize("name", ["4", "0", "bbb", "autre.ipynb"])
def test_a_name_of_none_is_refused_with_the_list(name):
    with pytest.raises(NothingFound, match="cours/leçon"):
        resolve_kernel(KERNELS, name)


def test_where_none_runs_the_list_says_so():
    assert "No kernel is running" in render_kernels([])


class Jupyter:
    """A server of Jupyter's that runs inside, as the user's own does."""

    def __init__(self, door, name):
        self.door, self.name, self.port = door, name, free_row(1)
        self.token = f"server-token-of-{name}"
        self.url = f"http://127.0.0.1:{self.port}/user/{name}/"
        door.add_user(name)
        door.extra |= {"JUPYTERHUB_SERVICE_URL": self.url}
        self.process = door.begin(
            name,
            f"exec python -m jupyter_server --ServerApp.port={self.port} --ServerApp.base_url=/user/{name}/ "
            f"--IdentityProvider.token={self.token} --KernelManager.transport=ipc "
            "--ServerApp.jpserver_extensions='{}' 2>&1",
        )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            assert self.process.poll() is None, self.process.stdout.read()
            assert time.monotonic() < until
            time.sleep(0.1)

    def _answers(self):
        try:
            return self.ask("GET", "api/status")
        except OSError:
            return False

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            self.url + path, None if body is None else json.dumps(body).encode(),
            {"Authorization": f"token {self.token}", "Content-Type": "application/json"}, method=method,
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())

    def open_notebook(self, path):
        (self.door.home(self.name) / path).parent.mkdir(exist_ok=True)
        body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        return self.ask("POST", "api/sessions", body)["kernel"]["id"]

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def jupyter(door):
    found = Jupyter(door, "kim")
    yield found
    found.close()
    door.extra.clear()


@pytest.mark.usefixtures("jupyter")
def test_a_console_finds_what_the_notebook_has_and_leaves_the_kernel_alive(door, jupyter):
    listed, nothing = _at_once(door, ("kernel list", b""), ("kernel autre", b""))
    assert "No kernel is running" in listed.stdout.decode()
    assert nothing.returncode == 1
    kernel = jupyter.open_notebook("leçon.ipynb")
    listed, done = _at_once(door, ("kernel list", b""), ("kernel leçon", b"x = 6 * 7\nprint(x)"))
    assert "leçon.ipynb" in listed.stdout.decode()
    assert (done.returncode, done.stdout) == (0, b"42\n"), done.stderr
    assert door.ssh("kim", "kernel 1", input=b"1/0").returncode == 1
    assert door.ssh("kim", f"kernel {kernel[:8]}", input=b"print(x + 1)").stdout == b"43\n"

    screen = Screen(door, "kim", "kernel")
    try:
        screen.wait_for("In [")
        screen.type("print('got', x)\r")
        screen.wait_for("got 42")
        screen.type("import time; print('be' + 'gin'); time.sleep(600)\r")
        screen.wait_for("begin")
        waiting = door.begin("kim", "kernel 1")
        waiting.stdin.write(b"print('my turn', x)")
        waiting.stdin.close()
        assert "The kernel is busy" in waiting.stderr.readline().decode()
        screen.type("\x03")
        screen.wait_for("KeyboardInterrupt")
        screen.type("print('after', x)\r")
        screen.wait_for("after 42")
        assert waiting.stdout.read() == b"my turn 42\n"
        assert waiting.wait(PATIENCE) == 0
        waiting.stdout.close()
        waiting.stderr.close()
        until = time.monotonic() + PATIENCE
        while screen.client.poll() is None:
            # Before the prompt is there it is not heard.
            assert time.monotonic() < until, screen.seen[-500:]
            screen.type("\x04")
            screen.read(0.5)
        assert screen.client.returncode == 0
    finally:
        screen.close()
    assert [one["id"] for one in jupyter.ask("GET", "api/kernels")] == [kernel]
    assert door.ssh("kim", "kernel 1", input=b"print(x)").stdout == b"42\n"
    door.wait_for_line(user="kim", kind="kernel", exit=0)


def _at_once(door, *asked):
    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(lambda one: door.ssh("kim", one[0], input=one[1]), asked))


@pytest.mark.usefixtures("jupyter")
def test_without_a_terminal_and_a_name_the_list_and_the_usage_are_told(door):
    done = door.ssh("kim", "kernel")
    assert done.returncode == 2
    assert b"ssh -t" in done.stdout


@pytest.mark.usefixtures("jupyter")
def test_somebody_elses_kernel_is_refused(door, jupyter):
    door.add_user("dan")
    refused = door.ssh("dan", "kernel list")
    assert refused.returncode == 1
    assert b"403" in refused.stderr
    if os.getuid() == 0:
        (file,) = door.runtime("kim").glob("kernel-*.json")
        assert b"Permission denied" in door.ssh("dan", f"cat {file}").stderr
