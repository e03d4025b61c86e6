import grp
import os
import pwd
import re
import signal
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import BadRequest, SetupError
from earthlab.hub.accounts import (
    account_name,
    ensure_account,
    lab_accounts,
    norm_person,
    norm_user,
    remove_account,
    resolve_account,
)
from earthlab.hub.cubes import cubes_group, open_licensed_cubes
from earthlab.hub.prepare import make_folders
from earthlab.testing.accounts import remove_accounts
from tests.hub.conftest import root_only
from tests.patience import PATIENCE


@given(st.text(min_size=1), st.text("0123456789abcdef", min_size=8, max_size=8))
def test_an_account_name_is_one_that_useradd_takes_whatever_the_user_is_called(user, lab_id):
    name = account_name(user, lab_id)
    assert re.fullmatch(r"el-[a-z0-9]+(-[a-z0-9]+)*-[0-9a-f]{6}", name)
    assert len(name) <= 32
    assert name == account_name(user, lab_id)


def test_names_that_differ_only_in_punctuation_get_different_accounts():
    assert account_name("a.b", "00000000") != account_name("a-b", "00000000")
    assert account_name("a", "00000000") != account_name("a", "00000001")


@given(st.from_regex(r"[a-z0-9]([a-z0-9._@+-]{0,62}[a-z0-9])?", fullmatch=True))
def test_a_good_user_name_stays_as_it_is(name):
    assert norm_user(f"  {name.upper()} ") == name


@pytest.mark.parametrize("name", ["", "  ", "..", "a/b", "a b", "Zoé", "-a", "a-", "a\nb", "a" * 65, "$(id)", "root\0"])
def test_a_user_name_that_the_hub_does_not_take_is_refused_with_the_rule(name):
    with pytest.raises(BadRequest, match="expected 1 to 64"):
        norm_user(name)


@pytest.mark.parametrize("name", ["atelier-theia-001", " Atelier-x "])
def test_nobody_else_is_called_like_a_seat_of_a_workshop(name):
    with pytest.raises(BadRequest, match="seats of workshops"):
        norm_person(name)
    assert norm_person(" Ada ") == "ada"


@pytest.fixture
def made(layout):
    make_folders(layout)
    yield layout
    remove_accounts(layout)


@root_only
def test_each_user_gets_an_account_and_a_home_that_only_they_can_enter(made):
    ada, bob = ensure_account("ada", made), ensure_account("bob", made)
    assert ada.uid != bob.uid
    assert stat.S_IMODE(ada.home.stat().st_mode) == 0o700
    assert ada.home.stat().st_uid == ada.uid
    assert set(lab_accounts(made)) == {ada.uid, bob.uid}
    look = subprocess.run(
        ["ls", str(ada.home)], user=bob.uid, group=bob.gid, extra_groups=[], capture_output=True, check=False
    )
    assert look.returncode != 0


@root_only
def test_an_account_is_made_once_even_when_a_class_asks_at_the_same_time(made):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: ensure_account("ada", made), range(8)))
    assert len(found) == 1


@root_only
def test_a_home_that_belongs_to_somebody_else_is_refused(made):
    ada, bob = ensure_account("ada", made), ensure_account("bob", made)
    os.chown(ada.home, bob.uid, bob.gid)
    with pytest.raises(SetupError, match="Move it away"):
        ensure_account("ada", made)


@root_only
def test_a_link_in_the_place_of_a_home_is_refused_and_its_target_left_alone(made, open_folder):
    target = open_folder / "target"
    target.mkdir()
    (made.homes / account_name("eve", made.lab_id)).symlink_to(target)
    with pytest.raises(SetupError):
        ensure_account("eve", made)
    assert target.stat().st_uid == 0


@root_only
def test_a_foreign_account_of_the_same_name_is_refused(made):
    name = account_name("ada", made.lab_id)
    subprocess.run(["useradd", "--no-create-home", "--home-dir", str(made.homes / name), name], check=True)
    with pytest.raises(SetupError, match=f"userdel {name}"):
        ensure_account("ada", made)


@root_only
def test_a_hub_of_root_that_shares_accounts_never_shares_root(made):
    ada, bob = (resolve_account(user, made, "shared") for user in ("ada", "bob"))
    assert ada.uid == bob.uid != 0
    assert ada.home != bob.home
    assert pwd.getpwuid(ada.uid).pw_name == ada.name


@root_only
def test_all_accounts_of_a_lab_build_in_the_folder_of_shared_cubes_and_strangers_do_not(made):
    ada, bob = (resolve_account(name, made, "unix") for name in ("ada", "bob"))
    group = grp.getgrnam(cubes_group(made))
    assert {ada.name, bob.name} <= set(group.gr_mem)
    state = (made.cubes / "open").stat()
    assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (0, group.gr_gid, 0o2775)
    for account in (ada, bob):
        assert group.gr_gid in os.getgrouplist(account.name, account.gid)


