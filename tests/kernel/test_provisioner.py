"""Which kernels are forked, and what happens where none can be."""

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from earthlab.hub.parts import read_memory
from earthlab.kernel import wire
from earthlab.kernel.forking import Child
from earthlab.kernel.forks import ForkedProcess
from earthlab.kernel.groups import Group
from earthlab.kernel.life import parse_life
from earthlab.kernel.memory import MachineMemory
from earthlab.kernel.nursery import Nursery, Parked, has_room
from earthlab.kernel.provisioner import NURSERY, can_be_parked, reason_against
from earthlab.testing.providers import catalogue, item, provider, unreachable_url
from tests.kernel.running_kernel import fork_nursery, notebook, wait_for_parked
from tests.patience import PATIENCE, eventually

COMMAND = [sys.executable, "-P", "-m", "earthlab.kernel", "-f", "k.json"]
IPC = {"transport": "ipc", "ip": "k", "key": ""}


@pytest.mark.parametrize(
    ("command", "kwargs", "environment", "reason"),
    [
        (COMMAND, {}, {}, ""),
        (COMMAND, {"env": {}, "cwd": "/", "stdout": 2, "stderr": None}, {}, ""),
        (["/usr/bin/python3", *COMMAND[1:]], {}, {}, "another program"),
        ([sys.executable, "-m", "ipykernel_launcher", "-f", "k.json"], {}, {}, "another program"),
        (COMMAND, {}, {"PYTHONHASHSEED": "7"}, "PYTHONHASHSEED can only be heeded"),
        (COMMAND, {}, {"PYTHONPATH": "/own"}, "PYTHONPATH can only be heeded"),
        (COMMAND, {"preexec_fn": print}, {}, "cannot be given preexec_fn"),
        (COMMAND, {"independent": True}, {}, "ends with its server"),
        (COMMAND, {"stdout": -1}, {}, "no pipe"),
    ],
)
def test_what_a_copy_cannot_be_is_started_the_ordinary_way(monkeypatch, command, kwargs, environment, reason):
    for name in [name for name in os.environ if name.startswith(("PYTHON", "LD_", "MALLOC"))]:
        monkeypatch.delenv(name)
    found = reason_against(command, kwargs, environment)
    assert reason in found
    assert bool(reason) == bool(found)


def test_a_kernel_made_ready_beforehand_stands_only_for_one_without_wishes():
    assert can_be_parked(["-f", "k.json"], {}, IPC)
    assert not can_be_parked(["-f", "k.json", "--HistoryManager.hist_file=:memory:"], {}, IPC)
    assert not can_be_parked(["-f", "k.json"], {"stdout": 2}, IPC)
    assert not can_be_parked(["-f", "k.json"], {}, IPC | {"transport": "tcp"})
    assert not can_be_parked(["-f", "k.json"], {}, IPC | {"curve_secretkey": "x"})


@pytest.fixture
def nursery(home, template):
    forked = fork_nursery(template.socket, home, parked=0)
    yield forked
    forked.close()


def works_the_slow_way(home, caplog, reason):
    with caplog.at_level(logging.WARNING), notebook(home / "runtime") as book:
        assert not isinstance(book.process, ForkedProcess)
        assert book.run("print(6 * 7)").text == "42\n"
    warned = [record.getMessage() for record in caplog.records if "slow way" in record.getMessage()]
    assert len(warned) == 1, caplog.records
    assert reason in warned[0]


@pytest.mark.lab
@pytest.mark.filterwarnings("default")
class TestFaults:
    def test_a_nursery_killed_leaves_its_kernels_running_and_the_next_starts_the_slow_way(self, home, nursery, caplog):
        with notebook(home / "runtime") as book:
            assert isinstance(book.process, ForkedProcess)
            os.kill(nursery.pid, signal.SIGKILL)
            nursery.wait(PATIENCE)
            assert book.run("print(6 * 7)").text == "42\n"
            works_the_slow_way(home, caplog, "no template answers")
            book.run("import os")
            book.client.execute("os._exit(7)")
            assert book.process.wait(PATIENCE) == 1
            assert not book.manager.is_alive()

    def test_a_nursery_that_hangs_is_not_waited_for_forever(self, home, nursery, caplog, monkeypatch):
        monkeypatch.setattr("earthlab.kernel.provisioner.ANSWER_WITHIN", 0.5)
        os.kill(nursery.pid, signal.SIGSTOP)
        try:
            works_the_slow_way(home, caplog, "does not answer")
        finally:
            os.kill(nursery.pid, signal.SIGCONT)

    def test_no_nursery_is_set_up(self, home, caplog, monkeypatch):
        monkeypatch.delenv(NURSERY)
        with caplog.at_level(logging.WARNING), notebook(home / "runtime") as book:
            assert not isinstance(book.process, ForkedProcess)
        assert "slow way" not in caplog.text


