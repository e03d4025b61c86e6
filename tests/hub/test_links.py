import multiprocessing
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from earthlab.errors import BadRequest
from earthlab.hub.links import Entry, GuessLimit, LinkStore, entry_url, parse_code
from earthlab.testing.clocks import Clock


@pytest.fixture
def store(tmp_path):
    return LinkStore(tmp_path / "links.sqlite", clock=Clock())


def test_a_link_signs_in_only_once(store):
    code = store.create("Ada")
    assert store.redeem(code) == Entry(user="ada")
    assert store.redeem(code) == Entry(refusal="used")


def test_a_name_is_promised_for_as_long_as_a_link_of_it_can_be_used(store):
    code = store.create("ada", lifetime=60)
    other = store.create("bob")
    assert store.promises("ada")
    assert not store.promises("eve")
    store.clock.now += 61
    assert not store.promises("ada")
    store.redeem(other)
    assert not store.promises("bob")
    assert store.redeem(code).refusal == "expired"


def test_a_link_expires(store):
    code = store.create("ada", lifetime=60)
    store.clock.now += 61
    assert store.redeem(code) == Entry(refusal="expired")


def test_a_name_that_is_kept_for_the_seats_of_workshops_gets_no_link(store):
    with pytest.raises(BadRequest, match="seats of workshops"):
        store.create("Atelier-theia-001")


@pytest.mark.parametrize("code", ["", "x", "é" * 500, "' OR 1=1 --", "\0"])
def test_an_unknown_code_is_unknown(store, code):
    store.create("ada")
    assert store.redeem(code) == Entry(refusal="unknown")


def test_of_many_threads_exactly_one_gets_in(store):
    code = store.create("ada")
    with ThreadPoolExecutor(16) as pool:
        entries = list(pool.map(store.redeem, [code] * 32))
    assert [e.user for e in entries].count("ada") == 1
    assert {e.refusal for e in entries} == {None, "used"}


def redeem(path, code):
    return LinkStore(path).redeem(code).user


def test_of_many_processes_exactly_one_gets_in(tmp_path):
    path = tmp_path / "links.sqlite"
    code = LinkStore(path).create("ada")
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        users = pool.starmap(redeem, [(path, code)] * 12)
    assert users.count("ada") == 1


def make_many(path):
    """Codes made by eight threads at a time, each used by the thread that made it."""
    store = LinkStore(path)
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(lambda number: store.redeem(store.create(f"u{number}")).user, range(400)))


def test_many_threads_of_many_processes_write_at_a_time_and_none_breaks_anothers_locks(tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.map(make_many, [tmp_path / "links.sqlite"] * 3)
    assert found == [[f"u{number}" for number in range(400)]] * 3
    db = sqlite3.connect(tmp_path / "links.sqlite")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.execute("SELECT count(*) FROM links WHERE used IS NOT NULL").fetchone() == (1200,)
    db.close()


def test_the_database_holds_no_code_and_only_its_owner_can_read_it(store):
    code = store.create("ada")
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert code.encode() not in store.path.read_bytes()
    with sqlite3.connect(store.path) as db:
        assert code not in str(db.execute("SELECT * FROM links").fetchall())
    db.close()


def test_links_older_than_a_day_beyond_their_end_are_forgotten(store):
    old = store.create("ada", lifetime=60)
    store.clock.now += 60 + 25 * 3600
    store.create("bob")
    assert store.redeem(old) == Entry(refusal="unknown")


def test_a_name_that_the_hub_does_not_take_gets_no_link(store):
    with pytest.raises(BadRequest):
        store.create("../root")


def test_the_whole_link_may_be_pasted_in_place_of_the_code(store):
    code = store.create("ada")
    link = entry_url("http://lab.example:8000", code)
    assert parse_code(f"  {link}\n") == parse_code(f" {code} ") == code


def test_guessing_stops_for_one_address_and_begins_again_after_a_minute():
    limit = GuessLimit(most=3, most_in_all=5, window=60, clock=Clock())
    for _ in range(3):
        assert not limit.exceeded("1.2.3.4")
        limit.count("1.2.3.4")
    assert limit.exceeded("1.2.3.4")
    assert not limit.exceeded("5.6.7.8")
    limit.count("5.6.7.8")
    limit.count("9.9.9.9")
    assert limit.exceeded("7.7.7.7"), "five in all"
    limit.clock.now += 61
    assert not limit.exceeded("1.2.3.4")


def test_the_seat_that_nobody_is_given_has_a_link_for_the_warm_up(store):
    assert store.redeem(store.create_trial("neige")).user == "atelier-neige-000"
