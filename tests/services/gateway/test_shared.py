"""Which shared clusters are to stand, and what is done about those that do not: pure decisions."""

import pytest

from earthlab.errors import BadRequest
from earthlab.hub.accounts import norm_person
from earthlab.hub.handout import parse_seat
from earthlab.hub.passes import seat_user
from earthlab.services.gateway.shared import (
    RESTART_AFTER,
    Standing,
    Wish,
    Wishes,
    is_shared,
    owner_of,
    parse_wishes,
    plan_steps,
)

NEIGE = Wish("neige", 4, frozenset({"atelier-neige-001", "ben"}))
GIVRE = Wish("givre", 2, frozenset({"atelier-givre-001", "ben"}))


def wished(*wishes):
    return Wishes({wish.owner: wish for wish in wishes}, 1000.0)


def standing(wish, workers, *, runs=True):
    return Standing(f"of-{wish.slug}", wish.owner, workers, runs)


def test_nobody_can_be_called_as_the_owner_of_a_shared_cluster():
    owner = owner_of("neige")
    assert is_shared(owner)
    assert parse_seat(owner) is None
    with pytest.raises(BadRequest, match="seats of workshops"):
        norm_person(owner)


@pytest.mark.parametrize("user", ["anne", seat_user("neige", 1), seat_user("grappe", 999), "atelier--grappe", "grappe"])
def test_clusters_of_people_are_no_shared_ones(user):
    assert not is_shared(user)


def test_a_person_shares_what_names_them_and_nothing_else():
    wishes = wished(NEIGE, GIVRE)
    assert wishes.of("ben") == [NEIGE, GIVRE]
    assert wishes.of("atelier-neige-001") == [NEIGE]
    assert wishes.of("atelier-neige-002") == []
    assert wishes.of(NEIGE.owner) == []


def test_what_is_wished_starts_and_what_is_not_stops():
    steps = plan_steps(wished(NEIGE), [standing(GIVRE, 2)], {}, 1000.0)
    assert steps.start == (NEIGE,)
    assert steps.stop == ("of-givre",)


def test_what_has_died_starts_again_but_not_in_a_rush():
    assert plan_steps(wished(NEIGE), [], {NEIGE.owner: 1000.0}, 1000.0 + RESTART_AFTER - 1).start == ()
    assert plan_steps(wished(NEIGE), [], {NEIGE.owner: 1000.0}, 1000.0 + RESTART_AFTER).start == (NEIGE,)


@pytest.mark.parametrize(
    ("workers", "runs", "told"), [(0, True, 4), (9, True, 4), (3, True, 4), (4, True, None), (0, False, None)]
)
def test_a_cluster_that_answers_is_told_how_many_workers_it_has(workers, runs, told):
    steps = plan_steps(wished(NEIGE), [standing(NEIGE, workers, runs=runs)], {}, 1000.0)
    assert steps.scale == ((("of-neige", told),) if told else ())
    assert (steps.start, steps.stop) == ((), ())


def test_what_nobody_has_said_again_for_long_is_wished_no_longer():
    wishes = wished(NEIGE)
    assert wishes.still(1300.0, patience=300.0) is wishes
    assert wishes.still(1301.0, patience=300.0).of("ben") == []


def test_wishes_are_read_as_they_were_said():
    said = {"clusters": [{"slug": "neige", "workers": 4, "people": ["ben", "atelier-neige-001"]}]}
    assert parse_wishes(said, 1000.0) == wished(NEIGE)
    assert parse_wishes({"clusters": []}, 5.0) == Wishes({}, 5.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slug": "../etc"}, "slug"),
        ({"slug": 3}, "slug"),
        ({"workers": 0}, "workers"),
        ({"workers": True}, "workers"),
        ({"workers": "4"}, "workers"),
        ({"people": "ben"}, "people"),
        ({"people": [1]}, "people"),
        ({"people": ["ben"] * 3000}, "people"),
        ({"command": "x"}, "expected objects with"),
    ],
)
def test_what_is_no_wish_is_refused_by_its_name(change, said):
    row = {"slug": "neige", "workers": 4, "people": ["ben"]} | change
    with pytest.raises(BadRequest, match=said):
        parse_wishes({"clusters": [row]}, 1000.0)


@pytest.mark.parametrize("said", [None, [], {}, {"clusters": {}}, {"clusters": [1]}])
def test_what_is_no_list_of_wishes_is_refused(said):
    with pytest.raises(BadRequest, match="expected"):
        parse_wishes(said, 1000.0)
