import multiprocessing
import sqlite3
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from earthlab.errors import BadRequest
from earthlab.hub.books import open_book
from earthlab.hub.passes import (
    ALPHABET,
    GUESSES,
    GUESSES_AN_ADDRESS,
    LONG_LENGTH,
    MOST_LIVE,
    PASS_LENGTH,
    TRANSFER_LIFETIME,
    PassStore,
    Share,
    SignOut,
    new_code,
    norm_code,
    seat_user,
    show_code,
)
from earthlab.testing.clocks import Clock

DAY = 86400.0


@pytest.fixture
def store(tmp_path):
    return PassStore(tmp_path / "passes.sqlite", clock=Clock())


@pytest.fixture
def passes(store):
    return [issued.code for issued in store.open_seats("theia", 3, 0, DAY, title="Neige et eau", kept=8 * DAY)]


def test_a_pass_leads_to_its_seat_only_once(store, passes):
    claim = store.claim(passes[1])
    assert (claim.user, claim.slug, claim.seat, claim.refusal) == ("atelier-theia-002", "theia", 2, None)
    assert len(claim.secret) > 40
    again = store.claim(passes[1])
    assert (again.refusal, again.user, again.secret) == ("used", "", "")


def test_a_browser_comes_back_to_its_seat_by_its_cookie_its_pass_and_the_join_link(store, passes):
    secret = store.claim(passes[0]).secret
    join = store.join_secret("theia")
    for back in (store.come_back(secret), store.claim(passes[0], secret), store.claim(join, secret)):
        assert (back.user, back.secret, back.refusal) == ("atelier-theia-001", "", None)
    assert store.look(passes[0], secret).user == "atelier-theia-001"
    assert store.claim(passes[1], secret).user == "atelier-theia-002", "another person at the same computer"
    assert [seat.claimed for seat in store.seats("theia")] == [1000, 1000, None]


def test_the_cookie_of_one_workshop_opens_nothing_in_another(store, passes):
    secret = store.claim(passes[0]).secret
    store.open_seats("aeris", 1, 0, DAY)
    assert store.claim(store.join_secret("aeris"), secret).user == "atelier-aeris-001"


def test_a_join_link_gives_each_browser_a_free_seat_from_the_far_end_until_none_is_left(store, passes):
    join = store.join_secret("theia")
    store.claim(passes[2])
    assert [store.claim(join).seat for _ in range(2)] == [2, 1]
    assert store.look(join).refusal == store.claim(join).refusal == "full"


def test_a_pass_whose_seat_was_taken_by_the_join_link_leads_to_another_free_one(store, passes):
    join = store.join_secret("theia")
    assert store.claim(join).seat == 3
    claim = store.claim(passes[2])
    assert claim.seat == 2
    assert store.claim(passes[2], claim.secret).user == "atelier-theia-002"
    assert store.claim(passes[0]).seat == 1
    assert store.claim(passes[1]).refusal == "full"


def test_a_new_join_link_ends_the_one_before(store, passes):
    old = store.join_secret("theia")
    new = store.join_secret("theia")
    assert store.claim(old).refusal == "replaced"
    assert store.claim(new).seat == 3


def test_a_transfer_code_brings_a_second_device_once_within_ten_minutes(store, passes):
    first = store.claim(passes[0])
    code = store.transfer(first.user)
    second = store.claim(code)
    assert (second.user, second.refusal) == (first.user, None)
    assert second.secret != first.secret
    assert store.come_back(first.secret).user == store.come_back(second.secret).user == first.user
    assert store.claim(code).refusal == "used"

    late = store.transfer(first.user)
    store.clock.now += TRANSFER_LIFETIME
    assert store.claim(late).refusal == "expired"
    earlier, later = store.transfer(first.user), store.transfer(first.user)
    assert store.claim(earlier).refusal == "replaced"
    assert store.claim(later).user == first.user


