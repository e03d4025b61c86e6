import asyncio
import os
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from earthlab.errors import SetupError
from earthlab.hub.accounts import Account
from earthlab.hub.cgroups import Group, Limits
from earthlab.hub.passes import Share
from earthlab.hub.spawners import ForkSpawner, find_noted, fit_limits, make_runtime_folder
from earthlab.kernel.process import read_start
from earthlab.kernel.tcp import read_listeners
from tests.hub.conftest import root_only
from tests.patience import eventually_async


@pytest.fixture
def account(tmp_path):
    return Account("me", os.getuid(), os.getgid(), tmp_path)


def test_sockets_lie_in_a_folder_for_their_owner_alone(tmp_path, account):
    make_runtime_folder(tmp_path / "run", account)
    make_runtime_folder(tmp_path / "run", account)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_a_link_in_the_place_of_that_folder_is_refused(tmp_path, account):
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SetupError, match="Remove it"):
        make_runtime_folder(tmp_path / "run", account)
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o755


def test_a_folder_of_somebody_else_is_refused(tmp_path, account):
    (tmp_path / "run").mkdir()
    stranger = Account("other", os.getuid() + 1, os.getgid(), tmp_path)
    if os.getuid() == 0:
        os.chown(tmp_path / "run", 12345, 12345)
    with pytest.raises((SetupError, PermissionError)):
        make_runtime_folder(tmp_path / "run", stranger)


def test_what_an_earlier_hub_has_noted_is_found_by_pid_and_start():
    since = read_start(os.getpid())
    assert find_noted([os.getpid(), since]).pid == os.getpid()
    assert find_noted([os.getpid(), since - 1]) is None


@pytest.mark.parametrize("noted", [None, [None, None], [1, None]])
def test_where_nothing_was_noted_nothing_is_found(noted):
    assert find_noted(noted) is None


def test_a_seat_gets_what_its_workshop_has_planned_and_never_more_than_anybody_may():
    limits, share = Limits(4 * 2**30), Share(2**30, 0.5)
    assert fit_limits(limits, share) == Limits(2**30, cpu_weight=50)
    assert fit_limits(Limits(2**29), share).memory == 2**29
    assert fit_limits(limits, None) is limits


class Copy:
    """A copy of a template as its spawner sees it, which runs until it is ended."""

    def __init__(self, pid):
        self.pid, self.ended, self.closed = pid, None, False

    def poll(self):
        return self.ended

    def signal_group(self, sent):
        self.ended = -sent

    def close(self):
        self.closed = True


class Spawner(ForkSpawner):
    """One whose template answers when it may."""

    def __init__(self, layout, **words):
        super().__init__(layout=layout, user=SimpleNamespace(name="amina"), **words)
        self.asked, self.noted, self.may_answer = [], 0, asyncio.Event()

    async def _fork(self, life, *, owner, **extra):
        self.asked.append(Copy(100 + len(self.asked)))
        made = self.asked[-1]
        await self.may_answer.wait()
        return made

    def _let_stay(self):
        self.noted += 1


@pytest.fixture
async def spawner(layout):
    """Of a server that runs, and has just lost its nursery."""
    found = Spawner(layout)
    found.found, found.pid = Copy(7), 7
    return found


async def poll_twice(spawner):
    polls = [asyncio.create_task(spawner.poll()) for _ in range(2)]
    await asyncio.sleep(0.01)
    assert spawner.asked
    return polls


async def test_however_many_look_at_a_server_that_lost_its_nursery_it_gets_one(spawner):
    polls = await poll_twice(spawner)
    spawner.may_answer.set()
    assert await asyncio.gather(*polls) == [None, None]
    assert [copy.pid for copy in spawner.asked] == [spawner.nursery.pid]


async def test_whoever_stops_looking_does_not_take_the_nursery_from_the_others(spawner):
    first, second = await poll_twice(spawner)
    first.cancel()
    await asyncio.sleep(0)
    spawner.may_answer.set()
    assert await second is None
    assert spawner.nursery is spawner.asked[0]


async def test_a_look_at_a_server_does_not_take_as_long_as_its_next_nursery(spawner, monkeypatch):
    monkeypatch.setattr("earthlab.hub.spawners._MENDED_WITHIN", 0.01)
    assert await spawner.poll() is None
    assert spawner.nursery is None
    spawner.found.ended = 3
    assert await spawner.poll() == 3