@pytest.mark.lab
@pytest.mark.filterwarnings("default")
def test_parked_kernels_are_refilled_and_end_with_their_nursery(home, template):
    nursery = fork_nursery(template.socket, home, parked=1)
    wait_for_parked(home)
    with notebook(home / "runtime") as book:
        wait_for_parked(home)
        waiting = {int(each.name.split("-")[1]) for each in home.glob("parked-*-ipc-5")}
        assert book.process.pid not in waiting
        for pid in waiting:
            # 16 MB: what each copy writes to is each one's own, a hundred times in a class.
            assert read_memory(pid).private < 24e6
    handles = [os.pidfd_open(pid) for pid in waiting]
    nursery.close()
    for handle in handles:
        signal_sent = time.monotonic()
        from earthlab.kernel.process import wait_for_end

        assert wait_for_end(handle, PATIENCE), signal_sent
        os.close(handle)


@pytest.mark.lab
@pytest.mark.filterwarnings("default")
def test_where_others_go_before_the_next_kernel_is_made_later(home, template):
    left = {*home.glob("parked-*-ipc-5")}
    nursery = fork_nursery(template.socket, home, parked=1, rest=3600.0)
    wait_for_parked(home, len(left) + 1)
    (waiting,) = {*home.glob("parked-*-ipc-5")} - left
    with notebook(home / "runtime") as first, notebook(home / "runtime") as book:
        # One that is made ready may not have said so yet when the first is asked for.
        assert int(waiting.name.split("-")[1]) in {first.process.pid, book.process.pid}
        # Twice as long as where nobody says how long.
        time.sleep(4)
        assert {*home.glob("parked-*-ipc-5")} - left <= {waiting}
    nursery.close()


@pytest.mark.lab
def test_a_parked_kernel_has_searched_the_catalogue_so_that_its_own_search_is_one_request(home, template, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "of-the-server")
    with provider(catalogue([item("a"), item("b")])) as running:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", running.url)
        nursery = fork_nursery(template.socket, home, parked=1)
        wait_for_parked(home)
        eventually(lambda: len(running.requests) >= 2, what="the search of the parked one")
        assert [request.path for request in running.requests] == ["/", "/search"]
        with notebook(home / "runtime") as book:
            assert book.run("print(len(el.search(limit=10)))").text == "2\n"
            # The next one is parked meanwhile, and asks as the first did: each landing page is of one of these two.
            eventually(lambda: len(running.requests) >= 5, what="the requests of both")
            assert Counter(request.path for request in running.requests) == {"/": 2, "/search": 3}
        nursery.close()


@pytest.mark.lab
def test_a_kernel_is_parked_also_where_no_catalogue_answers(home, template, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "of-the-server")
    monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", unreachable_url())
    nursery = fork_nursery(template.socket, home, parked=1)
    wait_for_parked(home)
    with notebook(home / "runtime") as book:
        assert "CatalogueUnavailable" in book.run("el.search(limit=10)").error
    nursery.close()


@pytest.fixture
def keeper(tmp_path):
    """A nursery whose only parked kernel is a process that sleeps."""
    waits = subprocess.Popen(["sleep", "60"], start_new_session=True)
    ours, theirs = wire.pair()
    own = Parked(Child(waits.pid, os.pidfd_open(waits.pid)), ours, ready=True)
    (tmp_path / f"parked-{waits.pid}-ipc-1").touch()
    nursery = Nursery(
        listener=theirs, lives={}, admits=bool, stale=str, owner=-1, wanted=1, content={"place": str(tmp_path)},
        parking=parse_life("parked=earthlab.kernel.kernels:run_parked_kernel"), parked=[own],
    )  # fmt: skip
    nursery.watch(ours, list)
    yield nursery
    for each in [*nursery.parked]:
        nursery._drop(each)
    waits.returncode = 0
    theirs.close()


