"""What tells later whether a source has changed since a cube was built from it."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from earthlab.catalog.signing import sign, unsigned
from earthlab.cube.plan import CubePlan, Layer, Source
from earthlab.errors import EarthlabError, NotAllowed

_AT_ONCE = 16
_TIMEOUT = 10.0

Stamp = Mapping[str, Any]


def refuse_secrets(plan: CubePlan) -> None:
    """Check that no href of a plan carries a signature or a password, for it would be stored.

    Raises
    ------
    NotAllowed
        Where one does, naming the item.
    """
    for layer, source in _sources(plan):
        if unsigned(source.href) != source.href:
            raise NotAllowed(
                f"Item {layer.item!r}: its href carries a signature or key, which must not be stored in a shared cube. "
                "Search the catalogue again, and let a signer (setting catalogue.signers) sign what is read."
            )


def stamp_sources(plan: CubePlan, stop: threading.Event) -> tuple[Stamp, ...]:
    """Each source file with what its server or file system says of it: e-tag or modification time, and size.

    One HEAD request a remote file, several at once. A file that says nothing, or cannot be asked, has its href alone.
    """
    items: dict[str, str] = {}
    for layer, source in _sources(plan):
        items.setdefault(source.href, layer.item)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="earthlab-stamp") as pool:
        stamps = pool.map(lambda href: {} if stop.is_set() else _stamp(href), items)
        return tuple(
            {"item": item, "href": href, **said} for (href, item), said in zip(items.items(), stamps, strict=True)
        )


def _sources(plan: CubePlan) -> Iterator[tuple[Layer, Source]]:
    for layer in plan.layers():
        for source in (*layer.sources, layer.mask):
            if source is not None:
                yield layer, source


def _stamp(href: str) -> Stamp:
    parts = urlsplit(href)
    try:
        if parts.scheme in {"http", "https"}:
            return _ask(sign(href).href)
        if parts.scheme in {"", "file"}:
            found = Path(unquote(parts.path) if parts.scheme else href).stat()
            modified = datetime.fromtimestamp(found.st_mtime, UTC).isoformat()
            return {"bytes": found.st_size, "modified": modified}
    except (OSError, HTTPException, EarthlabError):
        return {}
    return {}


def _ask(address: str) -> Stamp:
    parts = urlsplit(address)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=_TIMEOUT)
    try:
        connection.request("HEAD", parts.path + (f"?{parts.query}" if parts.query else ""))
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            return {}
        said = {"etag": answer.headers["ETag"], "modified": answer.headers["Last-Modified"]}
        size = answer.headers["Content-Length"]
        return {name: value for name, value in said.items() if value} | ({"bytes": int(size)} if size else {})
    finally:
        connection.close()
