"""Layers are known by digests alone, end with their day, and are bounded in number."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from earthlab.errors import AskLess, NothingFound
from earthlab.services.tiles import links as room
from earthlab.services.tiles.links import DAY, Drawn, LinkBook, TooManyGuesses

DRAWN = Drawn("0123456789abcdef0123", ("red",), "2018-07-01T10:00:00", {"low": 0.0, "high": 1.0}, "a title")


@pytest.fixture
def now():
    return [1_800_000_000.0]


@pytest.fixture
def book(tmp_path, now):
    return LinkBook(tmp_path / "layers.sqlite", clock=lambda: now[0])


def test_a_secret_finds_its_layer(book, now):
    link, secret = book.make("ana", DRAWN, 3)
    assert book.find(secret, "here") == link
    assert (link.owner, link.token, link.bands, link.title) == ("ana", DRAWN.token, ("red",), "a title")
    assert (link.made, link.expires) == (now[0], now[0] + 3 * DAY)


def test_no_layer_lives_longer_than_ninety_days(book, now):
    assert book.make("ana", DRAWN, 10_000)[0].expires == now[0] + 90 * DAY


def test_in_the_book_there_is_no_secret_and_only_its_owner_reads_it(book):
    secrets = [book.make("ana", DRAWN, 3)[1] for _ in range(5)]
    content = book.path.read_bytes()
    assert not any(secret.encode() in content for secret in secrets)
    assert book.path.stat().st_mode & 0o777 == 0o600
    assert len(set(secrets)) == 5
    assert min(map(len, secrets)) >= 32


def test_a_secret_is_in_no_repr(book):
    link, secret = book.make("ana", DRAWN, 3)
    book.find(secret, "here")
    assert secret not in repr(book) + repr(link)


def test_what_was_made_before_a_new_start_is_found_after_it(book, tmp_path, now):
    link, secret = book.make("ana", DRAWN, 3)
    again = LinkBook(tmp_path / "layers.sqlite", clock=lambda: now[0])
    assert again.find(secret, "here") == link
    assert again.list_live("ana") == (link,)


def test_an_old_address_is_told_for_a_week_that_it_is_old(book, now):
    _, secret = book.make("ana", DRAWN, 1)
    now[0] += 2 * DAY
    with pytest.raises(NothingFound, match="has expired"):
        book.find(secret, "here")
    now[0] += 7 * DAY
    book.make("bob", DRAWN, 1)
    with pytest.raises(NothingFound, match="not known"):
        book.find(secret, "here")
    with sqlite3.connect(book.path) as db:
        assert db.execute("SELECT COUNT(*) FROM links").fetchone() == (1,)


def test_only_its_owner_takes_a_layer_back_and_once(book):
    link, secret = book.make("ana", DRAWN, 3)
    for owner, name in (("bob", link.id), ("ana", "another")):
        with pytest.raises(NothingFound, match="You have no layer"):
            book.revoke(owner, name)
    book.find(secret, "here")
    book.revoke("ana", link.id)
    with pytest.raises(NothingFound, match="was taken back"):
        book.find(secret, "here")
    with pytest.raises(NothingFound):
        book.revoke("ana", link.id)
    assert book.list_live("ana") == ()


def test_a_person_and_the_lab_have_so_many_at_most(book, now, monkeypatch):
    monkeypatch.setattr(room, "MOST_A_PERSON", 3)
    monkeypatch.setattr(room, "MOST_IN_ALL", 5)
    made = [book.make("ana", DRAWN, 3)[0] for _ in range(3)]
    with pytest.raises(AskLess, match="You have 3 layers"):
        book.make("ana", DRAWN, 3)
    book.revoke("ana", made[0].id)
    book.make("ana", DRAWN, 3)
    for _ in range(2):
        book.make("bob", DRAWN, 3)
    with pytest.raises(AskLess, match="the lab 5"):
        book.make("cleo", DRAWN, 3)
    now[0] += 4 * DAY
    book.make("cleo", DRAWN, 3)


def test_who_guesses_is_stopped_and_what_is_known_is_not(book):
    _, secret = book.make("ana", DRAWN, 3)
    answers = []
    for at in range(100):
        with pytest.raises((NothingFound, TooManyGuesses)) as caught:
            book.find(f"guess-{at}", "192.0.2.1")
        answers.append(caught.type)
    assert answers.count(NothingFound) == room.GUESSES_AN_ADDRESS
    assert book.find(secret, "192.0.2.1")
    with pytest.raises(NothingFound):
        book.find("guess", "192.0.2.2")


def test_guesses_from_everywhere_are_bounded_too(book):
    for at in range(room.GUESSES):
        with pytest.raises(NothingFound):
            book.find(f"guess-{at}", f"address {at}")
    with pytest.raises(TooManyGuesses):
        book.find("guess", "another address")


def test_many_at_once_write_and_read(book):
    def work(at):
        link, secret = book.make(f"user-{at % 5}", DRAWN, 3)
        assert book.find(secret, "here").id == link.id
        if at % 2:
            book.revoke(link.owner, link.id)
        return link.id

    with ThreadPoolExecutor(12) as people:
        made = list(people.map(work, range(60)))
    assert len(set(made)) == 60
    assert sum(len(book.list_live(f"user-{at}")) for at in range(5)) == 30
