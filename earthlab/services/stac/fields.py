"""The ``fields`` extension: which parts of the items found are sent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from earthlab.errors import BadRequest

_MEMBERS = frozenset(
    {"id", "type", "collection", "geometry", "bbox", "links", "assets", "properties", "stac_version", "stac_extensions"}
)
_ALWAYS = ("type", "stac_version", "id", "collection")
_DEFAULTS = (
    *_ALWAYS, "geometry", "bbox", "links", "assets", "properties.datetime", "properties.start_datetime",
    "properties.end_datetime",
)  # fmt: skip
_MOST = 200
_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """Paths into an item, as tuples of names; of two that hold the longer one counts, and of equals the included."""

    included: frozenset[_Path]
    excluded: frozenset[_Path]
    others: bool
    """Whether what is not named is sent."""

    def pick(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """The item with these parts only; a part that it does not have is left out."""
        return self._pick(item, (), sent=self.others)

    def _pick(self, value: Mapping[str, Any], at: _Path, *, sent: bool) -> dict[str, Any]:
        picked: dict[str, Any] = {}
        for name, part in value.items():
            path = (*at, name)
            wanted = path in self.included or (sent and path not in self.excluded)
            inner = self._pick(part, path, sent=wanted) if isinstance(part, Mapping) else part
            if wanted or (isinstance(part, Mapping) and inner):
                picked[name] = inner
        return picked


def parse_fields(value: Any) -> Fields:
    """The fields of an object with ``include`` and ``exclude``, as version 1.0.0 of the extension reads them.

    With neither, what makes an item valid is sent; with ``include``, only that and what tells an item from others;
    with ``exclude``, all else, or, where ``include`` is there and empty, all else that makes an item valid.

    Raises
    ------
    BadRequest
        Where it is no such object.
    """
    if not isinstance(value, Mapping) or value.keys() - {"include", "exclude"}:
        raise _bad_fields(value)
    included, excluded = (_parse_names(value.get(side)) for side in ("include", "exclude"))
    if included:
        return _make_fields([name for name in _ALWAYS if name not in excluded] + included, excluded)
    if excluded and "include" not in value:
        return _make_fields([], excluded, others=True)
    return _make_fields([name for name in _DEFAULTS if name not in excluded], excluded)


def read_fields(text: str) -> dict[str, list[str]]:
    """The object for ``a,-b`` of a GET, where a plus may have become a space on its way."""
    names = [name.strip() for name in text.split(",")]
    included = [name.lstrip("+") for name in names if name and not name.startswith("-")]
    excluded = [name[1:] for name in names if name.startswith("-")]
    return {side: found for side, found in (("include", included), ("exclude", excluded)) if found}


def write_fields(value: Mapping[str, Any]) -> str:
    """The text of a GET for the object that `read_fields` made."""
    return ",".join([*value.get("include", ()), *(f"-{name}" for name in value.get("exclude", ()))])


def _parse_names(value: Any) -> list[str]:
    names = [] if value is None else value
    if not isinstance(names, list) or len(names) > _MOST or not all(isinstance(name, str) for name in names):
        raise _bad_fields(value)
    return names


def _make_fields(included: Iterable[str], excluded: Iterable[str], *, others: bool = False) -> Fields:
    return Fields(frozenset(map(_path, included)), frozenset(map(_path, excluded)), others)


def _path(name: str) -> _Path:
    parts = tuple(name.split("."))
    return parts if parts[0] in _MEMBERS else ("properties", *parts)


def _bad_fields(found: Any) -> BadRequest:
    return BadRequest(
        f'fields: found {str(found)[:80]!r}, expected {{"include": ["properties.gsd"], "exclude": ["assets"]}}; '
        "in a GET, properties.gsd,-assets."
    )
