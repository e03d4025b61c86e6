import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.hub.accounts import USER_PATTERN, account_name
from earthlab.hub.identities import Identity, IdentityStore, propose_user

ISSUER = "https://idp.example/realms/lab"
SUBJECTS = st.text(min_size=1, max_size=255)


@pytest.fixture
def store(tmp_path):
    return IdentityStore(tmp_path / "identities.sqlite")


@given(SUBJECTS, st.text())
def test_whatever_an_institution_says_an_account_has_a_valid_name_that_is_always_the_same(subject, wanted):
    identity = Identity(ISSUER, subject)
    try:
        user = propose_user(identity, wanted)
    except BadRequest:
        assert re.match(r"[\W_]*(atelier|repetition)", wanted, re.IGNORECASE)
        return
    assert re.fullmatch(USER_PATTERN, user)
    assert user == propose_user(identity, wanted)
    assert not user.startswith(("atelier-", "repetition-"))
    assert len(account_name(user, "0123abcd")) <= 32


@given(SUBJECTS, SUBJECTS)
def test_two_subjects_never_have_the_same_name(one, other):
    names = {propose_user(Identity(ISSUER, subject), f"id {subject}") for subject in (one, other)}
    assert (len(names) == 1) is (one == other)


def test_subjects_that_differ_in_case_alone_are_two_people():
    names = {propose_user(Identity(ISSUER, subject), subject) for subject in ("ada", "Ada", "ADA")}
    assert len(names) == 3
    assert "ada" in names


@pytest.mark.parametrize(
    ("wanted", "user"),
    [
        ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        ("zoé.martin", "zoe-martin-[0-9a-f]{16}"),
        ("028c8f1c" * 8 + "@egi.eu", "028c8f1c028c8f1c028c8f1c028c8f1c028c8f1c-[0-9a-f]{16}"),
        ("Ада", "membre-[0-9a-f]{16}"),
        ("../../etc", "etc-[0-9a-f]{16}"),
        ("ada\n", "ada-[0-9a-f]{16}"),
    ],
)
def test_a_name_is_taken_as_it_stands_or_told_apart_by_the_identity(wanted, user):
    assert re.fullmatch(user, propose_user(Identity(ISSUER, "s"), wanted))


@pytest.mark.parametrize("wanted", ["atelier-theia-001", "repetition-001", "Atelier Theia", "répétition_1"])
def test_names_of_seats_are_refused(wanted):
    with pytest.raises(BadRequest, match="are seats"):
        propose_user(Identity(ISSUER, "s"), wanted)


def test_an_identity_keeps_its_account_and_an_account_its_identity(store):
    ada, eve = Identity(ISSUER, "1"), Identity(ISSUER, "2")
    assert store.user_of(ada) is None
    assert store.bind(ada, "ada")
    assert not store.bind(eve, "ada")
    assert not store.bind(ada, "ada2")
    assert (store.user_of(ada), store.user_of(eve)) == ("ada", None)
    assert store.user_of(Identity("https://another.example", "1")) is None
    assert (store.knows("ada"), store.knows("eve")) == (True, False)


def test_of_many_who_want_a_name_at_once_one_gets_it(store):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.bind(Identity(ISSUER, str(n)), "ada"), range(16)))
    assert won.count(True) == 1


def test_the_book_is_the_hubs_alone_and_names_nobody_of_the_institution(store):
    store.bind(Identity(ISSUER, "subject-of-ada"), "ada")
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    for words in (b"subject-of-ada", b"idp.example"):
        assert words not in store.path.read_bytes()
