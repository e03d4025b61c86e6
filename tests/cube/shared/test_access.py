"""Where shared cubes are, and whose."""

from pathlib import Path

import pytest

from earthlab.cube.shared.access import granted_classes, may_read, require_access, resolve_address, set_access_check
from earthlab.cube.shared.objects import ObjectStore
from earthlab.cube.shared.stores import StoreAddress
from earthlab.errors import NotAllowed, SetupError
from earthlab.settings import load_settings


def test_the_store_is_the_one_named_or_set_or_the_labs_or_the_users(bare_environment, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert resolve_address(None).url == str(bare_environment / ".cache" / "earthlab" / "cubes")
    monkeypatch.setenv("EARTHLAB__LAB__STATE", "/srv/lab")
    assert resolve_address(None).url == str(Path("/srv/lab/cubes"))
    monkeypatch.setenv("EARTHLAB__CUBES__STORE", "s3://bucket/x")
    monkeypatch.setenv("EARTHLAB__CUBES__ENDPOINT", "http://127.0.0.1:1")
    assert resolve_address(None) == StoreAddress("s3://bucket/x", "http://127.0.0.1:1")
    assert resolve_address("/elsewhere", load_settings()).url == "/elsewhere"


def test_open_is_everyones_and_other_classes_are_granted_by_name(monkeypatch):
    assert granted_classes() == ("open",)
    monkeypatch.setenv("EARTHLAB__CUBES__ACCESS", "dinamis, theia-pro,")
    assert granted_classes() == ("open", "dinamis", "theia-pro")
    assert may_read("dinamis")
    assert not may_read("other")


def test_a_check_of_the_labs_own_has_the_last_word_but_on_open_cubes(monkeypatch):
    monkeypatch.setenv("EARTHLAB__CUBES__ACCESS", "dinamis")
    set_access_check(lambda access: access == "other")
    try:
        require_access("other")
        require_access("open")
        with pytest.raises(NotAllowed, match="'dinamis'"):
            require_access("dinamis")
    finally:
        set_access_check(None)


def test_a_bucket_without_keys_in_the_environment_is_refused_before_anything_is_asked(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SetupError, match="needs keys, and the environment here has none"):
        ObjectStore(StoreAddress("s3://bucket"), "bucket", "")


def test_a_cube_of_several_classes_takes_all_of_them_and_a_refusal_says_the_way(monkeypatch):
    with pytest.raises(NotAllowed, match=r"https://dinamis\.data-terra\.org"):
        require_access("dinamis")
    monkeypatch.setenv("EARTHLAB__CUBES__ACCESS", "dinamis")
    assert may_read("dinamis")
    assert not may_read("dinamis--other")
    monkeypatch.setenv("EARTHLAB__CUBES__ACCESS", "dinamis,other")
    assert may_read("dinamis--other")
