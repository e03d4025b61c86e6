"""One STAC API behind one small door: connect, list, find, and say plainly what went wrong.

pystac-client does the protocol; documents are taken as they came, since pystac rewrites them on reading.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pystac
import pystac_client
import requests
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError, ParametersError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import PystacClientWarning
from urllib3.exceptions import NewConnectionError
from urllib3.exceptions import TimeoutError as PoolTimeout
from urllib3.util import Retry

from earthlab.catalog.query import Query
from earthlab.errors import AskLess, BadRequest, CatalogueUnavailable, EarthlabError, NotAllowed
from earthlab.settings import Settings, load_settings

MOST_ITEMS = 20_000
PAGE = 500


@dataclass(frozen=True)
class StacApi:
    """A STAC API that answered; ``url`` is its root, without query or credentials."""

    url: str
    client: pystac_client.Client
    timeout: float

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
                found[collection.id] = collection.to_dict(include_self_link=False)
        return list(found.values())

    def has_collection(self, name: str) -> bool:
        """Whether the catalogue knows the collection."""
        with _answering(self.url, self.timeout):
            found = self.client.get_collection(name)
            return found is not None and found.id == name

    def documents(self, query: Query, limit: int | None) -> Iterator[dict[str, Any]]:
        """The items' documents page by page; ``max_cloud`` is not part of the core and is left to the caller.

        Raises
        ------
        AskLess
            Beyond 20,000 items.
        CatalogueUnavailable
            Where the catalogue fails on the way or serves the same item twice, as one that cannot page does.
        """
        seen: set[tuple[str, str]] = set()
        with _answering(self.url, self.timeout):
            for document in self._search(query, limit).items_as_dicts():
                mark = (str(document.get("collection")), str(document.get("id")))
                if mark in seen:
                    raise CatalogueUnavailable(
                        f"{self.url} served item {mark[1]!r} twice: its paging is broken. Ask with limit={len(seen)}."
                    )
                if len(seen) >= MOST_ITEMS:
                    raise AskLess(
                        f"The search finds more than {MOST_ITEMS} items. Narrow time= or bbox=, or give limit=."
                    )
                seen.add(mark)
                yield document

    def _search(self, query: Query, limit: int | None) -> pystac_client.ItemSearch:
        if query.filter and not self.client.conforms_to("FILTER"):
            raise BadRequest(
                f"filter: {self.url} does not implement the Filter Extension. Use bbox=, time=, ids= or max_cloud=."
            )
        return self.client.search(
            collections=list(query.collections) or None,
            ids=list(query.ids) or None,
            bbox=query.bbox.as_tuple() if query.bbox else None,
            intersects=json.loads(query.geometry) if query.geometry else None,
            datetime=query.period.as_stac() if query.period else None,
            filter=query.filter,
            max_items=limit,
            limit=min(limit or PAGE, PAGE),
        )


def open_stac_api(url: str | None = None, settings: Settings | None = None) -> StacApi:
    """The catalogue at ``url``, or the lab's own; one request is made.

    The hub's token goes to the lab's own catalogue alone, never to another address.

    Raises
    ------
    CatalogueUnavailable
        Where nothing answers, it takes longer than ``catalogue.timeout``, or what answers is not a STAC API.
    NotAllowed
        Where the catalogue refuses this user.
    BadRequest
        Where ``url`` is not one.
    """
    settings = settings or load_settings()
    root = _resolve_root(url, settings)
    options = settings.catalogue
    io = StacApiIO(
        max_retries=Retry(total=options.retries, backoff_factor=0.3, status_forcelist=[429, 502, 503, 504]),
    )
    shown = _shown(root)
    with _answering(shown, options.timeout):
        client = pystac_client.Client.open(
            # It sets all three anew on the io it is given, to nothing where they are not named here.
            root,
            stac_io=io,
            request_modifier=_signer(root, settings),
            timeout=options.timeout,
        )
        if not (client.conforms_to("ITEM_SEARCH") or client.get_single_link("search")):
            raise CatalogueUnavailable(f"{shown} answers, but is not a STAC API with item search. Check the address.")
        return StacApi(shown, client, options.timeout)


def _resolve_root(url: str | None, settings: Settings) -> str:
    root = url or settings.catalogue.url
    if not root:
        raise CatalogueUnavailable(
            "No catalogue is set. Inside the lab the hub sets it; elsewhere set EARTHLAB__CATALOGUE__URL "
            "to the root of a STAC API, or give catalog=."
        )
    if urlsplit(root).scheme not in {"http", "https"}:
        raise BadRequest(f"catalog: found {root!r}, expected the http(s) address of a STAC API.")
    return root


def _signer(root: str, settings: Settings) -> Callable[[requests.Request], requests.Request] | None:
    token, own = os.environ.get("JUPYTERHUB_API_TOKEN"), settings.catalogue.url
    if not token or not own or root.rstrip("/") != own.rstrip("/"):
        return None

    def sign(request: requests.Request) -> requests.Request:
        if _is_under(root, str(request.url)):
            request.headers = {**(request.headers or {}), "Authorization": f"Bearer {token}"}
        return request

    return sign


def _is_under(root: str, url: str) -> bool:
    own, asked = urlsplit(root), urlsplit(url)
    return (own.scheme, own.netloc) == (asked.scheme, asked.netloc) and asked.path.startswith(own.path.rstrip("/"))


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


@contextmanager
def _answering(url: str, timeout: float) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PystacClientWarning)  # we check conformance ourselves, and refuse by name
            yield
    except EarthlabError:
        raise
    except APIError as exc:
        raise _refusal(url, timeout, exc) from exc
    except ParametersError as exc:
        raise BadRequest(f"The search cannot be put to {url}: {exc}") from exc
    except requests.RequestException as exc:
        raise _refusal(url, timeout, exc) from exc
    except (
        ClientTypeError,
        pystac.STACError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        NotImplementedError,
    ) as exc:
        raise CatalogueUnavailable(
            f"{url} answered nonsense: expected STAC JSON, could not read it ({type(exc).__name__}). "
            "Check that the address is the root of a STAC API, or try later."
        ) from exc


def _refusal(url: str, timeout: float, exc: Exception) -> EarthlabError:
    status = getattr(exc, "status_code", None)
    if status in {401, 403}:
        return NotAllowed(
            f"{url} refuses this sign-in ({status}). In the lab, restart your server from the hub's page; "
            "elsewhere, this catalogue wants an access of its own."
        )
    if status == 400:
        return BadRequest(f"{url} refuses the search: {_description(exc)}")
    if _was_slow(exc):
        return CatalogueUnavailable(
            f"{url} did not answer within {timeout:g} s. Try again, or raise EARTHLAB__CATALOGUE__TIMEOUT."
        )
    found = f"answered {status}" if status else "cannot be reached"
    return CatalogueUnavailable(f"{url} {found}. Check that the service runs and the address is right, then try again.")


def _description(exc: Exception) -> str:
    try:
        answer = json.loads(str(exc))
    except ValueError:
        return str(exc)[:300]
    return str(answer.get("description") or answer.get("detail") or answer)[:300] if isinstance(answer, Mapping) else ""


def _was_slow(exc: BaseException | None) -> bool:
    while exc is not None:
        if isinstance(exc, NewConnectionError):  # a refused connection, though urllib3 files it under timeouts
            return False
        if isinstance(exc, requests.Timeout | PoolTimeout | TimeoutError):
            return True
        if any(isinstance(a, BaseException) and _was_slow(getattr(a, "reason", None)) for a in exc.args):
            return True
        exc = exc.__cause__ or exc.__context__
    return False