@root_only
def test_the_shared_account_owns_the_folder_of_shared_cubes(made):
    account = resolve_account("ada", made, "shared")
    assert made.cubes.stat().st_uid == account.uid


@root_only
def test_a_link_in_place_of_the_folder_of_shared_cubes_is_refused(made, tmp_path):
    made.cubes.symlink_to(tmp_path)
    with pytest.raises(SetupError, match="is a link"):
        resolve_account("ada", made, "unix")


@root_only
def test_licensees_enter_the_folder_of_their_class_and_leave_it_with_their_right(made):
    ada, bob = (resolve_account(name, made, "unix") for name in ("ada", "bob"))
    open_licensed_cubes(made, "unix", ada.name, ["dinamis"])
    open_licensed_cubes(made, "unix", bob.name, [])
    licensed = made.cubes / "dinamis"
    (licensed / "secret").write_text("pixels")
    assert licensed.stat().st_mode & 0o7777 == 0o2770
    assert reads(ada, licensed / "secret")
    assert not reads(bob, licensed / "secret")
    open_licensed_cubes(made, "unix", ada.name, [])
    assert not reads(ada, licensed / "secret")


@root_only
def test_nobody_can_take_the_place_of_a_folder_of_licensed_cubes(made):
    mallory = resolve_account("mallory", made, "unix")
    assert made.cubes.stat().st_mode & 0o7777 == 0o755
    assert (made.cubes / "dinamis").stat().st_uid == 0
    for attempt in ("os.rename(path, path + 'x')", "os.mkdir(path + '2')", "os.rmdir(path)", "os.chmod(path, 0o777)"):
        assert not runs(mallory, f"import os, sys; path = sys.argv[1]; {attempt}", made.cubes / "dinamis")
    assert runs(mallory, "import os, sys; os.mkdir(sys.argv[1])", made.cubes / "open" / "t")


@root_only
def test_a_folder_for_licensed_cubes_that_somebody_made_beforehand_is_refused(made):
    mallory = ensure_account("mallory", made)
    (made.cubes / "dinamis").mkdir(parents=True)
    os.chown(made.cubes / "dinamis", mallory.uid, mallory.gid)
    with pytest.raises(SetupError, match="could let others in"):
        resolve_account("ana", made, "unix")


def runs(account, code, *words):
    groups = os.getgrouplist(account.name, account.gid)
    command = [os.path.realpath(sys.executable), "-c", code, *map(str, words)]
    asked = subprocess.run(
        command, user=account.uid, group=account.gid, extra_groups=groups, capture_output=True, cwd="/", check=False
    )
    return asked.returncode == 0


def reads(account, path):
    groups = os.getgrouplist(account.name, account.gid)
    asked = subprocess.run(
        ["cat", str(path)], user=account.uid, group=account.gid, extra_groups=groups, capture_output=True, check=False
    )
    return asked.returncode == 0


@root_only
def test_an_account_that_is_removed_takes_its_home_and_its_processes_with_it(made):
    ada, bob = ensure_account("ada", made), ensure_account("bob", made)
    (ada.home / "work.txt").write_text("x")
    (made.run / ada.name[-6:]).mkdir()
    with subprocess.Popen(["sleep", "60"], user=ada.uid, group=ada.gid, extra_groups=[]) as busy:
        remove_account("ada", made, "unix", patience=0.5)
        assert busy.wait(PATIENCE) == -signal.SIGKILL
    assert set(lab_accounts(made)) == {bob.uid}
    assert not ada.home.exists()
    assert not (made.run / ada.name[-6:]).exists()
    assert bob.home.is_dir()
    remove_account("ada", made, "unix")


@root_only
def test_a_foreign_account_of_the_same_name_is_not_removed(made):
    name = account_name("ada", made.lab_id)
    subprocess.run(["useradd", "--no-create-home", "--home-dir", "/nonexistent", name], check=True)
    try:
        with pytest.raises(SetupError, match="not this lab's"):
            remove_account("ada", made, "unix")
        assert pwd.getpwnam(name)
    finally:
        subprocess.run(["userdel", name], check=True)


def test_where_accounts_are_shared_only_the_home_goes_and_a_link_in_its_place_leads_nobody_away(made, open_folder):
    ada = resolve_account("ada", made, "shared")
    remove_account("ada", made, "shared")
    assert not ada.home.exists()
    target = open_folder / "elsewhere"
    target.mkdir()
    ada.home.symlink_to(target)
    remove_account("ada", made, "shared")
    assert target.is_dir()
