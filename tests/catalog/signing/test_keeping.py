"""Signed addresses are kept until shortly before they expire, in bounded number, for one signer."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from earthlab.catalog.signing import Signed
from earthlab.catalog.signing.keeping import LONGEST, MARGIN, UNSTATED, Keeper, KeptSigner
from earthlab.errors import CatalogueUnavailable, NotAllowed


class Counting:
    def __init__(self, lasts=3600.0, error=None):
        self.lasts, self.error, self.asked = lasts, error, 0

    def __call__(self):
        self.asked += 1
        time.sleep(0.02)
        if self.error:
            raise self.error
        return Signed(f"https://a.test/?sig={self.asked}", time.time() + self.lasts)


@pytest.fixture
def clock(monkeypatch):
    """Seconds by which time goes on at once."""
    real, ahead = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])
    return ahead


@pytest.mark.parametrize(
    ("lasts", "kept"), [(3600.0, 3600.0 - MARGIN), (float("inf"), UNSTATED - MARGIN), (1e9, LONGEST)]
)
def test_it_is_kept_until_shortly_before_it_expires_and_never_for_ever(clock, lasts, kept):
    keeper, make = Keeper(), Counting(lasts)
    keeper.get("a", make)
    clock[0] = kept - 1
    keeper.get("a", make)
    assert make.asked == 1
    clock[0] = kept + 1
    keeper.get("a", make)
    assert make.asked == 2


def test_what_states_no_expiry_is_given_one():
    signed = Keeper().get("a", Counting(float("inf")))
    assert signed.expires <= time.time() + UNSTATED


def test_no_more_than_so_many_are_kept_and_the_latest_used_stay():
    keeper, make = Keeper(most=3), Counting()
    for key in "abcadaeafa":
        keeper.get(key, make)
    assert make.asked == 6
    keeper.get("b", make)
    assert make.asked == 7


def test_of_many_threads_one_asks():
    keeper, make = Keeper(), Counting()
    with ThreadPoolExecutor(16) as pool:
        assert len({signed.href for signed in pool.map(lambda _: keeper.get("a", make), range(64))}) == 1
    assert make.asked == 1


def test_an_error_reaches_every_thread_that_waits_as_its_own():
    keeper, make = Keeper(), Counting(error=CatalogueUnavailable("down"))
    together = threading.Barrier(8)

    def ask(_):
        together.wait()
        try:
            keeper.get("a", make)
        except CatalogueUnavailable as exc:
            return exc

    with ThreadPoolExecutor(8) as pool:
        raised = list(pool.map(ask, range(8)))
    assert {str(exc) for exc in raised} == {"down"}
    assert len({id(exc) for exc in raised}) == 8
    assert make.asked < 8
    make.error = None
    assert keeper.get("a", make)


def test_a_refusal_is_repeated_for_half_a_minute_and_then_asked_for_again(clock):
    keeper, make = Keeper(), Counting(error=NotAllowed("no"))
    for _ in range(3):
        with pytest.raises(NotAllowed, match="no"):
            keeper.get("a", make)
    assert make.asked == 1
    clock[0] = 31
    make.error = None
    assert keeper.get("a", make)


def test_a_fork_begins_anew_even_while_a_thread_holds_the_lock():
    keeper, make = Keeper(), Counting()
    keeper.get("a", make)
    with keeper._lock:
        child = os.fork()
        if child == 0:
            keeper.get("a", make)
            os._exit(make.asked)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_any_signer_can_be_kept():
    class Local:
        asked = 0

        def match(self, href):
            return href.startswith("https://a.test/")

        def sign(self, href):
            self.asked += 1
            return Signed(f"{href}?sig={self.asked}", time.time() + 3600)

    signer = KeptSigner(local := Local())
    assert signer.match("https://a.test/x")
    assert signer.sign_many(["https://a.test/x", "https://a.test/y"])["https://a.test/x"] is signer.sign(
        "https://a.test/x"
    )
    assert local.asked == 2
