"""A user's group from the server's start to its end, whichever that is, in a real hub."""

import os
import signal
from pathlib import Path

import pytest

from earthlab.hub.accounts import account_name
from earthlab.hub.cgroups import governed_group, lab_name
from earthlab.kernel.groups import own_group, read_use
from tests.hub.small_hub import SmallHub, small_hub
from tests.patience import eventually_async

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(governed_group() is None, reason="control groups of this machine are not ours to make"),
]


def _group_of(hub: SmallHub, user: str):
    own = own_group()
    assert own is not None
    return own.below(lab_name(hub.layout)).below(account_name(user, hub.layout.lab_id))


def _members(hub: SmallHub, user: str) -> list[int]:
    file = _group_of(hub, user).memory / "cgroup.procs"
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def _uids(pids: list[int]) -> set[int]:
    return {Path(f"/proc/{pid}").stat().st_uid for pid in pids}


async def test_a_server_runs_in_its_users_group_which_goes_with_it_however_it_ends():
    with small_hub(launch=0.0, words={"HUB__SERVER_MEMORY": "300 MiB"}) as hub:
        async with hub.visitor("amina") as amina, hub.visitor("boris") as boris:
            for visitor in (amina, boris):
                await visitor.come()
                await eventually_async(lambda name=visitor.name: _members(hub, name))
            assert read_use(_group_of(hub, "amina")).limit == 300 * 2**20
            assert hub.process.pid not in [*_members(hub, "amina"), *_members(hub, "boris")]
            assert 0 not in _uids(_members(hub, "amina")) or os.getuid()

            for pid in _members(hub, "amina"):
                os.kill(pid, signal.SIGKILL)
            await eventually_async(lambda: not _group_of(hub, "amina").memory.exists())
            assert _members(hub, "boris")
            assert (await boris.call("DELETE", "users/boris/server")).status_code in {202, 204}
            await eventually_async(lambda: not _group_of(hub, "boris").memory.exists())
