"""The keys that people, and the lab, have at providers: sealed on disk, never shown again."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from earthlab.errors import BadRequest, SetupError

LAB = ""
"""The owner of the lab's own keys: no user of the hub is called so."""

Key = Mapping[str, str]
"""The parts of a key by the names that the provider's signer gives them."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}", re.ASCII)
MOST_BYTES = 8192


@dataclass(frozen=True, slots=True)
class KeyVault:
    """One sealed file a key, in a folder that only the broker's account can enter; safe for several threads.

    A copy of the files without the ``seal`` beside them opens nothing.
    """

    folder: Path

    def put(self, owner: str, provider: str, key: Key) -> None:
        """Keep a key; it takes the place of an earlier one at once and whole.

        Raises
        ------
        BadRequest
            For what is no key: names and values must be short texts.
        """
        _check(provider, key)
        path = self._path(owner, provider)
        fresh = path.with_suffix(f".{secrets.token_hex(6)}")
        sealed = self._seal().encrypt(json.dumps(dict(key)).encode())
        _write_private(fresh, sealed)
        fresh.replace(path)

    def get(self, owner: str, provider: str) -> dict[str, str] | None:
        """The key of an owner at a provider, or ``None``.

        Raises
        ------
        SetupError
            Where the file was damaged, or sealed with another seal.
        """
        try:
            sealed = self._path(owner, provider).read_bytes()
        except FileNotFoundError:
            return None
        try:
            found: dict[str, str] = json.loads(self._seal().decrypt(sealed))
        except (InvalidToken, ValueError) as exc:
            raise SetupError(
                f"The key kept for {provider!r} cannot be unsealed: its file or the seal was changed. Enter it again."
            ) from exc
        return found

    def remove(self, owner: str, provider: str) -> bool:
        """Forget a key; whether there was one."""
        try:
            self._path(owner, provider).unlink()
        except FileNotFoundError:
            return False
        return True

    def providers(self, owner: str, known: Sequence[str]) -> tuple[str, ...]:
        """Those of the known providers at which the owner has a key."""
        return tuple(provider for provider in known if self._path(owner, provider).exists())

    def _path(self, owner: str, provider: str) -> Path:
        digest = hashlib.sha256(f"{owner}\0{provider}".encode()).hexdigest()
        return self._open_folder() / f"{digest}.key"

    def _open_folder(self) -> Path:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.is_symlink() or self.folder.stat().st_mode & 0o077:
            raise SetupError(f"{self.folder} is open to others or a link. Make it a folder of its own: chmod 700.")
        return self.folder

    def _seal(self) -> Fernet:
        path = self._open_folder() / "seal"
        if not path.exists():
            fresh = path.with_suffix(f".{secrets.token_hex(6)}")
            _write_private(fresh, Fernet.generate_key())
            try:
                os.link(fresh, path)  # the first of several makes it, and all use that one
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        return Fernet(path.read_bytes())


def _check(provider: str, key: Key) -> None:
    if not _NAME.fullmatch(provider):
        raise BadRequest(f"provider: found {provider[:40]!r}, expected the id of a provider.")
    fits = isinstance(key, Mapping) and all(isinstance(k, str) and isinstance(v, str) and v for k, v in key.items())
    if not fits or not key or len(json.dumps(dict(key))) > MOST_BYTES:
        raise BadRequest(f"key: expected an object of texts, none empty, {MOST_BYTES} bytes at most.")


def _write_private(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
