"""What the lab knows of a collection beyond its catalogue: aliases, radiometry, masks, licence, citation.

One TOML file a pole in ``earthlab/poles``; a new pole is a new file and no code.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class MaskRecipe:
    """How a collection says which pixels are clear.

    Of the first of ``assets`` that the item has, ``kind="classes"`` keeps the values in ``keep``, and ``kind="bits"``
    those that have none of the bits of ``bits``. ``kind="none"``: all that are not nodata.
    """

    name: str
    kind: Literal["classes", "bits", "none"]
    assets: tuple[str, ...] = ()
    keep: tuple[int, ...] = ()
    why: str = ""
    bits: int = 0


@dataclass(frozen=True, slots=True)
class Radiometry:
    """Physical value = DN · scale + offset; a DN equal to ``nodata`` is no observation. ``None``: unknown."""

    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class OffsetRule:
    """An offset that products carry from one version of their processing on, whether or not the catalogue says so.

    ``properties`` are those of an item that hold the version, ``since`` the first version with the offset, and
    ``applied`` those that are true where the provider has taken the offset out of the files again.
    """

    properties: tuple[str, ...]
    since: str
    offset: float
    applied: tuple[str, ...] = ()

    def resolve(self, properties: Mapping[str, Any], stated: float | None) -> float | None:
        """The offset of an item's files; ``stated`` is what its catalogue says."""
        if any(properties.get(name) is True for name in self.applied):
            return 0.0
        if stated is not None:
            return stated
        version = next((str(properties[name]) for name in self.properties if properties.get(name)), None)
        return self.offset if version and _parts(version) >= _parts(self.since) else None


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


@dataclass(frozen=True, slots=True)
class CollectionProfile:
    """A collection as its pole describes it."""

    id: str
    pole: str
    title: Mapping[str, str] = field(hash=False)
    themes: Mapping[str, tuple[str, ...]] = field(hash=False)
    licence: str = ""
    access: str = "open"
    citation: str = ""
    bands: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Asset key → common name."""
    radiometry: Radiometry = Radiometry()
    masks: Mapping[str, MaskRecipe] = field(default_factory=dict, hash=False)
    offset_rule: OffsetRule | None = None


@dataclass(frozen=True, slots=True)
class Pole:
    """A pole of the research infrastructure, or another source the lab describes."""

    id: str
    title: Mapping[str, str] = field(hash=False)
    portal: str
    collections: tuple[CollectionProfile, ...]


@lru_cache(maxsize=1)
def load_poles() -> tuple[Pole, ...]:
    """Every pole of ``earthlab/poles``, in the order of their ids."""
    folder = files("earthlab") / "poles"
    tables = [tomllib.loads(f.read_text("utf-8")) for f in folder.iterdir() if f.name.endswith(".toml")]
    return tuple(sorted((_parse_pole(t) for t in tables), key=lambda pole: pole.id))


def find_profile(collection: str) -> CollectionProfile | None:
    """The profile of a collection, or ``None`` where no pole describes it."""
    return _by_id().get(collection)


@lru_cache(maxsize=1)
def _by_id() -> dict[str, CollectionProfile]:
    return {profile.id: profile for profile in _all_profiles()}


def _all_profiles() -> Iterator[CollectionProfile]:
    for pole in load_poles():
        yield from pole.collections


def _parse_pole(table: Mapping[str, Any]) -> Pole:
    collections = tuple(_parse_profile(c, table["id"]) for c in table.get("collections", []))
    return Pole(table["id"], table["title"], table["portal"], collections)


def _parse_profile(table: Mapping[str, Any], pole: str) -> CollectionProfile:
    return CollectionProfile(
        id=table["id"],
        pole=pole,
        title=table["title"],
        themes={lang: tuple(words) for lang, words in table["themes"].items()},
        licence=table["licence"],
        access=table["access"],
        citation=table["citation"],
        bands=table.get("bands", {}),
        radiometry=Radiometry(**table.get("radiometry", {})),
        offset_rule=_parse_rule(table["offset_rule"]) if "offset_rule" in table else None,
        masks={name: _parse_recipe(name, recipe) for name, recipe in table.get("masks", {}).items()},
    )


def _parse_rule(table: Mapping[str, Any]) -> OffsetRule:
    return OffsetRule(tuple(table["properties"]), table["since"], table["offset"], tuple(table["applied"]))


def _parse_recipe(name: str, table: Mapping[str, Any]) -> MaskRecipe:
    assets, keep = (tuple(table.get(words, ())) for words in ("assets", "keep"))
    return MaskRecipe(name, table["kind"], assets, keep, table["why"], table.get("bits", 0))
