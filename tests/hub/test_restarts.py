"""Which services the hub looks after, and when."""

from types import SimpleNamespace

import pytest

from earthlab.hub.restarts import ServiceWatch


class Served:
    """A service of JupyterHub's, with a process."""

    def __init__(self, pid, *, managed=True, watched=True):
        self.managed, self.asked = managed, 0
        self.proc = SimpleNamespace(pid=pid)
        self.spawner = SimpleNamespace(_poll_callback=watched or None, poll_and_notify=self.poll_and_notify)

    async def poll_and_notify(self):
        self.asked += 1


@pytest.fixture
def now():
    return SimpleNamespace(at=0.0)


async def test_one_that_has_run_for_a_while_is_looked_at_and_one_that_ends_as_it_starts_is_not(now):
    watch, service = ServiceWatch(lambda: now.at), Served(7)
    for now.at in (0.0, 10.0, 19.0):
        await watch.look([service])
    assert service.asked == 0
    now.at = 21.0
    await watch.look([service])
    assert service.asked == 1
    # Another process in its place begins anew.
    service.proc = SimpleNamespace(pid=8)
    for now.at in (22.0, 30.0):
        await watch.look([service])
    assert service.asked == 1
    now.at = 50.0
    await watch.look([service])
    assert service.asked == 2


async def test_what_the_hub_stops_or_did_not_start_is_left_alone(now):
    watch, away = ServiceWatch(lambda: now.at), Served(7, watched=False)
    pod, none = Served(8, managed=False), Served(9)
    none.proc = None
    for now.at in (0.0, 100.0):
        await watch.look([away, pod, none])
    assert (away.asked, pod.asked, none.asked) == (0, 0, 0)
