import os
import stat
from pathlib import Path

import pytest

from earthlab.hub.accounts import Account
from earthlab.services.gateway.workdir import (
    open_base,
    open_workdir,
    read_log_end,
    remove_workdir,
    resolve_workdir,
    write_token,
)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def base(tmp_path):
    open_base(tmp_path / "clusters")
    return tmp_path / "clusters"


@pytest.fixture
def account(tmp_path):
    uid, gid = (65534, 65534) if os.getuid() == 0 else (os.getuid(), os.getgid())
    return Account("nobody", uid, gid, tmp_path)


def opened(base, account, name="0123456789abcdef"):
    paths = resolve_workdir(base, name)
    open_workdir(paths, certificate=b"cert", key=b"key", account=account)
    return paths


def test_a_workdir_and_all_in_it_belongs_to_its_owner_alone(base, account):
    paths = opened(base, account)
    for path in (paths.folder, *paths.folder.rglob("*")):
        assert path.stat().st_uid == account.uid
        assert mode(path) == (0o700 if path.is_dir() else 0o600)


def test_the_root_of_the_file_system_and_the_base_keep_their_owner(base, account):
    before = [Path(p).stat().st_uid for p in ("/", "/tmp", base)]
    opened(base, account)
    assert [Path(p).stat().st_uid for p in ("/", "/tmp", base)] == before


def test_logs_are_out_of_the_owners_reach(base, account):
    paths = opened(base, account)
    assert paths.logs.stat().st_uid == os.getuid()
    assert mode(paths.logs) == mode(paths.logs.parent) == 0o700


def test_others_may_pass_through_the_base_but_not_list_it(base):
    assert mode(base) == 0o711


def test_a_second_cluster_cannot_take_an_existing_folder(base, account):
    opened(base, account)
    with pytest.raises(FileExistsError):
        opened(base, account)


def test_removing_leaves_nothing_and_may_be_repeated(base, account):
    paths = opened(base, account)
    (paths.spill / "block").write_bytes(b"x")
    remove_workdir(paths)
    remove_workdir(paths)
    assert sorted(p.name for p in base.rglob("*")) == [".logs", ".tokens"]
    assert not list((base / ".logs").iterdir())


def test_removing_does_not_follow_links_out_of_the_folder(base, account, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    paths = opened(base, account)
    (paths.folder / "link").symlink_to(kept)
    remove_workdir(paths)
    assert (kept / "file").exists()


def test_opening_the_base_again_removes_what_an_earlier_gateway_left(base, account):
    opened(base, account)
    open_base(base)
    assert sorted(p.name for p in base.rglob("*")) == [".logs", ".tokens"]


def test_the_end_of_a_log_is_read_without_its_beginning(base, account):
    paths = opened(base, account)
    (paths.logs / "scheduler.log").write_text("a" * 5000 + "the end é")
    assert read_log_end(paths, "scheduler", most=10) == "the end é"


def test_a_token_is_its_accounts_alone_and_takes_the_place_of_the_last_one(base, account):
    paths = resolve_workdir(base, "abc")
    for token in ("first", "second"):
        write_token(paths, token, account)
        assert paths.token.read_text() == token
    assert paths.token.stat().st_uid == account.uid
    assert mode(paths.token) == 0o600
    assert paths.token.parent.stat().st_uid == os.getuid()
    assert [p.name for p in paths.token.parent.iterdir()] == [paths.token.name]
    remove_workdir(paths)
    assert not paths.token.exists()
