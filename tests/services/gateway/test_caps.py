import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.services.gateway.caps import (
    Holding,
    cluster_refusal,
    free_workers,
    machine_refusal,
    machine_room,
    parse_count,
    total_workers,
    worker_refusal,
)


def test_workers_of_all_clusters_count_against_the_cap():
    assert free_workers([Holding("a", 1), Holding("b", 2)], 4) == 1


def test_a_clusters_own_workers_do_not_count_against_itself():
    assert free_workers([Holding("a", 1), Holding("b", 2)], 4, besides="b") == 3


def test_there_are_never_fewer_than_no_workers_left():
    assert free_workers([Holding("a", 9)], 4) == 0


@given(st.lists(st.integers(0, 50)), st.integers(1, 10))
def test_clusters_served_one_after_another_never_pass_the_cap(wishes, cap):
    held = []
    for number, wish in enumerate(wishes):
        held.append(Holding(str(number), min(wish, free_workers(held, cap))))
    assert sum(h.workers for h in held) <= cap


@pytest.mark.parametrize("value", [-1, 1.0, "2", None, True, [1], {"count": 1}])
def test_what_is_no_number_of_workers_is_none(value):
    assert parse_count(value) is None


def test_a_user_may_start_a_cluster_below_the_cap():
    assert cluster_refusal(["a"], 0, 2) is None


def test_the_refusal_of_a_cluster_names_one_to_stop():
    assert 'el.cluster("0123abcd").stop()' in (cluster_refusal(["0123abcdef", "9"], 0, 2) or "")


def test_who_starts_and_stops_in_a_loop_has_to_wait():
    assert "still stopping" in (cluster_refusal([], 4, 2) or "")


def test_one_stopping_cluster_does_not_hinder_the_next():
    assert cluster_refusal(["a"], 1, 2) is None


def test_workers_within_what_is_left_are_allowed():
    assert worker_refusal(2, 2, 4) is None


@pytest.mark.parametrize(
    ("asked", "free", "said"),
    [(5, 4, "the limit is 4 a person"), (3, 2, "you have 2 of 4 left"), ("many", 4, "whole number"), (-1, 4, "whole")],
)
def test_a_refusal_of_workers_says_in_two_languages_what_is_left(asked, free, said):
    refusal = worker_refusal(asked, free, 4) or ""
    assert said in refusal
    assert "|" in refusal


@given(st.lists(st.integers(0, 5)), st.integers(1, 12), st.integers(0, 2**36))
def test_clusters_of_everybody_never_pass_what_the_machine_takes(wishes, cap, memory):
    held = 0
    for wish in wishes:
        held += min(wish, machine_room(held, cap, memory))
    assert held <= cap
    assert machine_room(held, cap, memory) >= 0


def test_a_machine_without_memory_has_no_room():
    assert machine_room(0, 8, 2 * 2**30) == 0
    assert machine_room(0, 8, 3 * 2**30) == 2


def test_the_refusal_of_a_full_machine_says_how_many_it_takes():
    assert machine_refusal(2, 2) is None
    assert "room for 1 more worker(s), 2 asked" in (machine_refusal(2, 1) or "")


@pytest.mark.parametrize(
    ("total", "a_person", "cores", "machine"), [(0, 4, 2, 8), (0, 16, 2, 16), (3, 4, 2, 3), (40, 4, 2, 40)]
)
def test_a_machine_takes_what_the_operator_says_or_its_cores_feed(total, a_person, cores, machine):
    assert total_workers(total, a_person, cores) == machine
