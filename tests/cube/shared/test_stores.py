"""The contract of a store of shared cubes, over a folder and over a real S3-compatible server."""

import os
import pickle
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from earthlab.cube.shared import objects
from earthlab.cube.shared.objects import ObjectStore
from earthlab.cube.shared.stores import CannotWrite, FolderStore, StoreAddress, open_store
from earthlab.errors import SetupError, StoreUnavailable


def test_what_is_created_is_found_whole_and_listed_with_its_size(store):
    tag = store.create("open/a/head.json", b"one")
    assert store.get("open/a/head.json").content == b"one"
    assert store.get("open/a/head.json").tag == tag
    assert store.size("open/a/head.json") == 3
    assert [(e.key, e.size) for e in store.list("open/a/")] == [("open/a/head.json", 3)]


def test_what_is_not_there_is_none_everywhere_and_may_be_deleted(store):
    assert store.get("open/none") is None
    assert store.size("open/none") is None
    assert store.replace("open/none", b"x", '"tag"') is None
    assert list(store.list("open/none/")) == []
    store.delete("open/none")
    store.delete("open/none/")


def test_a_key_is_created_once(store):
    assert store.create("open/k", b"first")
    assert store.create("open/k", b"second") is None
    assert store.get("open/k").content == b"first"


def test_of_many_creators_at_once_one_wins(store):
    def create(at):
        barrier.wait()
        return store.create(f"open/race/{turn}", str(at).encode())

    with ThreadPoolExecutor(6) as pool:
        for turn in range(4):
            barrier = threading.Barrier(6)
            won = [at for at, tag in enumerate(pool.map(create, range(6))) if tag]
            assert len(won) == 1
            assert store.get(f"open/race/{turn}").content == str(won[0]).encode()


def test_a_key_is_replaced_only_while_it_holds_what_was_seen(store):
    first = store.create("open/k", b"first")
    second = store.replace("open/k", b"second", first)
    assert second
    assert store.replace("open/k", b"third", first) is None
    assert store.get("open/k").content == b"second"
    store.put("open/k", b"fourth")
    assert store.replace("open/k", b"fifth", second) is None


def test_of_many_who_replace_at_once_one_wins(store):
    store.create("open/count", b"0")

    def add(_):
        for _ in range(5):
            while True:
                found = store.get("open/count")
                if store.replace("open/count", str(int(found.content) + 1).encode(), found.tag):
                    break

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert store.get("open/count").content == b"20"


def test_readers_see_the_old_content_or_the_new_and_nothing_else(store):
    contents = [bytes([65 + at]) * 200_000 for at in range(6)]
    store.put("open/k", contents[0])
    seen = Counter()
    over = threading.Event()

    def read():
        while not over.is_set():
            seen[store.get("open/k").content in contents] += 1

    reader = threading.Thread(target=read)
    reader.start()
    for content in contents * 3:
        store.put("open/k", content)
    over.set()
    reader.join()
    assert set(seen) == {True}


def test_a_prefix_is_deleted_with_all_below_it_and_nothing_beside_it(store):
    for key in ("open/a/1", "open/a/b/2", "open/ab/3"):
        store.put(key, b"x")
    store.delete("open/a/")
    assert [e.key for e in store.list("open/")] == ["open/ab/3"]


def test_the_clock_of_the_store_is_the_one_that_dates_its_keys(store):
    before = store.now()
    store.put("open/k", b"x")
    modified = next(store.list("open/")).modified
    assert before - 1.1 <= modified <= store.now() + 1.1


def test_an_address_travels_without_a_key_and_opens_once_a_process(address):
    assert open_store(pickle.loads(pickle.dumps(address))) is open_store(address)
    assert b"only-for-tests" not in pickle.dumps(address)


def test_an_address_of_another_kind_is_refused():
    with pytest.raises(SetupError, match=r"cubes.store is 'gs://b/c', expected a folder or s3://"):
        open_store(StoreAddress("gs://b/c"))


def test_the_rights_of_a_folder_follow_the_access_class(tmp_path):
    store = FolderStore(StoreAddress(str(tmp_path / "store")))
    old = os.umask(0o077)
    try:
        for access in ("open", "licensed"):
            store.create(f"{access}/t/head.json", b"x")
            (tmp_path / "store" / access / "t" / "late").write_bytes(b"written by others' code")
            store.settle(f"{access}/t/")
    finally:
        os.umask(old)
    modes = {p.relative_to(tmp_path).as_posix(): p.stat().st_mode & 0o777 for p in (tmp_path / "store").rglob("*")}
    assert modes["store/open/t"] == 0o755
    assert modes["store/open/t/late"] == modes["store/open/t/head.json"] == 0o644
    assert modes["store/licensed/t"] == 0o700
    assert modes["store/licensed/t/late"] == modes["store/licensed/t/head.json"] == 0o600


