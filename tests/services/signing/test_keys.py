"""Keys at rest: sealed, private, whole."""

import threading

import pytest

from earthlab.errors import BadRequest, SetupError
from earthlab.services.signing.keys import KeyVault

KEY = {"access_key": "planted-access", "secret_key": "planted-secret"}


def test_a_key_is_kept_for_its_owner_and_provider_alone(tmp_path):
    vault = KeyVault(tmp_path / "keys")
    vault.put("ana", "mtd", KEY)
    assert vault.get("ana", "mtd") == KEY
    assert vault.get("bob", "mtd") is None
    assert vault.get("ana", "s3") is None
    assert vault.providers("ana", ["mtd", "s3"]) == ("mtd",)
    assert vault.remove("ana", "mtd")
    assert not vault.remove("ana", "mtd")


def test_files_are_private_and_tell_neither_key_nor_owner(tmp_path):
    vault = KeyVault(tmp_path / "keys")
    vault.put("ana", "mtd", KEY)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "keys").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert "ana" not in path.name
        assert b"planted" not in path.read_bytes()


def test_a_damaged_file_or_another_seal_is_an_error_and_no_key(tmp_path):
    vault = KeyVault(tmp_path / "keys")
    vault.put("ana", "mtd", KEY)
    (tmp_path / "keys" / "seal").unlink()
    with pytest.raises(SetupError, match="cannot be unsealed"):
        vault.get("ana", "mtd")


def test_a_folder_that_others_may_enter_is_refused(tmp_path):
    (tmp_path / "keys").mkdir(mode=0o755)
    with pytest.raises(SetupError, match="chmod 700"):
        KeyVault(tmp_path / "keys").put("ana", "mtd", KEY)


@pytest.mark.parametrize("provider", ["", "../x", "A", "a" * 60])
def test_a_provider_of_an_odd_name_is_refused(tmp_path, provider):
    with pytest.raises(BadRequest, match="id of a provider"):
        KeyVault(tmp_path / "keys").put("ana", provider, KEY)


def test_many_who_begin_at_once_share_one_seal(tmp_path):
    vaults = [KeyVault(tmp_path / "keys") for _ in range(12)]
    doing = [threading.Thread(target=v.put, args=(f"u{n}", "mtd", KEY)) for n, v in enumerate(vaults)]
    for thread in doing:
        thread.start()
    for thread in doing:
        thread.join()
    assert all(vaults[0].get(f"u{n}", "mtd") == KEY for n in range(12))
