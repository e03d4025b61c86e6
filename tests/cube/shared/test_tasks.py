"""Tasks run on threads or on a cluster, and whoever waits for them hears within bounds that nobody is left."""

import os
import threading
import time

import pytest
from distributed import default_client

from earthlab.cube.shared.lease import LeaseLost
from earthlab.cube.shared.tasks import ClusterLost, run_tasks
from earthlab.errors import ComputeUnavailable
from tests.patience import PATIENCE


def run(plan, task, numbers, *, lost=None, patience=30):
    calls = [(number,) for number in numbers]
    return run_tasks(plan, task, calls, lost=lost or threading.Event(), patience=patience)


def tell(plan, number):
    return plan.token, number, os.getpid()


def sleep_long(plan, number):
    time.sleep(number)


def time_out(plan, number):
    raise TimeoutError(f"of the task {number}")


def die(plan, number):
    os._exit(9)


def test_tasks_run_on_threads_of_this_process_where_there_is_no_cluster(plan):
    assert set(run(plan, tell, range(20))) == {(plan.token, number, os.getpid()) for number in range(20)}


def test_tasks_run_on_the_cluster_that_dask_computes_on(plan, crew):
    found = list(run(plan, tell, range(20)))
    assert {(token, number) for token, number, _ in found} == {(plan.token, number) for number in range(20)}
    assert {pid for *_, pid in found} == {worker.pid for worker in crew.workers}


def test_what_is_fetched_is_let_go_so_that_it_is_not_computed_again(plan, crew):
    results = run(plan, tell, range(6))
    taken = [next(results) for _ in range(6)]
    assert len(taken) == 6
    until = time.monotonic() + PATIENCE
    while any("tell" in str(key) for key in default_client().who_has()):
        assert time.monotonic() < until
        time.sleep(0.02)
    results.close()


def test_what_has_not_begun_is_called_off_when_the_caller_stops_asking(plan):
    begun = []

    def note(plan, number):
        begun.append(number)
        time.sleep(0.02)

    results = run(plan, note, range(500))
    next(results)
    results.close()
    assert len(begun) < 100


@pytest.mark.parametrize("tasks", [[], [0], [60]])
def test_who_lost_the_lease_does_not_wait(plan, crew, tasks):
    lost = threading.Event()
    lost.set()
    results = run(plan, sleep_long, [*tasks, 60], lost=lost)
    with pytest.raises(LeaseLost, match="taken over"):
        list(results)


def test_a_worker_that_dies_is_made_up_for_by_the_others(plan, crew):
    results = run(plan, tell, range(40))
    next(results)
    crew.kill_worker()
    assert len(list(results)) == 39


def test_a_cluster_that_has_lost_all_its_workers_is_waited_for_and_goes_on(plan, crew):
    results = run(plan, tell, range(40))
    next(results)
    for _ in range(2):
        crew.kill_worker()
    crew.start_worker()
    assert len(list(results)) == 39


def test_a_cluster_without_workers_is_given_up_after_a_while(plan, crew):
    results = run(plan, sleep_long, [0, 60], patience=1)
    next(results)
    for _ in range(2):
        crew.kill_worker()
    with pytest.raises(ClusterLost, match=r"n'a plus aucun worker depuis 1 s.*has had no worker for 1 s"):
        next(results)


def test_a_killed_scheduler_is_told_at_once_and_so_is_who_asks_next(plan, crew):
    results = run(plan, sleep_long, [0, 3])
    next(results)
    crew.kill_scheduler()
    began = time.monotonic()
    for asked in (results, run(plan, sleep_long, [0])):
        with pytest.raises(ClusterLost, match=r"a disparu : son scheduler.*its scheduler does not answer"):
            list(asked)
    assert time.monotonic() - began < 60
    assert crew.is_gone()


def test_a_task_that_kills_every_worker_is_named_and_is_not_the_clusters_fault(plan, crew):
    for _ in range(3):
        crew.start_worker()
    default_client().wait_for_workers(5, timeout=120)
    with pytest.raises(ComputeUnavailable, match=r"a tué 4 workers.*killed 4 workers in a row") as caught:
        list(run(plan, die, [0]))
    assert not isinstance(caught.value, ClusterLost)


def test_what_a_task_raises_comes_as_it_is(plan, crew):
    with pytest.raises(TimeoutError, match="of the task 3"):
        list(run(plan, time_out, [3]))
