"""Every provider's own language behind one door: `open_catalogue` gives a catalogue that is asked like any other.

A descriptor names the dialect of each endpoint; an address that no descriptor has is a STAC API. Whatever the dialect,
documents come back as STAC Items: dated by what was observed, under the lab's ids, with the licence that the descriptor
states, and unsigned.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from earthlab.catalog.dialects.csw import Csw
from earthlab.catalog.dialects.dataone import DataOne
from earthlab.catalog.dialects.documents import Catalogue, Holdings, unsign
from earthlab.catalog.dialects.erddap import Erddap
from earthlab.catalog.dialects.gbif import Gbif
from earthlab.catalog.dialects.ingestion import open_geodes, open_regards
from earthlab.catalog.dialects.portal import refuse_portal
from earthlab.catalog.dialects.sensorthings import SensorThings
from earthlab.catalog.dialects.stac import open_stac
from earthlab.catalog.dialects.static import open_static
from earthlab.catalog.profiles import CollectionProfile, Endpoint, all_endpoints, find_endpoint
from earthlab.catalog.query import Query
from earthlab.catalog.session import Credential, Service, open_service
from earthlab.catalog.signing import request_headers
from earthlab.catalog.signing.providers import find_provider
from earthlab.errors import BadRequest, CatalogueUnavailable, NotAllowed, did_you_mean
from earthlab.settings import Settings, load_settings

__all__ = ["Catalogue", "open_catalogue", "resolve_endpoint"]


@dataclass(frozen=True)
class DescribedCatalogue:
    """A provider's catalogue with what its descriptor knows better: ids, licences."""

    endpoint: Endpoint
    inner: Catalogue
    holdings: Holdings

    @property
    def url(self) -> str:
        """The root, without query or credentials."""
        return self.inner.url

    def collections(self) -> list[dict[str, Any]]:
        """The provider's collections under the lab's ids, with the licence that the descriptor states."""
        return [self._norm_collection(document) for document in self.inner.collections()]

    def has_collection(self, name: str) -> bool:
        """Whether the provider has it, under the lab's id or its own."""
        profile = self.holdings.find(name)
        return self.inner.has_collection(profile.name_there if profile else name)

    def documents(self, query: Query, limit: int | None) -> Iterator[dict[str, Any]]:
        """The provider's items under the lab's ids, with the licence that the descriptor states."""
        for document in self.inner.documents(self.holdings.there(query), limit):
            yield self._norm_document(document)

    def _norm_collection(self, document: Mapping[str, Any]) -> dict[str, Any]:
        profile = self.holdings.find(str(document["id"]))
        return {**_licensed(document, document, profile), "id": profile.id} if profile else dict(document)

    def _norm_document(self, document: Mapping[str, Any]) -> dict[str, Any]:
        profile = self.holdings.find(str(document.get("collection")))
        if profile is None:
            return unsign(dict(document))
        said = _licensed(document["properties"], document, profile)
        links = _without_licence(document) if profile.licence else document.get("links", [])
        return unsign({**document, "collection": profile.id, "properties": said, "links": links})


def open_catalogue(name: str | None = None, settings: Settings | None = None) -> Catalogue:
    """The catalogue of that name, and by default the lab's own.

    Parameters
    ----------
    name : str, optional
        The id of an endpoint, as `earthlab.catalogs` lists them, or the root of a STAC API.
    settings : Settings, optional
        Those in force by default.

    Raises
    ------
    BadRequest
        For a name that no descriptor has, a service without machine interface (with the link of its page), or a text
        that is no address.
    CatalogueUnavailable, NotAllowed
        Where it does not answer, is not what its descriptor says, or wants a key that the user has not given.

    Notes
    -----
    The hub's token goes to the lab's own catalogue and a provider's key to that provider alone. Answers of others are
    kept in the user's cache and revalidated; see `earthlab.catalog.session`. Of the lab's own, this process remembers
    what it can do.
    """
    settings = settings or load_settings()
    endpoint = resolve_endpoint(name, settings) if name else None
    if endpoint is None:
        root = _resolve_root(name, settings)
        credential = _hub_credential(root, settings)
        return open_stac(open_service(root, settings, credential), root, keep=credential is not None)
    if endpoint.dialect == "portal":
        refuse_portal(endpoint)
    url = settings.catalogue.endpoints.get(endpoint.id, endpoint.url)
    return _open(endpoint, url, open_service(url, settings, _provider_credential(endpoint, url)))


