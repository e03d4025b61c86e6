"""The quota: what was used least recently goes first, and never what is being read or built."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from earthlab.cube.shared.layout import MARKER, Place
from earthlab.cube.shared.lease import Head
from earthlab.cube.shared.readers import STALE_AFTER, live_readers
from earthlab.cube.shared.stores import CannotWrite, Entry, Found, Store
from earthlab.errors import ReadFault


@dataclass(frozen=True, slots=True)
class Use:
    """What one cube takes of the store, and who uses it."""

    place: Place
    bytes: int
    used: float
    """When it was last opened, in seconds of the store's clock."""
    readers: int
    building: bool
    finished: bool


def survey(store: Store) -> tuple[Use, ...]:
    """Every cube of a store, least recently used first; one listing, and one small read a cube."""
    now = store.now()
    cubes: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in store.list(""):
        parts = entry.key.split("/")
        if len(parts) > 2:
            cubes[parts[0], parts[1]].append(entry)
    uses = (_use(store, access, token, entries, now) for (access, token), entries in cubes.items())
    return tuple(sorted((use for use in uses if use), key=lambda use: (use.used, use.place.token)))


def _use(store: Store, access: str, token: str, entries: list[Entry], now: float) -> Use | None:
    head_entry = next((entry for entry in entries if entry.key == f"{access}/{token}/head.json"), None)
    if head_entry is None:
        return None
    place = Place(store, access, token)
    _, head = _read_head(place)
    root = place.root
    seen = (entry.modified for entry in entries if not entry.key.startswith(f"{root}g-") or entry.key.endswith(MARKER))
    return Use(
        place=place,
        bytes=sum(entry.size for entry in entries),
        used=max(seen),
        readers=len(live_readers(entries, root, now)),
        building=head.claim is not None and now - head_entry.modified <= STALE_AFTER,
        finished=head.current is not None,
    )


def _read_head(place: Place) -> tuple[Found | None, Head]:
    try:
        return place.read_head()
    except ReadFault:
        return place.store.get(place.head_key), Head()


def evict(store: Store, most: int, *, keep: Iterable[Place] = ()) -> tuple[Use, ...]:
    """Remove cubes until the store holds at most ``most`` bytes, or nothing more that may go.

    Parameters
    ----------
    store : Store
        Where the cubes are.
    most : int
        Bytes that may stay.
    keep : iterable of Place
        Cubes that stay, whoever reads them.

    Returns
    -------
    tuple of Use
        What was removed.
    """
    uses = survey(store)
    total = sum(use.bytes for use in uses)
    kept = {place.root for place in keep}
    removed = []
    for use in uses:
        if total <= most:
            break
        if use.bytes > _LEFTOVER and use.place.root not in kept and _try_remove(use):
            removed.append(use)
            total -= use.bytes
    return tuple(removed)


_LEFTOVER = 4096
"""Bytes of a cube that has been evicted already: its head stays, so that builders at work go on finding it."""


def _try_remove(use: Use) -> bool:
    try:
        return remove_cube(use)
    except CannotWrite:
        return False  # another account's, whose quota it is


def remove_cube(use: Use) -> bool:
    """Remove one cube, unless it is read or built; whether it went.

    A reader touches before it looks at the head, and the head is emptied before the readers are looked at again: of
    the two, at least one sees the other.
    """
    if use.readers or use.building:
        return False
    place, store = use.place, use.place.store
    found, head = _read_head(place)
    if found is None:
        return False
    emptied = store.replace(place.head_key, Head().render(), found.tag)
    if emptied is None:
        return False
    if live_readers(store.list(f"{place.root}readers/"), place.root, store.now()):
        store.replace(place.head_key, head.render(), emptied)
        return False
    for name in _generations(store.list(place.root), place.root):
        store.delete(place.generation(name))
    store.delete(f"{place.root}readers/")
    store.delete(f"{place.root}used")
    return True


def sweep(place: Place, keep: Sequence[str | None]) -> None:
    """Remove generations that dead builders left or that newer ones replaced, once nobody reads the cube."""
    entries = list(place.store.list(place.root))
    if live_readers(entries, place.root, place.store.now()):
        return
    for name in _generations(entries, place.root) - set(keep):
        place.store.delete(place.generation(name))


def _generations(entries: Iterable[Entry], root: str) -> set[str]:
    names = {entry.key.removeprefix(root).split("/", 1)[0] for entry in entries}
    return {name for name in names if name.startswith("g-")}
