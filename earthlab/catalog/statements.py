"""What a STAC document states of an observation, in one form whatever its dialect: when, where, which satellite."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from earthlab.catalog.profiles import CollectionProfile, TimeFields, find_profile
from earthlab.types import BBox, parse_moment


def norm_times(properties: Mapping[str, Any], profile: CollectionProfile | None) -> tuple[datetime, datetime]:
    """First and last moment observed, UTC.

    ``datetime`` counts, unless the collection's descriptor names other fields, or it lies outside ``start_datetime`` to
    ``end_datetime``: GEODES and hydroweb.next put the date of ingestion there.

    Raises
    ------
    BadRequest, ValueError
        Where the document states no time, or one that cannot be read.
    """
    names = (profile.time if profile else None) or TimeFields()
    instant, first, last = (_moment(properties.get(name)) for name in ("datetime", names.start, names.end))
    told = profile is not None and profile.time is not None
    if first is not None and last is not None and (told or instant is None or not first <= instant <= last):
        return first, max(first, last)
    if first is not None and told:
        return first, first
    if instant is None:
        raise ValueError("it states neither datetime nor start_datetime and end_datetime")
    return instant, max(instant, last) if last else instant


def norm_box(document: Mapping[str, Any]) -> BBox | None:
    """The box in degrees, heights left out; ``None`` where the document states none.

    Raises
    ------
    BadRequest, TypeError, ValueError
        Where what it states is no box.
    """
    value = document.get("bbox")
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, Sequence) or len(value) not in {4, 6}:
        return None
    west, south, east, north = value if len(value) == 4 else (value[0], value[1], value[3], value[4])
    return BBox(float(west), float(south), float(east), float(north))


def norm_collection(document: Mapping[str, Any]) -> str:
    """The id of the collection, or nothing."""
    return document.get("collection") or document["properties"].get("collection") or ""


def norm_platforms(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Satellites and constellations, as the document names them, else its collection's descriptor."""
    stated = _names(document["properties"], "platform", "constellation")
    profile = find_profile(norm_collection(document))
    return stated or (profile.platforms if profile else ())


def norm_instruments(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Instruments, as the document names them, else its collection's descriptor."""
    stated = _names(document["properties"], "instruments", "instrument")
    profile = find_profile(norm_collection(document))
    return stated or (profile.instruments if profile else ())


def is_called(stated: str, asked: str) -> bool:
    """Whether a name means what was asked: ``"SENTINEL2A"`` is a ``"sentinel-2"``, ``"spot-67"`` is no ``"SPOT 6"``."""
    name, wanted = bare_name(stated), bare_name(asked)
    rest = name.removeprefix(wanted)
    return bool(wanted) and name.startswith(wanted) and not (wanted[-1].isdigit() and rest[:1].isdigit())


def bare_name(name: str) -> str:
    """Letters and digits alone, in which spellings of a satellite agree; GEODES calls Sentinel-2A ``S2A``."""
    return re.sub(r"^s(?=[1-6][a-d]?$)", "sentinel", re.sub(r"[\W_]", "", name.casefold()))


def _moment(value: Any) -> datetime | None:
    return None if value is None else parse_moment(value)


def _names(properties: Mapping[str, Any], *fields: str) -> tuple[str, ...]:
    values = [properties.get(field) for field in fields]
    lists = [value if isinstance(value, list) else [value] for value in values]
    return tuple(dict.fromkeys(name for names in lists for name in names if isinstance(name, str) and name))
