"""Rows of ports: one taker each, whoever asks and whatever is in use."""

import socket
import subprocess
import sys

from earthlab.testing.ports import free_row

ASKS = "from earthlab.testing.ports import free_row\nprint(*[free_row() for _ in range(20)])"


def test_processes_that_ask_at_once_get_rows_of_their_own():
    asking = [subprocess.Popen([sys.executable, "-c", ASKS], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    given = [int(first) for process in asking for first in process.communicate()[0].split()]
    assert len(given) == len(set(given)) == 60


def test_a_row_is_passed_over_while_one_of_its_ports_is_in_use():
    free_row()
    following = free_row() + 10
    with socket.create_server(("127.0.0.1", 18500 + (following + 7 - 18500) % 10000)):
        assert free_row() != following
