"""A bucket of an S3-compatible server as a store of shared cubes, through conditional put."""

import copy
import os
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Self, TypeVar

import obstore
import zarr.abc.store
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store
from zarr.storage import ObjectStore as ZarrObjectStore

from earthlab.cube.shared.stores import CannotWrite, Entry, Found, StoreAddress
from earthlab.errors import EarthlabError, SetupError, StoreUnavailable
from earthlab.notice import Notice

if TYPE_CHECKING:
    from obstore.store import BackoffConfig

_IDENTITIES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
_MISSING = (FileNotFoundError, NotFoundError)
_MEANT = (AlreadyExistsError, PreconditionError, *_MISSING)
"""What callers ask for by a condition, or may expect."""
_STATUS = re.compile(r"status code: (\d{3})")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
_AWAY = (
    "Le magasin des cubes partagés ne répond pas ; on l’attend. · "
    "The store of shared cubes does not answer; waiting for it."
)
_BACK = "Le magasin des cubes partagés répond de nouveau. · The store of shared cubes answers again."

_QUIET = 1.0
"""Seconds between a first failure, which took as long itself, and a word about it."""

_NOTICES: dict[str, Notice] = {}
"""What is said of a bucket that is away, once for all of this process who wait for it."""

T = TypeVar("T")