def test_a_seat_issued_anew_is_reached_by_the_new_pass_alone_and_its_old_sessions_end(store, passes):
    old = store.claim(passes[0])
    transfer, keep = store.transfer(old.user), store.keep(old.user)
    issued = store.reissue("theia", 1)
    assert store.come_back(old.secret).refusal == store.claim(transfer).refusal == "replaced"
    assert store.take_kept(keep).refusal == "replaced"
    assert store.claim(passes[0]).refusal == "used"
    assert store.sign_outs() == [SignOut("atelier-theia-001", stop=False)]
    assert store.claim(issued.code).user == old.user


def test_nobody_is_put_into_a_seat_for_which_a_new_pass_was_made(store, passes):
    issued = store.reissue("theia", 3)
    join = store.join_secret("theia")
    assert store.claim(passes[2]).refusal == "replaced"
    assert [store.claim(join).seat for _ in range(2)] == [2, 1]
    assert store.claim(join).refusal == "full"
    assert store.claim(issued.code).seat == 3


def test_nothing_leads_to_a_revoked_seat_until_it_is_issued_anew(store, passes):
    held = store.claim(passes[0])
    transfer = store.transfer(held.user)
    store.revoke("theia", 1)
    store.revoke("theia", 2)
    for refused in (
        store.come_back(held.secret),
        store.claim(transfer),
        store.claim(passes[0], held.secret),
        store.claim(passes[1]),
        store.look(passes[1]),
    ):
        assert (refused.refusal, refused.user) == ("revoked", "")
    for ask in (store.transfer, store.keep):
        with pytest.raises(BadRequest, match="new pass"):
            ask(held.user)
    join = store.join_secret("theia")
    assert [store.claim(join).seat, store.claim(join).refusal] == [3, "full"]
    assert SignOut(held.user, stop=True) in store.sign_outs()
    assert store.seats("theia")[0].revoked == 1000

    assert store.claim(store.reissue("theia", 1).code).user == held.user
    assert store.come_back(held.secret).refusal == "revoked"
    assert SignOut(held.user, stop=True) in store.sign_outs(), "the stop that was asked for stays asked for"


def test_a_sign_out_stays_listed_until_it_is_done_as_it_was_asked_for(store, passes):
    store.reissue("theia", 1)
    (due,) = store.sign_outs()
    store.revoke("theia", 1)
    store.signed_out(due)
    (worse,) = store.sign_outs()
    assert worse.stop
    store.signed_out(worse)
    assert store.sign_outs() == []


def test_codes_wait_for_the_workshop_and_end_with_it_and_its_end_can_be_moved(store):
    store.open_seats("late", 1, 2000, 3000)
    (code,) = [issued.code for issued in store.open_seats("soon", 1, 2000, 3000)]
    assert store.claim(code).refusal == store.look(code).refusal == "early"
    store.clock.now = 2000
    secret = store.claim(code).secret
    store.clock.now = 3000
    assert store.come_back(secret).refusal == "expired"
    assert store.claim(store.join_secret("late")).refusal == "expired"
    store.extend("soon", 4000)
    assert store.come_back(secret).until == 4000
    assert store.stay("atelier-soon-001").kept == 4000


def test_closing_forgets_seats_names_and_codes(store, passes):
    claim = store.claim(passes[0])
    store.rename(claim.user, "Ada")
    store.close("theia")
    store.close("theia")
    assert store.claim(passes[1]).refusal == store.come_back(claim.secret).refusal == "unknown"
    assert (store.seats("theia"), store.stay(claim.user), store.seat_of(claim.user)) == ([], None, None)
    assert b"Ada" not in store.path.read_bytes()
    assert store.open_seats("theia", 1, 0, DAY)[0].seat == 1


def test_a_holder_is_told_of_the_seat_and_may_be_called_something(store, passes):
    user = store.claim(passes[0]).user
    store.rename(user, "  Ada\x00\n <b>Lovelace</b> " + "x" * 99)
    stay = store.stay(user)
    assert (stay.title, stay.opens, stay.closes, stay.kept) == ("Neige et eau", 0, DAY, 8 * DAY)
    assert stay.seat.name == ("Ada <b>Lovelace</b> " + "x" * 99)[:40]
    store.rename(user, "")
    assert store.seats("theia")[0].name == ""
    assert store.seat_of(user) == ("theia", 1)


