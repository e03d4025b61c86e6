"""Who has left a seat: no page is connected to its kernels, and its processes wait."""

import os
import time

import pytest

from earthlab.hub.leaving import Attendance, Sight, has_no_page, look
from earthlab.testing.providers import fixed, json_answer, provider, unreachable_url

SEATS = {"amina/": 1001, "bruno/": 1002}
HZ = os.sysconf("SC_CLK_TCK")


def see(at, amina=0, bruno=0):
    return Sight(at, {1001: amina, 1002: bruno})


def test_a_look_sees_what_each_account_has_computed():
    before, until = look(1.0).ticks[os.getuid()], time.process_time() + 0.3
    while time.process_time() < until:
        pass
    after = look(2.0)
    assert after.at == 2.0
    assert after.ticks[os.getuid()] >= before + 0.2 * HZ


def test_a_seat_is_quiet_that_computes_next_to_nothing_and_at_first_no_seat_is():
    seen = Attendance()
    assert seen.quiet(see(0), SEATS) == set()
    assert seen.quiet(see(20, amina=HZ // 2, bruno=19 * HZ), SEATS) == {"amina/"}
    assert seen.quiet(see(40, amina=HZ // 2, bruno=19 * HZ), SEATS) == {"amina/", "bruno/"}
    assert seen.quiet(see(60), {"bruno/": 1002}) == {"bruno/"}


def test_who_has_been_away_longest_has_left_first_and_who_came_back_was_never_away():
    seen = Attendance()
    everybody = ("bruno/", "amina/", "chloé/")
    for at, empty in ((0, everybody[:1]), (20, everybody[:2]), (40, everybody), (60, everybody[:2])):
        seen.note(at, empty)
    assert seen.left(609, 600) == ["bruno/"]
    assert seen.left(700, 600) == ["bruno/", "amina/"]
    seen.note(80, ["amina/", "chloé/"])
    assert seen.left(679, 600) == ["amina/"]
    assert seen.left(680, 600) == ["amina/", "chloé/"]


@pytest.mark.parametrize(
    ("status", "said", "empty"),
    [
        (200, {"connections": 0, "kernels": 2}, True),
        (200, {"connections": 1}, False),
        (200, {}, False),
        (200, [], False),
        (403, {"connections": 0}, False),
        (500, {"connections": 0}, False),
    ],
)
async def test_a_server_says_whether_a_page_is_connected_and_one_that_does_not_say_is_not_judged(status, said, empty):
    with provider(fixed(json_answer(said, status))) as running:
        assert await has_no_page(f"{running.url}/user/amina/", "of-amina") is empty
    (request,) = running.requests
    assert request.path == "/user/amina/api/status"
    assert request.headers["Authorization"] == "token of-amina"


async def test_a_server_that_does_not_answer_is_not_judged():
    assert await has_no_page(f"{unreachable_url()}/", "of-amina") is False
