"""Public keys by which users sign in by ssh: which are taken, and where they are kept."""

import base64
import binascii
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from earthlab.errors import AskLess, BadRequest
from earthlab.hub.books import open_book

MOST_KEYS = 20
"""Keys that one user may have."""

_LONGEST_LINE = 8192
_LONGEST_COMMENT = 100
_LEAST_RSA = 3072
"""Bits; NIST SP 800-57 part 1, table 2: 128 bits of security."""
_ED25519 = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com")

_TABLE = """CREATE TABLE IF NOT EXISTS keys (
    user TEXT NOT NULL, fingerprint TEXT NOT NULL, line TEXT NOT NULL, comment TEXT NOT NULL,
    added REAL NOT NULL, used REAL, PRIMARY KEY (user, fingerprint)
) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key as OpenSSH writes it: ``kind`` and base64, RFC 4253 section 6.6."""

    kind: str
    base64: str
    comment: str = ""

    @property
    def line(self) -> str:
        """Without the comment."""
        return f"{self.kind} {self.base64}"

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` shows it: ``SHA256:`` and 43 characters."""
        return fingerprint(base64.b64decode(self.base64))


@dataclass(frozen=True, slots=True)
class Key:
    """A registered key; ``added`` and ``used`` in seconds since 1970."""

    user: str
    fingerprint: str
    line: str
    comment: str
    added: float
    used: float | None

    @property
    def kind(self) -> str:
        """Such as ``ssh-ed25519``."""
        return self.line.partition(" ")[0]


def fingerprint(blob: bytes) -> str:
    """That of a key in its binary form."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def parse_public_key(text: str) -> PublicKey:
    """The key in a line of ``id_ed25519.pub``.

    Raises
    ------
    BadRequest
        For anything else, a private key above all, and for keys that are too weak.
    """
    text = text.strip()
    if "PRIVATE KEY" in text:
        raise BadRequest(
            "C’est une clé privée : ne la donnez à personne, donnez le fichier .pub. · "
            "This is a private key: give it to nobody, give the file .pub."
        )
    words = text.split(None, 2)
    if len(text) > _LONGEST_LINE or len(text.splitlines()) != 1 or len(words) < 2:
        raise BadRequest(_NOT_A_KEY)
    kind, encoded = words[:2]
    comment = words[2] if len(words) == 3 else ""
    try:
        fields = _split(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError) as exc:
        raise BadRequest(_NOT_A_KEY) from exc
    if fields[0] != kind.encode():
        raise BadRequest(_NOT_A_KEY)
    _refuse_weak(kind, fields)
    return PublicKey(kind, encoded, "".join(filter(str.isprintable, comment))[:_LONGEST_COMMENT])


_NOT_A_KEY = (
    "Ce n’est pas une clé publique : une ligne telle que ssh-ed25519 AAAA… nom. · "
    "This is no public key: one line such as ssh-ed25519 AAAA… name."
)
_WEAK = (
    "Ce genre de clé n’est pas accepté, seulement ed25519 et RSA de 3072 bits ou plus : ssh-keygen -t ed25519. · "
    "This kind of key is not taken, only ed25519 and RSA of 3072 bits or more: ssh-keygen -t ed25519."
)


def _split(blob: bytes) -> list[bytes]:
    """The strings of which a key consists, each after its length in four bytes."""
    found = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            raise ValueError("a string that ends too early")
        found.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    if len(found) < 2:
        raise ValueError("no key")
    return found


def _refuse_weak(kind: str, fields: list[bytes]) -> None:
    if kind in _ED25519:
        if len(fields[1]) != 32 or len(fields) != 1 + len(kind.split("@")):
            raise BadRequest(_NOT_A_KEY)
    elif kind != "ssh-rsa" or len(fields) != 3 or int.from_bytes(fields[2], "big").bit_length() < _LEAST_RSA:
        raise BadRequest(_WEAK)


@dataclass(frozen=True, slots=True)
class KeyStore:
    """All users' keys in one SQLite file, which only its owner can read. Safe for many processes at a time."""

    path: Path
    clock: Callable[[], float] = time.time

    def add(self, user: str, text: str) -> Key:
        """Register a key given as a line of ``id_ed25519.pub``; one that is there stays as it is.

        Raises
        ------
        BadRequest
            For what is no key that could be used.
        AskLess
            Where the user has too many.
        """
        key = parse_public_key(text)
        with open_book(self.path, _TABLE) as db:
            (count,) = db.execute("SELECT count(*) FROM keys WHERE user = ?", (user,)).fetchone()
            if count >= MOST_KEYS:
                raise AskLess(
                    f"Vous avez déjà {count} clés : retirez-en une d’abord. · "
                    f"You already have {count} keys: remove one first."
                )
            row = (user, key.fingerprint, key.line, key.comment, self.clock())
            db.execute("INSERT OR IGNORE INTO keys VALUES (?, ?, ?, ?, ?, NULL)", row)
        found = self.find(user, key.fingerprint)
        assert found is not None
        return found

    def keys(self, user: str) -> list[Key]:
        """A user's keys, the oldest first."""
        with open_book(self.path, _TABLE) as db:
            rows = db.execute("SELECT * FROM keys WHERE user = ? ORDER BY added", (user,)).fetchall()
        return [Key(*row) for row in rows]

    def find(self, user: str, fingerprint: str) -> Key | None:
        """A user's key by its fingerprint."""
        with open_book(self.path, _TABLE) as db:
            row = db.execute("SELECT * FROM keys WHERE user = ? AND fingerprint = ?", (user, fingerprint)).fetchone()
        return Key(*row) if row else None

    def note_use(self, user: str, fingerprint: str) -> None:
        """Remember that a user has just signed in by a key."""
        with open_book(self.path, _TABLE) as db:
            db.execute("UPDATE keys SET used = ? WHERE user = ? AND fingerprint = ?", (self.clock(), user, fingerprint))

    def remove(self, user: str, fingerprint: str) -> bool:
        """Forget a user's key; whether there was one."""
        with open_book(self.path, _TABLE) as db:
            return db.execute("DELETE FROM keys WHERE user = ? AND fingerprint = ?", (user, fingerprint)).rowcount > 0

    def forget(self, user: str) -> None:
        """Forget all keys of a user."""
        with open_book(self.path, _TABLE) as db:
            db.execute("DELETE FROM keys WHERE user = ?", (user,))