def test_a_kernel_that_nobody_wants_for_long_goes_until_the_next_request(keeper, tmp_path):
    assert keeper.tend() is None
    assert len(keeper.parked) == 1
    assert 0 < keeper.next_due() - time.monotonic() < 60

    keeper.asked_at -= 3600
    assert keeper.tend() is None
    assert keeper.parked == []
    assert keeper.next_due() == float("inf")
    assert list(tmp_path.iterdir()) == []
    keeper.take_ready({}, -1)
    assert keeper.next_due() <= time.monotonic()


def test_where_memory_is_short_no_kernel_waits_beside_another(keeper, monkeypatch):
    monkeypatch.setattr("earthlab.kernel.nursery.has_room", lambda share: share < 0.2)
    assert keeper.tend() is None
    assert len(keeper.parked) == 1, "nobody has a kernel yet: it is about to be wanted"
    kernel = Child(os.getpid(), os.pidfd_open(os.getpid()))
    keeper.children[kernel.handle] = kernel
    keeper.look_at -= 3600
    assert keeper.tend() is None
    assert keeper.parked == []
    assert keeper.tend() is None
    assert keeper.next_due() > time.monotonic() + 5
    os.close(kernel.handle)


@pytest.mark.parametrize(("limit", "room"), [("max\n", True), ("1000\n", True), ("600\n", False)])
def test_there_is_no_more_room_than_the_user_may_have(tmp_path, monkeypatch, limit, room):
    for name, text in {
        "max": limit,
        "current": "450\n",
        "stat": "inactive_file 50\n",
        "events": "oom_kill 0\n",
    }.items():
        (tmp_path / f"memory.{name}").write_text(text)
    own = Group(2, {"memory": tmp_path / "earthlab"})
    monkeypatch.setattr("earthlab.kernel.nursery._own_group", lambda: own)
    monkeypatch.setattr("earthlab.kernel.nursery.read_machine_memory", lambda: MachineMemory(10**6, 10**6))
    assert has_room(0.4) == room


def test_where_the_memory_cannot_be_read_there_is_no_room_and_the_nursery_goes_on(keeper, monkeypatch):
    def refuse():
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("earthlab.kernel.nursery.read_machine_memory", refuse)
    assert not has_room(0.1)
    keeper.wanted = 2
    assert keeper.tend() is None
    assert len(keeper.parked) == 1


def test_a_request_does_not_wait_for_a_look_at_the_memory(keeper, monkeypatch):
    looks = []
    monkeypatch.setattr("earthlab.kernel.nursery.has_room", lambda share: not looks.append(share))
    keeper.children[0] = Child(0, 0)
    for _ in range(5):
        assert keeper.tend() is None
    assert len(looks) == 1


def list_files():
    return {each.name for each in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("refused", ["os.fork", "earthlab.kernel.wire.seal"])
def test_where_no_process_can_be_made_nothing_is_left_open_and_the_next_try_waits(keeper, monkeypatch, refused):
    def refuse(*_):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(refused, refuse)
    monkeypatch.setattr("earthlab.kernel.nursery.has_room", lambda share: True)
    keeper.wanted = 2
    before = list_files()
    assert keeper.tend() is None
    assert list_files() == before
    assert len(keeper.parked) == 1
    assert keeper.next_due() > time.monotonic() + 5


@pytest.mark.lab
@pytest.mark.filterwarnings("default")
def test_settings_changed_since_a_kernel_was_made_ready_are_heeded(home, template):
    nursery = fork_nursery(template.socket, home, parked=1)
    wait_for_parked(home)
    startup = home / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "00-own.py").write_text("own = 42\n")
    with notebook(home / "runtime") as book:
        assert isinstance(book.process, ForkedProcess)
        assert book.run("print(own)").text == "42\n"
    nursery.close()
