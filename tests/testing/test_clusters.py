from distributed import Client

from earthlab.testing.clusters import start_cluster
from tests.patience import PATIENCE


def test_a_worker_that_is_killed_stays_dead_until_another_is_started():
    with start_cluster() as cluster, Client(cluster.address) as client:
        client.wait_for_workers(2, timeout=120)
        killed = cluster.workers[0]
        cluster.kill_worker()
        assert not killed.is_alive()
        assert client.submit(sum, [1, 2]).result(timeout=120) == 3
        assert len(client.nthreads()) == 1
        cluster.start_worker()
        client.wait_for_workers(2, timeout=120)


def test_without_a_scheduler_and_after_the_block_no_process_is_left():
    with start_cluster() as first:
        with Client(first.address, timeout=PATIENCE) as client:
            client.wait_for_workers(2, timeout=120)
        first.kill_scheduler()
        assert first.is_gone()
    with start_cluster() as second:
        assert second.scheduler.is_alive()
    assert second.is_gone()
