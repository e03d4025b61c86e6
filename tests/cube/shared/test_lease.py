"""The lease: one builder, a heartbeat, take-over when it stops, and no publication after that."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from earthlab.cube.shared.lease import Head, Patience, Watch, claim_head, read_head
from earthlab.cube.shared.stores import Found
from earthlab.errors import ReadFault
from tests.patience import PATIENCE, eventually

KEY = "open/0123/head.json"
STEADY = Patience(beat=0.02, stale=0.5, poll=0.01)
SILENT = Patience(beat=3600, stale=0.5, poll=0.01)


def claim(store, patience=STEADY, current=None):
    return claim_head(store, KEY, store.get(KEY), current=current, patience=patience)


def head(store):
    return Head.parse(store.get(KEY).content)


def test_of_many_who_claim_at_once_one_builds(store):
    barrier = threading.Barrier(8)

    def race(_):
        barrier.wait()
        return claim_head(store, KEY, None, current=None, patience=SILENT)

    with ThreadPoolExecutor(8) as pool:
        leases = [lease for lease in pool.map(race, range(8)) if lease]
    assert len(leases) == 1
    assert head(store).claim.builder == leases[0].claim.builder
    leases[0].release(None)


def test_the_lease_beats_and_tells_of_the_progress(store):
    lease = claim(store)
    first = head(store).claim.beat
    lease.report(3, 9, 12.5)
    eventually(lambda: head(store).claim.done == 3)
    said = head(store).claim
    assert (said.of, said.remaining) == (9, 12.5)
    assert said.beat > first
    lease.release(None)
    assert head(store) == Head()


def test_a_builder_goes_on_with_another_generation_as_long_as_the_lease_is_its(store):
    lease = claim(store)
    first = lease.claim.generation
    assert lease.renew()
    assert lease.claim.generation != first
    assert head(store).is_building(lease.claim.generation)
    assert not head(store).is_building(first)
    store.put(KEY, Head().render())
    eventually(lease.lost.is_set)
    assert not lease.renew()
    lease.release(None)
    assert head(store) == Head()


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_of_a_head_that_is_missing_or_damaged_nobody_builds(store, content):
    if content is not None:
        store.put(KEY, content)
    assert read_head(store, KEY) == Head()


def test_published_is_what_readers_open_and_nobody_builds_any_more(store):
    lease = claim(store)
    assert lease.publish()
    assert head(store) == Head(current=lease.claim.generation)


def test_a_builder_that_gives_up_leaves_the_former_cube_and_its_reason(store):
    assert claim(store, current="g-former").publish
    first = claim(store, current="g-former")
    first.release("no such file")
    assert head(store).current == "g-former"
    assert head(store).claim is None
    assert head(store).failure.cause == "no such file"


def test_two_who_take_over_from_a_dead_builder_are_one_and_the_dead_cannot_publish(store):
    dead = claim(store, SILENT)
    seen = store.get(KEY)
    barrier = threading.Barrier(4)

    def take_over(_):
        barrier.wait()
        return claim_head(store, KEY, seen, current=None, patience=SILENT)

    with ThreadPoolExecutor(4) as pool:
        heirs = [lease for lease in pool.map(take_over, range(4)) if lease]
    assert len(heirs) == 1
    assert not dead.publish()
    assert dead.lost.is_set()
    assert heirs[0].publish()
    assert head(store).current == heirs[0].claim.generation


def test_a_builder_learns_by_its_next_beat_that_it_was_taken_for_dead(store):
    slow = claim(store, Patience(beat=0.1, stale=1, poll=0.01))
    heir = claim(store, SILENT)
    assert slow.lost.wait(PATIENCE)
    slow.release("too late")
    assert head(store).claim.builder == heir.claim.builder
    heir.release(None)


def watch(times):
    clock = iter(times)
    return Watch(Patience(beat=2, stale=10, poll=1), lambda: next(clock))


def test_silence_counts_only_while_it_is_looked_at():
    patient = watch([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    assert [patient.is_stale(Found(b"", "a")) for _ in range(12)] == [False] * 11 + [True]


def test_a_beat_ends_the_silence_whatever_its_clock_says():
    patient = watch([0, 4, 8, 9, 13, 17])
    assert not any(patient.is_stale(Found(b"", tag)) for tag in "aaabbb")


def test_who_was_asleep_does_not_take_the_other_for_dead():
    patient = watch([0, 3600, 3601])
    assert not any(patient.is_stale(Found(b"", "a")) for _ in range(3))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"current": null}', b'{"claim": {"x": 1}}', b"\xff"])
def test_a_damaged_head_is_refused(content):
    with pytest.raises(ReadFault, match="head of a shared cube is damaged"):
        Head.parse(content)