@pytest.mark.parametrize("user", ["ada", "atelier-theia-004", "atelier-theia-1", "atelier-", "atelier-x-001"])
def test_others_have_no_seat_and_get_no_codes(store, passes, user):
    assert store.seat_of(user) is None
    for ask in (store.transfer, store.keep, lambda user: store.rename(user, "x")):
        with pytest.raises(BadRequest, match="seat"):
            ask(user)


def test_a_seat_that_nobody_has_claimed_gives_no_codes(store, passes):
    with pytest.raises(BadRequest, match="not in its seat"):
        store.transfer("atelier-theia-001")


def test_the_code_to_keep_ones_work_signs_nobody_in_and_works_once_until_the_work_is_deleted(store, passes):
    user = store.claim(passes[0]).user
    code = store.keep(user)
    assert store.claim(code).refusal == "unknown"
    assert store.take_kept(passes[1]).refusal == "unknown"
    store.clock.now = 2 * DAY
    assert store.take_kept(code).user == user
    assert store.take_kept(code).refusal == "used"
    late = store.keep(user)
    store.clock.now = 8 * DAY
    assert store.take_kept(late).refusal == "expired"


@pytest.mark.parametrize(
    ("slug", "seats", "opens", "closes"),
    [
        ("Théia", 1, 0, 1),
        ("-x", 1, 0, 1),
        ("x" * 21, 1, 0, 1),
        ("", 1, 0, 1),
        ("x", 0, 0, 1),
        ("x", 1000, 0, 1),
        ("x", 1, 5, 5),
        ("x", 1, 5, 4),
    ],
)
def test_a_workshop_that_cannot_be_is_refused(store, slug, seats, opens, closes):
    with pytest.raises(BadRequest):
        store.open_seats(slug, seats, opens, closes)


def test_what_there_is_not_is_refused_by_name(store, passes):
    with pytest.raises(BadRequest, match="seats already"):
        store.open_seats("theia", 1, 0, DAY)
    for ask in (lambda: store.reissue("theia", 4), lambda: store.revoke("theia", 0), lambda: store.revoke("x", 1)):
        with pytest.raises(BadRequest, match="no seat"):
            ask()
    for ask in (lambda: store.extend("x", 5), lambda: store.join_secret("x")):
        with pytest.raises(BadRequest, match="no seats of a workshop"):
            ask()
    with pytest.raises(BadRequest, match="before it begins"):
        store.extend("theia", 0)


def test_guessing_a_day_long_hits_any_code_with_less_than_one_in_a_thousand_million():
    guesses = GUESSES * 60 * 24 + GUESSES
    assert guesses * MOST_LIVE / len(ALPHABET) ** PASS_LENGTH <= 1e-9
    # Codes asked for at a screen: one of each kind a seat, were all asked for at once.
    assert guesses * 2 * MOST_LIVE / len(ALPHABET) ** LONG_LENGTH <= 1e-14
    assert len(set(ALPHABET)) == 32
    assert GUESSES_AN_ADDRESS >= 2 * 150


def test_there_are_never_so_many_passes_that_guessing_pays(store):
    for number in range(8):
        store.open_seats(f"day-{number}", 150, 0, 5000 + number)
    with pytest.raises(BadRequest, match=f"at most {MOST_LIVE}"):
        store.open_seats("one-more", 150, 0, DAY)
    assert store.seats("one-more") == []
    store.clock.now = 5000
    store.open_seats("one-more", 150, 0, DAY)
    with pytest.raises(BadRequest, match=f"at most {MOST_LIVE}"):
        store.extend("day-0", DAY)
    assert store.stay("atelier-day-0-001").closes == 5000


def test_the_database_holds_no_code_and_only_its_owner_can_read_it_and_the_key(store, passes):
    claim = store.claim(passes[0])
    codes = [*passes, claim.secret, store.transfer(claim.user), store.keep(claim.user), store.join_secret("theia")]
    key = store.path.with_suffix(".key")
    assert stat.S_IMODE(store.path.stat().st_mode) == stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    raw = store.path.read_bytes()
    assert not any(code.encode() in raw for code in codes)
    assert not any(code in f"{claim}{store}" for code in codes)
    key.write_bytes(bytes(32))
    assert store.claim(passes[1]).refusal == "unknown", "the digests are worth nothing without the key"


