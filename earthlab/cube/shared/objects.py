"""A bucket of an S3-compatible server as a store of shared cubes, through conditional put."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import obstore
import zarr.abc.store
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store
from zarr.storage import ObjectStore as ZarrObjectStore

from earthlab.cube.shared.stores import CannotWrite, Entry, Found, StoreAddress
from earthlab.errors import EarthlabError, SetupError

_IDENTITIES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
_MISSING = (FileNotFoundError, NotFoundError)


class ObjectStore:
    """A prefix of a bucket. Keys of the account are those of the environment (``AWS_…``) and stay there."""

    def __init__(self, address: StoreAddress, bucket: str, prefix: str) -> None:
        self.address = address
        self._bucket = bucket
        self._prefix = prefix
        self._require_identity()
        self._store = self._connect(prefix)

    def get(self, key: str) -> Found | None:
        """What the key holds, whole, or ``None``."""
        try:
            with self._refusing("read"):
                answer = obstore.get(self._store, key)
                return Found(bytes(answer.bytes()), answer.meta["e_tag"] or "")
        except _MISSING:
            return None

    def get_part(self, key: str, start: int, length: int) -> bytes | None:
        """Some bytes of what the key holds, fewer where it is shorter; ``None`` where there is no such key."""
        try:
            with self._refusing("read"):
                return bytes(obstore.get_range(self._store, key, start=start, length=length))
        except _MISSING:
            return None

    def create(self, key: str, content: bytes) -> str | None:
        """The tag of the new content; ``None`` where the key exists."""
        self._require_conditions()
        return self._create(key, content)

    def replace(self, key: str, content: bytes, tag: str) -> str | None:
        """The tag of the new content; ``None`` where the key does not hold ``tag`` any more."""
        try:
            with self._refusing("changed"):
                return obstore.put(self._store, key, content, mode={"e_tag": tag}, use_multipart=False)["e_tag"]
        except (PreconditionError, AlreadyExistsError, *_MISSING):
            return None

    def put(self, key: str, content: bytes) -> None:
        """Write, whatever the key held."""
        with self._refusing("changed"):
            obstore.put(self._store, key, content, use_multipart=False)

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every key below a prefix, in no order."""
        with self._refusing("read"):
            for page in obstore.list(self._store, prefix=prefix.rstrip("/")):
                for found in page:
                    yield Entry(found["path"], found["size"], found["last_modified"].timestamp())

    def delete(self, prefix: str) -> None:
        """Remove a key or all below a prefix."""
        keys = [entry.key for entry in self.list(prefix)] if prefix.endswith("/") else [prefix]
        try:
            with self._refusing("changed"):
                if keys:
                    obstore.delete(self._store, keys)
        except _MISSING:
            return

    def size(self, key: str) -> int | None:
        """Bytes that the key holds, or ``None``."""
        try:
            with self._refusing("read"):
                return obstore.head(self._store, key)["size"]
        except _MISSING:
            return None

    def now(self) -> float:
        """The server's clock."""
        key = f"clock/{uuid.uuid4().hex}"
        self.put(key, b"")
        try:
            with self._refusing("read"):
                return obstore.head(self._store, key)["last_modified"].timestamp()
        finally:
            self.delete(key)

    def open_zarr(self, prefix: str, *, read_only: bool) -> zarr.abc.store.Store:
        """The Zarr store below a prefix."""
        return ZarrObjectStore(self._connect(f"{self._prefix}/{prefix}".strip("/")), read_only=read_only)

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

    def _connect(self, prefix: str) -> S3Store:
        words = {"endpoint": self.address.endpoint, "region": self.address.region}
        return S3Store(
            self._bucket,
            prefix=prefix or None,
            client_options={"allow_http": self.address.endpoint.startswith("http://"), "timeout": "30s"},
            retry_config={"max_retries": 4},
            config={name: value for name, value in words.items() if value},  # type: ignore[arg-type]
        )

    def _create(self, key: str, content: bytes) -> str | None:
        try:
            with self._refusing("changed"):
                return obstore.put(self._store, key, content, mode="create", use_multipart=False)["e_tag"]
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

    @contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        try:
            yield
        except (AlreadyExistsError, PreconditionError, *_MISSING):
            raise
        except BaseError as exc:
            raise self._refusal(exc, what) from exc

    def _refusal(self, exc: BaseError, what: str) -> EarthlabError:
        words = f"The store of shared cubes {self.locate('')} cannot be {what} ({type(exc).__name__})."
        if isinstance(exc, PermissionDeniedError | UnauthenticatedError) and what == "changed":
            return CannotWrite(f"{words} The keys AWS_… of the environment do not allow it: ask for others.")
        return SetupError(f"{words} Check cubes.store, cubes.endpoint and the keys AWS_… of the environment.")