class ObjectStore:
    """A prefix of a bucket. Keys of the account are those of the environment (``AWS_…``) and stay there."""

    def __init__(self, address: StoreAddress, bucket: str, prefix: str) -> None:
        self.address = address
        self._bucket = bucket
        self._prefix = prefix
        self._has_answered = False
        self._require_identity()
        self._store = self._connect(prefix, timedelta(seconds=10), tries=4)

    def get(self, key: str) -> Found | None:
        """What the key holds, whole, or ``None``."""

        def read() -> Found:
            answer = obstore.get(self._store, key)
            return Found(bytes(answer.bytes()), answer.meta["e_tag"] or "")

        try:
            return self._ask("read", read)
        except _MISSING:
            return None

    def get_part(self, key: str, start: int, length: int) -> bytes | None:
        """Some bytes of what the key holds, fewer where it is shorter; ``None`` where there is no such key."""
        try:
            return self._ask("read", lambda: bytes(obstore.get_range(self._store, key, start=start, length=length)))
        except _MISSING:
            return None

    def create(self, key: str, content: bytes) -> str | None:
        """The tag of the new content; ``None`` where the key exists."""
        self._require_conditions()
        return self._create(key, content)

    def replace(self, key: str, content: bytes, tag: str) -> str | None:
        """The tag of the new content; ``None`` where the key does not hold ``tag`` any more."""

        def write() -> str | None:
            return obstore.put(self._store, key, content, mode={"e_tag": tag}, use_multipart=False)["e_tag"]

        try:
            return self._ask("changed", write)
        except _MEANT:
            return None

    def put(self, key: str, content: bytes) -> None:
        """Write, whatever the key held."""
        self._ask("changed", lambda: obstore.put(self._store, key, content, use_multipart=False))

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every key below a prefix, in no order."""

        def read() -> Iterator[Entry]:
            pages = obstore.list(self._store, prefix=prefix.rstrip("/"))
            found = [each for page in pages for each in page]
            return (Entry(each["path"], each["size"], each["last_modified"].timestamp()) for each in found)

        yield from self._ask("read", read)

    def delete(self, prefix: str) -> None:
        """Remove a key or all below a prefix."""
        keys = [entry.key for entry in self.list(prefix)] if prefix.endswith("/") else [prefix]
        try:
            if keys:
                self._ask("changed", lambda: obstore.delete(self._store, keys))
        except _MISSING:
            return

    def size(self, key: str) -> int | None:
        """Bytes that the key holds, or ``None``."""
        try:
            return self._ask("read", partial(obstore.head, self._store, key))["size"]
        except _MISSING:
            return None

    def now(self) -> float:
        """The server's clock."""
        key = f"clock/{uuid.uuid4().hex}"
        self.put(key, b"")
        try:
            return self._ask("read", partial(obstore.head, self._store, key))["last_modified"].timestamp()
        finally:
            self.delete(key)

    def open_zarr(self, prefix: str, *, read_only: bool) -> zarr.abc.store.Store:
        """The Zarr store below a prefix; each of its requests waits for a server that is away."""
        client = self._connect(f"{self._prefix}/{prefix}".strip("/"), timedelta(seconds=self.address.patience))
        return ZarrObjectStore(client, read_only=read_only)

    def explain(self, error: Exception, what: str, /) -> EarthlabError | None:
        """The server's refusal, or its absence."""
        return self._refusal(error, what) if isinstance(error, BaseError) else None

    def impatient(self) -> Self:
        """The same bucket, asked once."""
        found = copy.copy(self)
        found.address = replace(self.address, patience=0.0)
        return found

    def settle(self, prefix: str) -> None:
        """Nothing is left to do: what the server has confirmed lasts, and rights are the bucket's policy."""

    def locate(self, prefix: str) -> str:
        """The URL of a prefix."""
        return f"s3://{self._bucket}/" + f"{self._prefix}/{prefix}".strip("/")

    def _require_identity(self) -> None:
        """Without one, the client would ask the cloud's metadata address, which in a lab is nobody's or another's."""
        if not any(os.environ.get(name) for name in _IDENTITIES):
            raise SetupError(
                f"The store of shared cubes {self.locate('')} needs keys, and the environment here has none. "
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (on the workers too), or AWS_SKIP_SIGNATURE=true for "
                "a public bucket."
            )

    def _connect(self, prefix: str, patience: timedelta, tries: int = 1000) -> S3Store:
        words = {"endpoint": self.address.endpoint, "region": self.address.region}
        pauses: BackoffConfig = {
            "init_backoff": timedelta(seconds=0.1),
            "max_backoff": timedelta(seconds=_LONGEST_PAUSE),
            "base": 2,
        }
        return S3Store(
            self._bucket,
            prefix=prefix or None,
            client_options={"allow_http": self.address.endpoint.startswith("http://"), "timeout": "30s"},
            retry_config={"max_retries": tries, "retry_timeout": patience, "backoff": pauses},
            config={name: value for name, value in words.items() if value},  # type: ignore[arg-type]
        )

    def _create(self, key: str, content: bytes) -> str | None:
        def write() -> str | None:
            return obstore.put(self._store, key, content, mode="create", use_multipart=False)["e_tag"]

        try:
            return self._ask("changed", write)
        except (AlreadyExistsError, PreconditionError):
            return None

    def _require_conditions(self) -> None:
        assert self._keeps_conditions

    @cached_property
    def _keeps_conditions(self) -> bool:
        """A server that takes every put would let two builders win; some say nothing of the condition they ignore."""
        key = f"conditions/{uuid.uuid4().hex}"
        try:
            first = self._create(key, b"1")
            kept = first is not None and self._create(key, b"2") is None
            kept = kept and self.replace(key, b"3", '"0"') is None and self.replace(key, b"4", first or "") is not None
        finally:
            self.delete(key)
        if not kept:
            raise SetupError(
                f"The server of {self.locate('')} ignores conditional writes (If-None-Match, If-Match), without which "
                "two builders of one cube cannot be told apart. Use one that honours them, or a folder."
            )
        return True

    def _ask(self, what: str, request: Callable[[], T]) -> T:
        """The answer to a request, which is asked again while a server that has answered before is away.

        The client tries each request a few times within a second. That it waits no longer leaves us between the tries,
        where an interrupt is heard; and whose address is wrong is told at once.
        """
        until, pause = time.monotonic() + self.address.patience, _FIRST_PAUSE
        while True:
            try:
                answer = request()
            except _MEANT:
                self._has_answered = True
                raise
            except BaseError as exc:
                away = isinstance(exc, GenericError) and self._has_answered
                if not away or time.monotonic() + pause > until:
                    raise self._refusal(exc, what) from exc
                self._say_away()
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads those who wait, keeps no secret
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._has_answered = True
                self._say_back()
                return answer

    def _say_away(self) -> None:
        _NOTICES.setdefault(self._bucket, Notice(_QUIET)).say(_AWAY)

    def _say_back(self) -> None:
        notice = _NOTICES.pop(self._bucket, None)
        if notice is not None and notice.is_shown:
            notice.say(_BACK)

    def _refusal(self, exc: BaseError, what: str) -> EarthlabError:
        where = f"The store of shared cubes {self.locate('')}"
        if isinstance(exc, GenericError):
            status = _STATUS.search(str(exc))
            return StoreUnavailable(
                f"{where} does not answer ({f'HTTP {status[1]}' if status else 'no connection'}). What it holds is "
                "kept: try again in a minute. If it stays away, check cubes.endpoint, or ask the lab's team."
            )
        words = f"{where} cannot be {what} ({type(exc).__name__})."
        if isinstance(exc, PermissionDeniedError | UnauthenticatedError) and what == "changed":
            return CannotWrite(f"{words} The keys AWS_… of the environment do not allow it: ask for others.")
        return SetupError(f"{words} Check cubes.store, cubes.endpoint and the keys AWS_… of the environment.")