@given(st.text(ALPHABET, min_size=PASS_LENGTH, max_size=PASS_LENGTH))
def test_a_code_is_known_however_people_write_it(code):
    shown = show_code(code)
    assert len(shown) == 14
    for written in (code, shown, shown.lower(), f" {shown} ", shown.replace("-", " "), shown.replace("-", "–")):
        assert norm_code(written) == code
    assert norm_code(shown.replace("0", "o").replace("1", "l")) == norm_code(shown.replace("1", "I")) == code


@given(st.text(max_size=30))
def test_anything_else_is_a_code_or_nothing(text):
    found = norm_code(text)
    assert found is None or (set(found) <= set(ALPHABET) and len(found) in {PASS_LENGTH, LONG_LENGTH})


@pytest.mark.parametrize("code", ["", "x", "é" * 12, "' OR 1=1 --", "\0" * 12, "UUUUUUUUUUUU", "ⅠⅠⅠⅠⅠⅠⅠⅠⅠⅠⅠⅠ"])
def test_an_unknown_code_is_unknown(store, passes, code):
    assert store.claim(code).refusal == store.look(code).refusal == store.take_kept(code).refusal == "unknown"
    assert store.come_back(code).refusal == "unknown"


def test_of_many_threads_exactly_one_gets_the_seat(store, passes):
    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(store.claim, passes[:1] * 32))
    assert [claim.user for claim in claims].count("atelier-theia-001") == 1
    assert {claim.refusal for claim in claims} == {None, "used"}


def claim_all(path, codes):
    store = PassStore(path)
    return [store.claim(code).user for code in codes]


def test_of_150_who_come_at_once_in_many_processes_each_gets_a_seat_and_none_is_given_twice(tmp_path):
    path = tmp_path / "passes.sqlite"
    store = PassStore(path)
    codes = [issued.code for issued in store.open_seats("grand", 300, 0, 1e12)]
    join = store.join_secret("grand")
    shares = [[which for code in codes[at:150:6] for which in (code, join)] for at in range(6)]
    with multiprocessing.get_context("spawn").Pool(6) as pool:
        users = list(chain(*pool.starmap(claim_all, [(path, share) for share in shares])))
    assert sorted(users) == [seat_user("grand", number) for number in range(1, 301)]
    assert all(seat.claimed for seat in store.seats("grand"))
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM codes WHERE kind = 'secret'").fetchone() == (300,)
    db.close()


