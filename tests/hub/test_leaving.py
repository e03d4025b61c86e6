"""Who has left a seat: nobody has a line to its server, and its processes wait."""

import os
import socket
import time

from earthlab.hub.leaving import Attendance, Place, Sight, look, parse_lines

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F91 0100007F:C35A 01 00000000:00000000 00:00000000 00000000  1001        0 2 1 0 20 4 30 10 -1
   2: 0100007F:1F92 0100007F:C35C 06 00000000:00000000 03:00000F3C 00000000     0        0 0 3 0
"""
AMINA, BRUNO = Place(1001, 8001), Place(1002, 8002)
SEATS = {"amina/": AMINA, "bruno/": BRUNO}
HZ = os.sysconf("SC_CLK_TCK")


def see(at, *lines, **ticks):
    return Sight(at, frozenset(lines), {1001: ticks.get("amina", 0), 1002: ticks.get("bruno", 0)})


def test_a_line_is_an_established_connection_and_neither_who_listens_nor_who_has_hung_up():
    assert parse_lines(TABLE) == {0x1F91}


def test_a_look_sees_the_lines_of_this_machine_and_what_each_account_has_computed():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port not in look(0.0).lines
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            sight = look(1.0)
    assert port in sight.lines
    assert sight.at == 1.0
    before, until = sight.ticks[os.getuid()], time.process_time() + 0.3
    while time.process_time() < until:
        pass
    assert look(2.0).ticks[os.getuid()] >= before + 0.2 * HZ


def test_who_closes_the_page_and_computes_nothing_has_left_after_a_while():
    seen = Attendance()
    seen.note(see(0, 8001, 8002), SEATS)
    seen.note(see(20, 8002), SEATS)
    seen.note(see(40), SEATS)
    assert seen.left(620, 600) == ["amina/"]
    assert seen.left(700, 600) == ["amina/", "bruno/"], "who has been away longest goes first"


def test_who_comes_back_was_never_away():
    seen = Attendance()
    for at, *lines in ((0,), (20,), (400, 8001), (420,)):
        seen.note(see(at, *lines), SEATS)
    assert seen.left(800, 600) == ["bruno/"]


def test_a_seat_that_computes_is_nobodys_to_take_though_its_page_is_closed():
    seen = Attendance()
    for number in range(50):
        seen.note(see(20.0 * number, amina=number * HZ * 19, bruno=number), SEATS)
    assert seen.left(980, 600) == ["bruno/"]


def test_the_first_look_says_of_nobody_that_they_have_left():
    seen = Attendance()
    seen.note(see(1000), SEATS)
    assert seen.left(1000, 0) == []


def test_a_seat_that_is_given_up_is_forgotten():
    seen = Attendance()
    for at in (0, 20):
        seen.note(see(at), SEATS)
    seen.note(see(40), {"bruno/": BRUNO})
    seen.note(see(60), SEATS)
    assert seen.left(640, 600) == ["bruno/"]
