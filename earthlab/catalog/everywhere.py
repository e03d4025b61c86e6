"""One question to every catalogue at once: each is asked by a thread of its own, and what arrives is handed on.

Nobody waits for the slowest: after ``catalogue.patience`` seconds the search goes on without those that have not
finished, with the items that they had given by then.
"""

import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from queue import Empty, Queue
from typing import Any

from earthlab.catalog.dialects import Catalogue, open_catalogue
from earthlab.catalog.itemset import Item, Outcome, State
from earthlab.catalog.normalise import norm_item
from earthlab.catalog.profiles import Endpoint, all_endpoints, find_profile
from earthlab.catalog.query import Query
from earthlab.errors import BadRequest, CatalogueUnavailable, EarthlabError, NotAllowed, SetupError, did_you_mean
from earthlab.settings import Settings, load_settings

LAB = "lab"
NOBODY = "none"
"""In place of endpoints: the lab's own catalogue alone is asked, as where there is no way out."""
LIMIT = 100
"""Items that each catalogue gives where the question has no limit."""

_BATCH = 25


@dataclass(frozen=True, slots=True)
class Arrival:
    """Items that one endpoint gave just now; with ``outcome`` it was its last word."""

    endpoint: str
    items: tuple[Item, ...] = ()
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    endpoint: str
    name: str | None
    query: Query


def ask_everyone(
    query: Query, settings: Settings | None = None, *, of: Collection[str] | None = None
) -> Iterator[Arrival]:
    """What the lab's own catalogue and every endpoint give, as it arrives; with ``of`` only those of these ids.

    A question that names collections goes only to those that hold them, and to the lab's own catalogue. The last
    arrival of each endpoint carries its outcome; each item comes once, from whoever gave it first. Each endpoint gives
    as many as ``limit`` says, else 100.

    Raises
    ------
    CatalogueUnavailable
        Where nobody can be asked: no catalogue is set, and no descriptor fits.
    """
    settings = settings or load_settings()
    asked = tuple(one for one in _plan(query, settings) if of is None or one.endpoint in of)
    if not asked:
        raise CatalogueUnavailable(
            f"No catalogue holds {', '.join(query.collections) or 'anything'} and can be asked by machine. "
            "el.catalogs() lists the portals."
        )
    arrivals: Queue[Arrival] = Queue()
    for one in asked:
        threading.Thread(target=_ask, args=(one, settings, arrivals), daemon=True).start()
    yield from _gather(asked, arrivals, settings.catalogue.patience)


def _plan(query: Query, settings: Settings) -> Iterator[_Asked]:
    if settings.catalogue.url:
        yield _Asked(LAB, None, query)
    for endpoint in _everyone(settings.catalogue.everyone):
        names = tuple(name for name in query.collections if _may_hold(endpoint, name))
        if endpoint.dialect != "portal" and (names or not query.collections):
            yield _Asked(endpoint.id, endpoint.id, replace(query, collections=names))


def _everyone(chosen: str) -> tuple[Endpoint, ...]:
    endpoints = all_endpoints()
    if chosen.strip() == NOBODY:
        return ()
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    known = {endpoint.id: endpoint for endpoint in endpoints}
    for name in names:
        if name not in known:
            raise SetupError(f"catalogue.everyone names {name!r}, which is no endpoint. {did_you_mean(name, known)}")
    return tuple(known[name] for name in names) or endpoints


def _may_hold(endpoint: Endpoint, collection: str) -> bool:
    profile = find_profile(collection)
    return profile.endpoint == endpoint.id if profile else endpoint.dialect == "stac"


def _gather(asked: tuple[_Asked, ...], arrivals: "Queue[Arrival]", patience: float) -> Iterator[Arrival]:
    began = time.monotonic()
    counts = dict.fromkeys((one.endpoint for one in asked), 0)
    seen: set[tuple[str, str]] = set()
    waiting = set(counts)
    while waiting:
        try:
            arrival = arrivals.get(timeout=max(0.0, began + patience - time.monotonic()))
        except Empty:
            break
        fresh = tuple(item for item in arrival.items if (item.collection, item.id) not in seen)
        seen.update((item.collection, item.id) for item in fresh)
        counts[arrival.endpoint] += len(fresh)
        if arrival.outcome is not None:
            waiting.discard(arrival.endpoint)
            yield replace(arrival, items=fresh, outcome=replace(arrival.outcome, items=counts[arrival.endpoint]))
        elif fresh:
            yield replace(arrival, items=fresh)
    for name in sorted(waiting):
        message = f"It had not finished after {patience:g} s. Ask it alone, or raise EARTHLAB__CATALOGUE__PATIENCE."
        yield Arrival(name, outcome=Outcome(name, "slow", counts[name], time.monotonic() - began, message))


def _ask(asked: _Asked, settings: Settings, arrivals: "Queue[Arrival]") -> None:
    """One catalogue's part, in a thread: whatever happens, its last arrival has its outcome."""
    began = time.monotonic()
    state: State = "answered"
    try:
        message = _hand_on(asked, open_catalogue(asked.name, settings), arrivals)
    except (BadRequest, NotAllowed) as exc:
        state, message = "refused", str(exc)
    except EarthlabError as exc:
        state, message = "failed", str(exc)
    except Exception as exc:  # noqa: BLE001 - a fault of ours in one dialect must not take the other answers away
        state, message = "failed", f"{type(exc).__name__} in the lab's own code. Please report it."
    outcome = Outcome(asked.endpoint, state, 0, time.monotonic() - began, message)
    arrivals.put(Arrival(asked.endpoint, outcome=outcome))


def _hand_on(asked: _Asked, catalogue: Catalogue, arrivals: "Queue[Arrival]") -> str:
    """Put the items into the queue, in batches; what there is to say of them in the end."""
    query = _held(asked.query, catalogue)
    if query is None:
        return "It holds none of these collections."
    most = query.limit or LIMIT
    unread: list[str] = []
    items = _readable(catalogue.documents(query, most + 1), query, unread)
    for batch in _batches(islice(items, most)):
        arrivals.put(Arrival(asked.endpoint, batch))
    said = [f"It has more than these {most}: give limit=."] if next(items, None) else []
    if unread:
        said.append(f"{len(unread)} items could not be understood, for one: {unread[0]}")
    return " ".join(said)


def _readable(documents: Iterator[dict[str, Any]], query: Query, unread: list[str]) -> Iterator[Item]:
    checked = replace(query, collections=())  # whose names may differ at the provider
    for document in documents:
        try:
            item = norm_item(document)
            kept = checked.keeps(document)
        except (CatalogueUnavailable, BadRequest, ValueError) as exc:
            unread.append(str(exc))
            continue
        if kept:
            yield item


def _batches(items: Iterator[Item]) -> Iterator[tuple[Item, ...]]:
    while batch := tuple(islice(items, _BATCH)):
        yield batch


def _held(query: Query, catalogue: Catalogue) -> Query | None:
    """The question for the collections that the catalogue holds; ``None`` where it holds none of them."""
    if not query.collections:
        return query
    names = tuple(name for name in query.collections if catalogue.has_collection(name))
    return replace(query, collections=names) if names else None
