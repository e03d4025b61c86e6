import os
import stat

import pytest

from earthlab.errors import SetupError
from earthlab.hub.accounts import Account
from earthlab.hub.cgroups import Limits
from earthlab.hub.passes import Share
from earthlab.hub.spawners import find_noted, fit_limits, make_runtime_folder
from earthlab.kernel.process import read_start


@pytest.fixture
def account(tmp_path):
    return Account("me", os.getuid(), os.getgid(), tmp_path)


def test_sockets_lie_in_a_folder_for_their_owner_alone(tmp_path, account):
    make_runtime_folder(tmp_path / "run", account)
    make_runtime_folder(tmp_path / "run", account)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_a_link_in_the_place_of_that_folder_is_refused(tmp_path, account):
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SetupError, match="Remove it"):
        make_runtime_folder(tmp_path / "run", account)
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o755


def test_a_folder_of_somebody_else_is_refused(tmp_path, account):
    (tmp_path / "run").mkdir()
    stranger = Account("other", os.getuid() + 1, os.getgid(), tmp_path)
    if os.getuid() == 0:
        os.chown(tmp_path / "run", 12345, 12345)
    with pytest.raises((SetupError, PermissionError)):
        make_runtime_folder(tmp_path / "run", stranger)


def test_what_an_earlier_hub_has_noted_is_found_by_pid_and_start():
    since = read_start(os.getpid())
    assert find_noted([os.getpid(), since]).pid == os.getpid()
    assert find_noted([os.getpid(), since - 1]) is None


@pytest.mark.parametrize("noted", [None, [None, None], [1, None]])
def test_where_nothing_was_noted_nothing_is_found(noted):
    assert find_noted(noted) is None


def test_a_seat_gets_what_its_workshop_has_planned_and_never_more_than_anybody_may():
    limits, share = Limits(4 * 2**30), Share(2**30, 0.5)
    assert fit_limits(limits, share) == Limits(2**30, cpu_weight=50)
    assert fit_limits(Limits(2**29), share).memory == 2**29
    assert fit_limits(limits, None) is limits
