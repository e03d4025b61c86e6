"""Which account belongs to whom of an institution: an identity keeps its account, and an account its identity."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from earthlab.errors import BadRequest
from earthlab.hub.accounts import REHEARSAL_PREFIX, SEAT_PREFIX, USER_PATTERN
from earthlab.hub.books import open_book

_LONGEST_START = 40
_TABLE = "CREATE TABLE IF NOT EXISTS identities (digest TEXT PRIMARY KEY, user TEXT NOT NULL UNIQUE) WITHOUT ROWID"


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody at an institution, which never gives a ``subject`` to anybody else (OpenID Connect Core 1.0, 5.7)."""

    issuer: str
    subject: str

    @property
    def digest(self) -> str:
        """64 hex digits; they tell neither the issuer nor the subject."""
        return hashlib.sha256(f"{self.issuer}\0{self.subject}".encode()).hexdigest()


def propose_user(identity: Identity, wanted: str) -> str:
    """What an account is called at an identity's first sign-in.

    Parameters
    ----------
    wanted : str
        What the institution calls the person. It is taken as it stands where it is a user name; of anything else the
        first letters and digits are taken, with 16 digits of the identity, so that no two identities meet.

    Raises
    ------
    BadRequest
        For names that the lab keeps for seats of workshops and of rehearsals.
    """
    if re.fullmatch(USER_PATTERN, wanted):
        user = wanted
    else:
        plain = unicodedata.normalize("NFKD", wanted).encode("ascii", "ignore").decode().lower()
        start = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST_START].strip("-")
        user = f"{start or 'membre'}-{identity.digest[:16]}"
    if user.startswith((SEAT_PREFIX, REHEARSAL_PREFIX)):
        raise BadRequest(f"user name: {SEAT_PREFIX}… and {REHEARSAL_PREFIX}… are seats, expected another name.")
    return user


@dataclass(frozen=True, slots=True)
class IdentityStore:
    """Accounts by identity in one SQLite file, which only its owner can read; only digests of identities are kept.

    What is tied stays tied when the hub forgets a user: the home stays, too, and must not become somebody else's.
    """

    path: Path

    def user_of(self, identity: Identity) -> str | None:
        """The account that an identity has."""
        with open_book(self.path, _TABLE) as db:
            row = db.execute("SELECT user FROM identities WHERE digest = ?", (identity.digest,)).fetchone()
        return row["user"] if row else None

    def bind(self, identity: Identity, user: str) -> bool:
        """Give an account to an identity that has none; false where it belongs to another, whose it stays."""
        with open_book(self.path, _TABLE) as db:
            words = "INSERT INTO identities VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING user"
            return db.execute(words, (identity.digest, user)).fetchone() is not None

    def knows(self, user: str) -> bool:
        """Whether an account belongs to somebody of an institution."""
        with open_book(self.path, _TABLE) as db:
            return db.execute("SELECT 1 FROM identities WHERE user = ?", (user,)).fetchone() is not None
