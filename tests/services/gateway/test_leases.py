from dataclasses import dataclass

from earthlab.services.gateway.leases import Attendance, HubView, OwnedCluster, plan_stops
from earthlab.services.gateway.preload_scheduler import ClientWatch

MINE = OwnedCluster("c1", "alice", started=1000.0)


def stops(view, now, clusters=(MINE,)):
    return plan_stops(clusters, view, now, grace=20, patience=300)


def test_a_cluster_lives_while_a_client_is_there():
    attendance = Attendance(0.0).seen(100.0, clients=1)
    assert not attendance.ended(120.0, lease=30, grace=60)


def test_a_cluster_ends_after_the_lease_without_clients():
    attendance = Attendance(0.0).seen(100.0, clients=1).seen(125.0, clients=0)
    assert attendance.ended(131.0, lease=30, grace=60)


def test_a_client_that_comes_back_in_time_keeps_the_cluster():
    attendance = Attendance(0.0).seen(100.0, clients=1).seen(125.0, clients=0).seen(129.0, clients=1)
    assert not attendance.ended(140.0, lease=30, grace=60)


def test_a_new_cluster_waits_longer_for_its_first_client():
    assert not Attendance(0.0).ended(59.0, lease=30, grace=60)
    assert Attendance(0.0).ended(61.0, lease=30, grace=60)


def test_a_long_lease_is_not_cut_by_a_short_grace():
    assert not Attendance(0.0).ended(90.0, lease=100, grace=60)


def test_a_cluster_stays_while_its_owners_server_runs():
    assert stops(HubView(frozenset({"alice"}), 1100), 1101) == {}


def test_a_cluster_goes_with_its_owners_server():
    assert stops(HubView(frozenset({"bob"}), 1100), 1101) == {"c1": "alice has no running server"}


def test_a_new_cluster_is_spared():
    assert stops(HubView(frozenset(), 1010), 1015) == {}


def test_what_the_hub_said_before_the_cluster_began_is_no_reason():
    assert stops(HubView(frozenset(), 990), 1100) == {}


def test_clusters_stay_while_the_hub_is_silent_for_a_while():
    assert stops(HubView(frozenset({"alice"}), 1100), 1399) == {}


def test_clusters_end_when_the_hub_is_silent_for_long():
    assert "has not answered" in stops(HubView(frozenset({"alice"}), 1100), 1401)["c1"]


@dataclass
class SchedulerWith:
    clients: tuple[str, ...]


def test_a_client_that_only_looked_in_counts_as_one_that_came():
    watch = ClientWatch(lease=30)
    watch.add_client(SchedulerWith(("fire-and-forget", "Client-1")), "Client-1")
    assert watch.attendance.met


def test_the_schedulers_own_client_is_nobody():
    watch = ClientWatch(lease=30)
    watch.add_client(SchedulerWith(("fire-and-forget",)), "fire-and-forget")
    assert not watch.attendance.met
