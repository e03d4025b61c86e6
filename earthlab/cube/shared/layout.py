"""Which key of a store holds what of a cube, and what a finished cube says of itself.

::

    <access>/<token>/head.json              the current generation and the builder at work
    <access>/<token>/used                   touched at each opening
    <access>/<token>/readers/<process>      touched while a process has the cube open
    <access>/<token>/<generation>/          a Zarr group, and below it others: see `earthlab.cube.shared.levels`
    <access>/<token>/<generation>/item.json the cube as a STAC item
    <access>/<token>/<generation>/cube.json the marker, written last
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

import numpy as np

from earthlab.cube.faults import Fault
from earthlab.cube.plan import CubePlan, Encoding
from earthlab.cube.readers.window import Array
from earthlab.cube.shared.lease import Head
from earthlab.cube.shared.levels import Level, kept_encodings, level_of, whole_level
from earthlab.cube.shared.stores import Found, Store
from earthlab.errors import BadRequest, ReadFault
from earthlab.types import canonical_json

MARKER = "cube.json"
ITEM = "item.json"
VERSION = 1

_TOKEN = re.compile(r"[0-9a-f]{20}")
_ACCESS = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cube is in a store, or would be."""

    store: Store
    access: str
    token: str

    def __post_init__(self) -> None:
        norm_token(self.token)
        if not _ACCESS.fullmatch(self.access):
            raise BadRequest(
                f"The access class {self.access!r} cannot name a part of the store of shared cubes. Give the "
                "collection's profile one of lower-case letters, digits, - and _."
            )

    @property
    def root(self) -> str:
        """The prefix of everything of this cube, ending with a slash."""
        return f"{self.access}/{self.token}/"

    @property
    def head_key(self) -> str:
        """The key of the head."""
        return f"{self.root}head.json"

    def generation(self, name: str) -> str:
        """The prefix of one generation, ending with a slash."""
        return f"{self.root}{name}/"

    def read_head(self) -> tuple[Found | None, Head]:
        """The head as it is stored, and what it says.

        Raises
        ------
        ReadFault
            Where it is damaged.
        """
        found = self.store.get(self.head_key)
        return found, Head.parse(found.content) if found else Head()


def norm_token(token: str) -> str:
    """The token, checked: nothing else may become part of a path.

    Raises
    ------
    BadRequest
        For anything but 20 hexadecimal digits.
    """
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise BadRequest(
            f"cube: found {token!r}, expected the token of a cube: 20 hexadecimal digits, as plan.token gives them. "
            "List the shared cubes with: earthlab cubes"
        )
    return token


@dataclass(frozen=True)
class Marker:
    """What a finished cube says of itself."""

    token: str
    generation: str
    access: str
    plan_json: str
    shards: tuple[int, int, int]
    """Pixels of a shard along time, y and x."""
    encoded: tuple[bool, ...]
    """Which bands are stored as the integers of the plan's encodings; the others as float32."""
    items: tuple[Mapping[str, Any], ...]
    """One entry a source file: item, href, and what tells whether it has changed since."""
    empty: tuple[tuple[str, tuple[int, int, int]], ...]
    """Band and place of each shard without any observation: those are not stored, and all others are."""
    faults: tuple[Fault, ...]
    size: int
    created: str
    engine: str
    expires: str | None = None
    """When a cube built with reads that failed in passing is to be built again."""
    levels: tuple[int, ...] = ()
    """The factors of its overviews: none where it is small, or was built before there were any."""
    level_empty: tuple[tuple[int, str, tuple[int, int, int]], ...] = ()
    """Factor, band and place of each of their shards without any observation."""

    @cached_property
    def plan(self) -> CubePlan:
        """The plan the cube was built from."""
        return CubePlan.from_json(self.plan_json)

    @property
    def kept_encodings(self) -> tuple[Encoding | None, ...]:
        """How each band is stored as integers; ``None`` for float32."""
        return kept_encodings(self.plan, self.encoded)

    def level(self, factor: int = 1) -> Level:
        """How the cube, or an overview of it, is stored.

        Raises
        ------
        BadRequest
            Where there is no such overview.
        """
        if factor == 1:
            return whole_level(self.plan, self.shards)
        if factor not in self.levels:
            there = f"It has {', '.join(map(str, self.levels))}" if self.levels else "It has none"
            raise BadRequest(
                f"level: the shared cube {self.token} has no overview of factor {factor!r}. {there}, and 1."
            )
        return level_of(self.plan, factor)

    def empty_shards(self, band: str, factor: int = 1) -> Array:
        """Which shards of a band, or of an overview of it, hold no observation: bool, one along time, y and x each."""
        empty = np.zeros(self.level(factor).grid, bool)
        whole = ((1, name, place) for name, place in self.empty)
        for level, name, place in whole if factor == 1 else self.level_empty:
            empty[place] |= (level, name) == (factor, band)
        return empty

    def has_expired(self) -> bool:
        """Whether the next opener should build the cube again."""
        return self.expires is not None and datetime.fromisoformat(self.expires) <= datetime.now(UTC)

    def render(self) -> bytes:
        """The bytes to store; with licences and citation in plain sight, though the plan has them too."""
        plan = self.plan
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "plan_json"}
        told = {
            "version": VERSION,
            "plan": json.loads(self.plan_json),
            "faults": [asdict(fault) for fault in self.faults],
            "collections": plan.collections,
            "licences": plan.licences,
            "citation": plan.citation,
            "simulated": plan.simulated,
        }
        return canonical_json({**values, **told}).encode()

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The marker that ``render`` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
            For anything else.
        """
        values = json.loads(content)
        if values["version"] != VERSION:
            raise ValueError(f"version {values['version']!r}")
        faults = tuple(Fault.parse(fault) for fault in values["faults"])
        values = {"levels": [], "level_empty": [], **values}  # a marker of before there were any
        own = {name: values[name] for name in cls.__dataclass_fields__ if name not in {"plan_json", "faults"}}
        lists = {name: tuple(own[name]) for name in ("shards", "encoded", "items", "levels")}
        lists["empty"] = tuple((band, tuple(place)) for band, place in own["empty"])
        lists["level_empty"] = tuple((factor, band, tuple(place)) for factor, band, place in own["level_empty"])
        return cls(**{**own, **lists}, faults=faults, plan_json=canonical_json(values["plan"]))


def read_marker(place: Place, generation: str) -> Marker:
    """What a generation of a cube says of itself.

    Raises
    ------
    ReadFault
        Where the marker is missing, damaged or another cube's.
    """
    found = place.store.get(place.generation(generation) + MARKER)
    if found is None:
        raise torn(place, f"its marker {MARKER} is missing")
    try:
        marker = Marker.parse(found.content)
    except (ValueError, KeyError, TypeError) as exc:
        raise torn(place, f"its marker {MARKER} is damaged ({type(exc).__name__})") from exc
    if (marker.token, marker.generation, marker.access) != (place.token, generation, place.access):
        raise torn(place, f"its marker {MARKER} is another cube's")
    return marker


def torn(place: Place, why: str) -> ReadFault:
    """The refusal of a cube that is not whole."""
    return ReadFault(
        f"The shared cube {place.token} in {place.store.locate(place.root)} cannot be read: {why}. "
        "Build it again with el.open(..., share=True), or open the items without share=."
    )