def resolve_endpoint(name: str, settings: Settings) -> Endpoint | None:
    """The endpoint with this id or at this address; ``None`` for the address of another service.

    Raises
    ------
    BadRequest
        For a name that is neither an endpoint's id nor an address.
    """
    if "://" in name:
        wanted = name.rstrip("/")
        addresses = settings.catalogue.endpoints
        at = (e for e in all_endpoints() if addresses.get(e.id, e.url).rstrip("/") == wanted)
        return None if wanted == settings.catalogue.url.rstrip("/") else next(at, None)
    endpoint = find_endpoint(name)
    if endpoint is None:
        known = [endpoint.id for endpoint in all_endpoints()]
        raise BadRequest(
            f"catalog: found {name!r}, expected the id of an endpoint of el.catalogs() or the http(s) address of a "
            f"STAC API. {did_you_mean(name, known)}"
        )
    return endpoint


def _open(endpoint: Endpoint, url: str, service: Service) -> Catalogue:
    holdings = Holdings.of(endpoint)
    title, page = endpoint.title["fr"], {"page": endpoint.page} if endpoint.page else {}
    match endpoint.dialect:
        case "csw":
            return Csw(service, title, holdings, url, **page)
        case "erddap":
            return Erddap(service, title, holdings)
        case "gbif":
            return Gbif(service, title, holdings, **page)
        case "dataone":
            return DataOne(service, title, holdings, **page)
        case "sensorthings":
            return SensorThings(service, title, holdings, **page)
        case "geodes":
            inner: Catalogue = open_geodes(service, endpoint.page)
        case "regards":
            inner = open_regards(service, endpoint.page)
        case "static":
            inner = open_static(service, url)
        case _:
            inner = open_stac(service, url, endpoint.page)
    return DescribedCatalogue(endpoint, inner, holdings)


def _resolve_root(url: str | None, settings: Settings) -> str:
    root = url or settings.catalogue.url
    if not root:
        raise CatalogueUnavailable(
            "No catalogue is set. Inside the lab the hub sets it; elsewhere set EARTHLAB__CATALOGUE__URL "
            "to the root of a STAC API, or give catalog=."
        )
    return root


def _hub_credential(root: str, settings: Settings) -> Credential | None:
    """The hub's token, for a service of the lab: a catalogue of somebody else, though it be the lab's, never has it."""
    token, own = os.environ.get("JUPYTERHUB_API_TOKEN"), settings.catalogue.url
    services = os.environ.get("EARTHLAB_SERVICES", "")
    foreign = root.rstrip("/") != own.rstrip("/") or (services and not _is_under(services, root))
    if not token or not own or foreign:
        return None
    headers = {"Authorization": f"Bearer {token}"}
    return lambda url: headers if _is_under(root, url) else {}


def _provider_credential(endpoint: Endpoint, root: str) -> Credential | None:
    """The user's key, for those who want it of a search too."""
    if endpoint.dialect != "regards" or endpoint.account == "none":
        return None
    if not request_headers(root):
        way = find_provider(endpoint.signer).way if endpoint.signer else ""
        raise NotAllowed(f"{endpoint.id} answers searches only with a key of your own, and found none. {way}".strip())
    return lambda url: request_headers(url) if _is_under(root, url) else {}


def _is_under(root: str, url: str) -> bool:
    """Whether an address is the root or below it, and could be nowhere else: a proxy takes dots out of a path."""
    own, asked = urlsplit(root), urlsplit(url)
    above = ".." in unquote(asked.path).replace("\\", "/").split("/")
    below = f"{asked.path}/".startswith(f"{own.path.rstrip('/')}/")
    return (own.scheme, own.netloc) == (asked.scheme, asked.netloc) and below and not above


def _licensed(said: Mapping[str, Any], document: Mapping[str, Any], profile: CollectionProfile) -> dict[str, Any]:
    licence = {"license": profile.licence} if profile.licence else {}
    links = {"links": _without_licence(document)} if licence and said is document else {}
    return {**said, **licence, **links}


def _without_licence(document: Mapping[str, Any]) -> list[Any]:
    return [link for link in document.get("links", []) if link.get("rel") != "license"]