def test_a_group_builds_open_cubes_together_and_what_is_not_open_is_its_owners_alone(tmp_path):
    store = FolderStore(StoreAddress(str(tmp_path / "store"), group="root"))
    for access in ("open", "licensed"):
        store.create(f"{access}/t/head.json", b"x")
    modes = {p.relative_to(tmp_path).as_posix(): p.stat().st_mode & 0o7777 for p in (tmp_path / "store").rglob("*")}
    assert modes["store/open/t"] == 0o2775
    assert modes["store/licensed/t"] == 0o700
    assert modes["store/licensed/t/head.json"] == 0o600
    with pytest.raises(SetupError, match=r"cubes.group is 'no-such-group'"):
        FolderStore(StoreAddress(str(tmp_path), group="no-such-group"))


def test_where_the_hub_made_a_folder_for_licensees_they_build_together_and_nobody_else_enters(tmp_path):
    folder = tmp_path / "store" / "licensed"
    folder.mkdir(parents=True)
    folder.chmod(0o2770)
    FolderStore(StoreAddress(str(tmp_path / "store"))).create("licensed/t/head.json", b"x")
    assert (folder / "t").stat().st_mode & 0o7777 == 0o2770
    assert (folder / "t" / "head.json").stat().st_mode & 0o7777 == 0o660


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder that is another's")
def test_nothing_licensed_is_written_into_a_folder_that_a_stranger_made(tmp_path):
    folder = tmp_path / "store" / "licensed"
    folder.mkdir(parents=True)
    os.chown(folder, 65534, 65534)
    folder.chmod(0o2777)
    store = FolderStore(StoreAddress(str(tmp_path / "store")))
    for write in (
        lambda: store.create("licensed/t/head.json", b"x"),
        lambda: store.put("licensed/t/used", b"x"),
        lambda: store.open_zarr("licensed/t/g/", read_only=False),
    ):
        with pytest.raises(SetupError, match="could read them there"):
            write()
    assert list(folder.rglob("*")) == []


def test_a_server_that_ignores_conditions_is_refused(bucket_address, monkeypatch):
    store = open_store(bucket_address)
    forgetful = ObjectStore(bucket_address, "cubes", "forgetful")
    monkeypatch.setattr(forgetful, "_create", lambda key, content: store.put(key, content) or "tag")
    with pytest.raises(SetupError, match="ignores conditional writes"):
        forgetful.create("open/k", b"x")


def test_wrong_keys_are_refused_without_being_told(bucket_address, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(CannotWrite, match="The keys AWS_") as refusal:
        ObjectStore(bucket_address, "cubes", "other").put("k", b"x")
    assert "not-the-secret" not in repr(refusal.value)


def test_a_bucket_that_has_never_answered_is_told_at_once(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
    store = open_store(StoreAddress("s3://nowhere/x", "http://127.0.0.1:9"))
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waited"))
    for ask in (lambda: store.get("open/a"), lambda: list(store.list("open/")), lambda: store.put("open/a", b"1")):
        with pytest.raises(StoreUnavailable, match=r"s3://nowhere/x does not answer \(no connection\)") as said:
            ask()
        assert "geheim" not in str(said.value)


def test_what_a_bucket_s_zarr_store_raised_is_told_apart_from_damage(bucket_address):
    store = open_store(bucket_address)
    assert isinstance(store.explain(GenericError("Generic S3 error: status code: 503"), "read"), StoreUnavailable)
    assert isinstance(store.explain(PermissionDeniedError("403"), "changed"), CannotWrite)
    assert store.explain(ValueError("a checksum"), "read") is None


def test_a_folder_explains_nothing(folder):
    assert open_store(StoreAddress(folder)).explain(OSError(5, "Input/output error"), "read") is None


def test_who_waits_for_a_bucket_that_is_away_is_told_once_and_told_when_it_is_back(monkeypatch, capsys):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setattr(objects, "_QUIET", 0.0)
    monkeypatch.setattr(objects.time, "sleep", lambda _: None)
    store = open_store(StoreAddress("s3://away/x", "http://127.0.0.1:9", patience=60.0))
    answers = iter([1, *[GenericError("Generic S3 error: status code: 503")] * 3, 2])

    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert store._ask("read", ask) == 1
    assert capsys.readouterr().err == ""
    assert store._ask("read", ask) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "does not answer; waiting for it" in said[0]
    assert "answers again" in said[1]
