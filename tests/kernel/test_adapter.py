"""An adapter of a debugger takes clients of its own account, and closes the line of any other before a byte is read."""

import os
import socket
import threading

import pytest
from debugpy.common import sockets

from earthlab.kernel.adapter import OwnListener, own_listeners
from earthlab.kernel.tcp import find_owners
from tests.hub.conftest import root_only
from tests.kernel.debug_clients import ask

NOBODY = 65534
WAYS = [("AF_INET", "127.0.0.1"), ("AF_INET6", "::ffff:127.0.0.1")]


@pytest.fixture
def listener():
    with own_listeners():
        made = sockets.create_server("127.0.0.1", timeout=2)
    with made:
        yield made


def answer(listener):
    """Say one byte to the next client who is let in."""
    line, _address = listener.accept()
    with line:
        line.sendall(b"x")


@pytest.mark.parametrize(("family", "host"), WAYS)
def test_a_client_of_the_same_account_is_let_in(listener, family, host):
    listener.settimeout(60)
    thread = threading.Thread(target=answer, args=(listener,))
    thread.start()
    assert ask(listener.getsockname()[1], user=os.getuid(), family=family, host=host) == "1"
    thread.join()


@root_only
@pytest.mark.parametrize(("family", "host"), WAYS)
def test_a_client_of_another_account_is_not_heard_and_the_next_of_ours_is(listener, family, host):
    listener.settimeout(60)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=answer, args=(listener,))
    thread.start()
    assert ask(port, user=NOBODY, family=family, host=host) == "0"
    assert ask(port, user=os.getuid()) == "1"
    thread.join()


@pytest.mark.parametrize("user", [os.getuid(), pytest.param(NOBODY, marks=root_only)])
def test_a_client_who_is_gone_already_is_nobodys(listener, user):
    assert ask(listener.getsockname()[1], user=user, stay=False) == "gone"
    with pytest.raises(TimeoutError):
        listener.accept()


def test_a_listener_of_ipv6_knows_its_own_clients():
    with OwnListener(socket.AF_INET6, socket.SOCK_STREAM) as listener:
        listener.bind(("::1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()[:2], timeout=60) as client:
            line, address = listener.accept()
            with line:
                assert address[:2] == client.getsockname()[:2]


def test_no_owner_is_found_of_a_connection_that_is_not_there(listener):
    assert find_owners(("127.0.0.1", 1), listener.getsockname()) == set()


def test_debugpy_listens_as_before_where_nobody_asked_for_our_own():
    with own_listeners():
        pass
    with sockets.create_server("127.0.0.1") as server:
        assert not isinstance(server, OwnListener)