async def test_a_nursery_that_takes_longer_than_a_look_is_noted_when_it_comes(spawner, monkeypatch):
    monkeypatch.setattr("earthlab.hub.spawners._MENDED_WITHIN", 0.01)
    assert [await spawner.poll(), await spawner.poll()] == [None, None]
    spawner.may_answer.set()
    await spawner._renewal
    assert [copy.pid for copy in spawner.asked] == [spawner.nursery.pid]
    assert spawner.noted == 1


async def test_a_nursery_that_comes_when_its_server_has_ended_is_given_up_and_nothing_is_noted(spawner):
    polls = await poll_twice(spawner)
    spawner.found.ended = 0
    assert await spawner.poll() == 0
    spawner.may_answer.set()
    assert await asyncio.gather(*polls) == [0, 0]
    assert spawner.nursery is None
    assert all(copy.closed for copy in spawner.asked)
    assert not spawner.noted


@pytest.fixture
def ended(monkeypatch):
    """The uids of accounts whose processes were ended."""
    found = []
    monkeypatch.setattr("earthlab.hub.spawners.end_account", lambda _layout, uid: found.append(uid) or [])
    return found


async def stop(layout, account, *, accounts="unix", others=(), group=None):
    layout.hub.mkdir(parents=True)
    spawner = Spawner(layout, accounts=accounts)
    spawner.account, spawner._open_group = account, lambda: group
    spawner._open_rooms(account)
    spawner.user.spawners = dict(enumerate([spawner, *others]))
    await spawner.run_post_stop_hook()
    await spawner.run_post_stop_hook()


async def test_where_there_are_no_groups_what_a_server_has_left_ends_with_its_account_s_processes(
    layout, account, ended
):
    await stop(layout, account, others=[SimpleNamespace(active=False)])
    assert ended == [account.uid]


async def test_so_does_what_a_server_has_left_that_ended_while_no_hub_was_there(layout, account, ended, monkeypatch):
    layout.hub.mkdir(parents=True)
    monkeypatch.setattr("earthlab.hub.spawners.resolve_account", lambda *_: account)
    spawner = Spawner(layout, accounts="unix")
    spawner._open_group = lambda: None
    spawner.user.spawners = {"": spawner}
    spawner.load_state({"pid": os.getpid(), "since": read_start(os.getpid()) - 1})
    assert spawner.found is None
    await spawner.run_post_stop_hook()
    assert ended == [account.uid]


async def test_where_no_server_was_noted_nothing_is_ended(layout, ended):
    spawner = Spawner(layout, accounts="unix")
    spawner.user.spawners = {"": spawner}
    spawner.load_state({})
    await spawner.run_post_stop_hook()
    assert ended == []


@pytest.mark.parametrize(
    "words", [{"accounts": "shared"}, {"group": Group(2, {})}, {"others": [SimpleNamespace(active=True)]}]
)
async def test_an_account_that_others_use_or_whose_leftovers_are_known_is_left_alone(layout, account, ended, words):
    await stop(layout, account, **words)
    assert ended == []


ANSWERS = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
print((server := HTTPServer((sys.argv[1], 0), BaseHTTPRequestHandler)).server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def answering(address="127.0.0.1", **options):
    """The port of a web server in a process of its own."""
    with serving(address, **options) as (_, port):
        yield port


@contextmanager
def serving(address="127.0.0.1", **options):
    """A web server in a process of its own, and its port."""
    command = [sys.executable, "-c", ANSWERS, address]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/", **options
    ) as process:
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture
async def starting(spawner, account):
    """Of a server that is just being started."""
    spawner.account, spawner._server = account, SimpleNamespace(base_url="/user/amina/")
    spawner.accounts = "unix"
    yield spawner
    spawner._free_port()


async def test_a_server_is_up_when_its_user_s_own_process_answers(starting):
    with answering() as port:
        assert await starting._comes_up("127.0.0.1", port)


@root_only
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
async def test_somebody_else_s_page_on_the_port_of_a_server_is_refused(starting, address):
    with (
        answering(address, user=65534, group=65534, extra_groups=[]) as port,
        pytest.raises(SetupError, match=rf"port {port} .* found a process of uid 65534, expected one of uid 0") as no,
    ):
        await starting._comes_up("127.0.0.1", port)
    assert no.value.jupyterhub_message == str(no.value)
    assert starting.port == 0