class Room(RuleBasedStateMachine):
    """Any order of what people do: a model keeps who holds which seat, and which codes are dead for good."""

    codes = Bundle("codes")
    secrets = Bundle("secrets")

    @initialize(target=codes, seats=st.integers(1, 4))
    def open(self, seats):
        self.folder = tempfile.TemporaryDirectory(prefix="earthlab-passes-")
        self.store = PassStore(Path(self.folder.name) / "passes.sqlite", clock=Clock())
        self.dead: set[str] = set()
        self.own: set[str] = set()
        self.expires: dict[str, float] = {}
        self.ended: set[str] = set()
        self.held: dict[str, str] = {}
        self.occupied: set[int] = set()
        self.of: dict[str, int] = {}
        self.seats = seats
        issued = self.store.open_seats("x", seats, 0, 1e6)
        self.join = self.store.join_secret("x")
        self.of |= {one.code: one.seat for one in issued}
        return multiple(*[one.code for one in issued], self.join)

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(target=secrets, code=codes)
    def claim(self, code):
        claim = self.store.claim(code)
        if claim.refusal:
            return multiple()
        assert code not in self.dead
        assert code in self.own or claim.seat not in self.occupied, "two people in one seat"
        if code != self.join:
            self.dead.add(code)
        self.occupied.add(claim.seat)
        self.held[claim.secret] = claim.user
        return claim.secret

    @rule(target=codes, secret=secrets)
    def transfer(self, secret):
        back = self.store.come_back(secret)
        if back.refusal:
            return multiple()
        code = self.store.transfer(back.user)
        self.own.add(code)
        self.of[code] = back.seat
        self.expires[code] = self.store.clock.now + TRANSFER_LIFETIME
        return code

    @rule(secret=secrets)
    def come_back(self, secret):
        back = self.store.come_back(secret)
        assert (back.user == self.held[secret]) if secret not in self.ended else back.refusal
        assert self.store.claim(self.join, secret).user == self.held[secret] or secret in self.ended

    @rule(target=codes, number=st.integers(1, 4))
    def reissue(self, number):
        if number > self.seats:
            return multiple()
        self._end(number)
        code = self.store.reissue("x", number).code
        self.own.add(code)
        self.of[code] = number
        self.occupied.add(number)
        return code

    @rule(number=st.integers(1, 4))
    def revoke(self, number):
        if number <= self.seats:
            self._end(number)
            self.store.revoke("x", number)
            self.occupied.add(number)

    def _end(self, number):
        self.dead |= {code for code, seat in self.of.items() if seat == number}
        self.ended |= {secret for secret, user in self.held.items() if user == seat_user("x", number)}

    @rule(target=codes)
    def renew_join(self):
        self.dead.add(self.join)
        self.join = self.store.join_secret("x")
        return self.join

    @rule(seconds=st.sampled_from([1, 601]))
    def wait(self, seconds):
        self.store.clock.now += seconds
        self.dead |= {code for code, end in self.expires.items() if end <= self.store.clock.now}

    @rule(code=consumes(codes))
    def a_dead_code_stays_dead(self, code):
        if code in self.dead:
            assert self.store.look(code).refusal
            assert self.store.claim(code).refusal

    @invariant()
    def the_seats_are_those_that_were_opened(self):
        if hasattr(self, "store"):
            assert [seat.number for seat in self.store.seats("x")] == list(range(1, self.seats + 1))


TestRoom = Room.TestCase
TestRoom.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_codes_are_drawn_evenly_from_the_whole_alphabet():
    drawn = "".join(new_code(PASS_LENGTH) for _ in range(2000))
    counts = [drawn.count(letter) for letter in ALPHABET]
    assert min(counts) > 600
    assert max(counts) < 900


def test_places_are_kept_from_a_while_before_a_workshop_until_its_end(store):
    store.clock.now = 1000.0
    store.open_seats("neige", 3, 2000.0, 3000.0)
    store.open_seats("brume", 2, 9000.0, 9900.0)
    store.revoke("neige", 2)
    assert store.held(900) == {}
    store.clock.now = 1100.0
    assert store.held(900) == {"neige": 2}
    store.extend("neige", 4000.0)
    store.clock.now = 3999.0
    assert store.held(900) == {"neige": 2}
    store.clock.now = 4000.0
    assert store.held(900) == {}


def test_the_places_that_are_kept_are_known_while_somebody_writes(store):
    store.clock.now = 1000.0
    store.open_seats("neige", 3, 1000.0, 3000.0)
    with open_book(store.path):
        assert store.held(0) == {"neige": 3}


def test_a_seat_has_the_share_of_its_workshop_until_that_is_forgotten(store, passes):
    slug = "neige"
    assert store.share(seat_user(slug, 1)) is None
    store.note_share(slug, Share(2**30, 0.5))
    store.note_share(slug, Share(2**31, 0.5))
    assert store.share(seat_user(slug, 1)) == Share(2**31, 0.5)
    # The one that warm-ups take, too.
    assert store.share(seat_user(slug, 0)) == Share(2**31, 0.5)
    assert store.share("ada") is None
    assert store.share(seat_user("brume", 1)) is None
    store.close(slug)
    assert store.share(seat_user(slug, 1)) is None


def test_who_asks_for_a_share_makes_no_book(tmp_path):
    assert PassStore(tmp_path / "passes.sqlite").share(seat_user("neige", 1)) is None
    assert list(tmp_path.iterdir()) == []
