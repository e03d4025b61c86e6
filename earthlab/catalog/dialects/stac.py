"""One STAC API behind one small door: connect, list, find, and say plainly what went wrong.

pystac-client does the protocol; documents are taken as they came, since pystac rewrites them on reading.
"""

import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pystac
import pystac_client
from pystac import Link
from pystac.link import HREF
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError, ParametersError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import PystacClientWarning

from earthlab.catalog.dialects.documents import MOST_ITEMS, each_once
from earthlab.catalog.query import Query
from earthlab.catalog.session import Service, answering, description, nonsense, refusal
from earthlab.errors import BadRequest, CatalogueUnavailable

PAGE = 500

_EXPECTED = "STAC JSON"

_KEPT_FOR = 3600.0
"""Seconds for which a landing page is remembered: what a service conforms to changes with its next version only."""

_LANDINGS: dict[str, tuple[float, str]] = {}
"""By the address of a root: when its page was read, and the page."""


@dataclass(frozen=True)
class StacApi:
    """A STAC API that answered; ``url`` is its root, without query or credentials."""

    url: str
    client: pystac_client.Client
    timeout: float
    page: int = PAGE

    def collections(self) -> list[dict[str, Any]]:
        """Every collection's document, as the catalogue sent it."""
        found: dict[str, dict[str, Any]] = {}
        with _answering(self.url, self.timeout):
            for collection in self.client.get_collections():
                if collection.id in found:
                    raise CatalogueUnavailable(
                        f"{self.url} listed collection {collection.id!r} twice: its paging is broken. "
                        "Search by the collection's id, or tell the catalogue's keeper."
                    )
                if len(found) >= MOST_ITEMS:
                    raise CatalogueUnavailable(
                        f"{self.url} lists more than {MOST_ITEMS} collections. Ask for one by its id."
                    )
                found[collection.id] = collection.to_dict(include_self_link=False)
        return list(found.values())

    def has_collection(self, name: str) -> bool:
        """Whether the catalogue knows the collection."""
        with _answering(self.url, self.timeout):
            found = self.client.get_collection(name)
            return found is not None and found.id == name

    def documents(self, query: Query, limit: int | None) -> Iterator[dict[str, Any]]:
        """The items' documents page by page; what it does not implement is left to the caller.

        Raises
        ------
        AskLess
            Beyond 20,000 items.
        CatalogueUnavailable
            Where the catalogue fails on the way or serves the same item twice, as one that cannot page does.
        """
        with _answering(self.url, self.timeout):
            yield from each_once(self._search(query, limit).items_as_dicts(), self.url)

    def _search(self, query: Query, limit: int | None) -> pystac_client.ItemSearch:
        understands = self.client.conforms_to("FILTER")
        if query.filter and not understands:
            raise BadRequest(
                f"filter: {self.url} does not implement the Filter Extension. Use bbox=, time=, ids= or max_cloud=."
            )
        return self.client.search(
            collections=list(query.collections) or None,
            ids=list(query.ids) or None,
            bbox=query.bbox.as_tuple() if query.bbox else None,
            intersects=json.loads(query.geometry) if query.geometry else None,
            datetime=query.period.as_stac() if query.period else None,
            filter=query.to_cql2() if understands else None,
            max_items=limit,
            limit=min(limit or self.page, self.page),
        )


def open_stac(service: Service, root: str, page: int = 0, *, keep: bool = False) -> StacApi:
    """The STAC API of a service; one request is made.

    Parameters
    ----------
    keep : bool
        Whether this process remembers the landing page for an hour, and asks no more for it.

    Raises
    ------
    CatalogueUnavailable
        Where nothing answers, it takes longer than ``catalogue.timeout``, or what answers is not a STAC API.
    NotAllowed
        Where the catalogue refuses this user.
    """
    io = _KeepsLanding(root) if keep else _WebOnly()
    io.session = service.session
    with _answering(service.url, service.timeout):
        client = pystac_client.Client.open(root, stac_io=io, timeout=service.timeout)
        if not (client.conforms_to("ITEM_SEARCH") or client.get_single_link("search")):
            raise CatalogueUnavailable(
                f"{service.url} answers, but is not a STAC API with item search. Check the address."
            )
        return StacApi(service.url, client, service.timeout, page or PAGE)


class _WebOnly(StacApiIO):
    """Takes documents from the web alone: pystac-client would open a file of this machine that a link names."""

    def read_text(self, source: HREF, *args: Any, **words: Any) -> str:
        href = source.get_absolute_href() if isinstance(source, Link) else str(source)
        if urlsplit(href or "").scheme not in {"http", "https"}:
            raise pystac.STACError("a link leads out of the web")
        return super().read_text(source, *args, **words)


class _KeepsLanding(_WebOnly):
    """And remembers one page among them."""

    def __init__(self, root: str) -> None:
        super().__init__()
        self._root = root

    def read_text(self, source: HREF, *args: Any, **words: Any) -> str:
        if source != self._root:
            return super().read_text(source, *args, **words)
        since, text = _LANDINGS.get(self._root, (0.0, ""))
        if not text or time.monotonic() - since > _KEPT_FOR:
            text = super().read_text(source, *args, **words)
            _LANDINGS[self._root] = (time.monotonic(), text)
        return text


@contextmanager
def _answering(url: str, timeout: float) -> Iterator[None]:
    with answering(url, timeout, _EXPECTED):
        try:
            # We check conformance and refuse by name. For good: warnings.catch_warnings is not safe among threads.
            warnings.filterwarnings("ignore", category=PystacClientWarning)
            yield
        except APIError as exc:
            status = getattr(exc, "status_code", None)
            raise refusal(url, timeout, exc, status, description(str(exc))) from exc
        except ParametersError as exc:
            raise BadRequest(f"The search cannot be put to {url}: {exc}") from exc
        except (ClientTypeError, pystac.STACError, NotImplementedError) as exc:
            raise nonsense(url, _EXPECTED, exc) from exc