@root_only
async def test_the_last_attempt_to_start_a_server_is_looked_at_like_the_first(starting, monkeypatch):
    with answering(user=65534, group=65534, extra_groups=[]) as port:
        ended = [True, True, False]

        async def launch():
            starting.found.ended = 1 if ended.pop(0) else None
            return "127.0.0.1", port

        monkeypatch.setattr(starting, "_launch", launch)
        with pytest.raises(SetupError, match="Start the server again"):
            await starting._launch_until_up()
    assert not ended


@root_only
async def test_the_token_of_a_server_is_for_its_user_s_own_processes_alone(starting):
    for user, own in ((os.getuid(), True), (65534, False)):
        with answering(user=user, group=user, extra_groups=[]) as port:
            starting._server = SimpleNamespace(ip="127.0.0.1", port=port)
            assert starting.holds_port(read_listeners()) == own
    assert not starting.holds_port(read_listeners())


async def test_where_nobody_is_found_who_answers_the_log_says_so_once(starting, monkeypatch, caplog):
    looks = []
    monkeypatch.setattr("earthlab.hub.spawners.read_listeners", lambda: looks.append(1) or [])
    with answering() as port:
        coming = asyncio.create_task(starting._comes_up("127.0.0.1", port))
        await eventually_async(lambda: len(looks) >= 3)
        starting.found.ended = 1
        assert not await coming
    assert [port in record.args for record in caplog.records if "does not tell" in record.message] == [True]


async def test_an_answer_of_whoever_has_gone_again_does_not_count(starting):
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
    assert not starting._listens(read_listeners(), "127.0.0.1", port)


def bind_as_a_user(port):
    """What somebody else on the machine hears who would have a port."""
    asks = f"import socket; socket.create_server(('127.0.0.1', {port}), reuse_port=True)"
    options = {"user": 65534, "group": 65534, "extra_groups": []}
    done = subprocess.run([sys.executable, "-c", asks], check=False, capture_output=True, text=True, cwd="/", **options)
    return done.stderr


@root_only
async def test_the_port_of_a_server_that_has_just_ended_is_nobody_s_until_the_proxy_has_forgotten_it(starting):
    with serving(user=65534, group=65534, extra_groups=[]) as (process, port):
        starting._server, starting.user.spawners = SimpleNamespace(ip="127.0.0.1", port=port), {}
        starting.found, starting.pid, starting.nursery = Copy(process.pid), process.pid, Copy(8)
        polls = await asyncio.gather(*(starting.poll() for _ in range(3)))
        assert polls == [None, None, None]
    held = starting.listener
    assert "Address already in use" in bind_as_a_user(port)
    starting.found.ended = 1
    assert await starting.poll() == 1
    assert "Address already in use" in bind_as_a_user(port)
    await starting.run_post_stop_hook()
    assert held.fileno() == -1
    assert bind_as_a_user(port) == ""


@root_only
async def test_the_port_of_a_server_is_held_from_when_it_is_up(starting):
    with serving() as (process, port):
        starting.pid = process.pid
        assert await starting._comes_up("127.0.0.1", port)
        assert starting.listener.getsockname() == ("127.0.0.1", port)


@root_only
async def test_a_server_that_does_not_listen_yet_is_looked_at_again(starting):
    with serving() as (process, port):
        starting.pid = process.pid
        starting._hold_port([], "127.0.0.1", port)
        assert starting.listener is None
        starting._hold_port(read_listeners(), "127.0.0.1", port)
        assert starting.listener.getsockname() == ("127.0.0.1", port)


async def test_where_the_machine_does_not_let_the_hub_hold_a_port_it_asks_once(starting, monkeypatch, caplog):
    starting.pid = os.getpid()

    caplog.set_level("INFO", starting.log.name)

    def refuse(*_args):
        raise PermissionError(1, "pidfd_getfd: Operation not permitted")

    monkeypatch.setattr("earthlab.hub.spawners.share_listener", refuse)
    for _ in range(2):
        starting._hold_port([], "127.0.0.1", 1)
    assert starting.listener is None
    assert sum("is not held" in record.message for record in caplog.records) == 1
