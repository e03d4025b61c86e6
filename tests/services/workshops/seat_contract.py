"""What the desk relies on, whoever keeps the seats: a book of this machine, or a hub that is far away."""

import secrets
import time

import pytest

from earthlab.errors import BadRequest
from earthlab.hub.passes import PASS_LENGTH, Share, seat_user


class SeatsContract:
    """A fixture ``seats`` gives what is tried, and ``shared`` the hub's book behind it."""

    @pytest.fixture
    def slug(self, seats):
        found = f"neige-{secrets.token_hex(3)}"
        yield found
        seats.close(found)

    @pytest.fixture
    def passes(self, seats, slug):
        now = time.time()
        return seats.open_seats(slug, 3, now - 60, now + 3600, title="Neige · Snow", kept=now + 86400.5)

    def test_seats_are_opened_once_and_each_pass_leads_in(self, seats, shared, slug, passes):
        assert [each.seat for each in passes] == [1, 2, 3]
        claim = shared.claim(passes[1].code)
        assert (claim.user, claim.refusal) == (seat_user(slug, 2), None)
        assert shared.stay(claim.user).title == "Neige · Snow"
        found = seats.seats(slug)
        assert [(each.number, each.user) for each in found] == [(n, seat_user(slug, n)) for n in (1, 2, 3)]
        assert [each.claimed is not None for each in found] == [False, True, False]
        with pytest.raises(BadRequest, match="has its seats already"):
            seats.open_seats(slug, 3, 0.0, 1.0, title="", kept=1.0)

    def test_codes_are_no_part_of_a_repr(self, passes):
        assert not [each for each in passes if each.code in repr(passes)]
        assert {len(each.code) for each in passes} == {PASS_LENGTH}

    def test_a_pass_is_replaced_and_a_seat_closed(self, seats, shared, slug, passes):
        issued = seats.reissue(slug, 1)
        assert shared.claim(passes[0].code).refusal == "replaced"
        assert shared.claim(issued.code).seat == 1
        seats.revoke(slug, 3)
        assert shared.claim(passes[2].code).refusal == "revoked"
        assert [each.revoked is not None for each in seats.seats(slug)] == [False, False, True]

    def test_a_join_link_leads_to_a_free_seat(self, seats, shared, slug, passes):
        assert shared.claim(seats.join_secret(slug)).slug == slug

    def test_an_end_is_moved(self, seats, shared, slug, passes):
        closes = time.time() - 1
        seats.extend(slug, closes, kept=closes + 60)
        assert shared.claim(passes[0].code).refusal == "expired"
        assert shared.stay(seat_user(slug, 1)).kept == pytest.approx(closes + 60)

    def test_what_each_seat_gets_is_known_until_the_seats_are_closed(self, seats, shared, slug, passes):
        seats.note_share(slug, Share(2**40, 0.5))
        assert shared.share(seat_user(slug, 1)) == Share(2**40, 0.5)
        for _ in range(2):
            seats.close(slug)
        assert shared.share(seat_user(slug, 1)) is None
        assert seats.seats(slug) == []
        assert shared.claim(passes[0].code).refusal == "unknown"

    def test_refusals_come_in_the_books_own_words(self, seats, slug):
        with pytest.raises(BadRequest, match="expected 1 to 999"):
            seats.open_seats(slug, 0, 0.0, 1.0, title="", kept=1.0)
        with pytest.raises(BadRequest, match="has no seat 7"):
            seats.reissue(slug, 7)
        with pytest.raises(BadRequest, match="there are no seats of a workshop"):
            seats.join_secret(slug)
        with pytest.raises(BadRequest, match="there are no seats of a workshop"):
            seats.extend(slug, 1.0, kept=1.0)
