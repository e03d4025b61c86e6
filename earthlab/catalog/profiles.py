"""What the lab knows of poles, providers and their collections, as data: where they are and how to read them.

One TOML file a pole or provider in ``earthlab/poles`` and in the folder of the setting ``catalogue.descriptors``. A new
one is a new file and no code, as long as it speaks one of `DIALECTS`. Tables other than ``endpoints`` and
``collections`` belong to others and are passed over here; a word unknown within those two is refused by name.
"""

import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from earthlab.errors import EarthlabError, SetupError, did_you_mean
from earthlab.settings import load_settings
from earthlab.types import norm_period

Dialect = Literal["stac", "geodes", "regards", "static", "csw", "erddap", "gbif", "dataone", "sensorthings", "portal"]
Account = Literal["none", "key", "login"]
Kind = Literal["pole", "provider"]

DIALECTS: tuple[str, ...] = get_args(Dialect)
"""What `earthlab.catalog.dialects` speaks; ``"portal"`` has no machine interface and is refused with its link."""

_LANGUAGES = ("fr", "en")


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
class GridHint:
    """The grid that cubes of a collection should have where nobody asks for another; ``resolution`` in CRS units."""

    crs: str = ""
    resolution: float | None = None


@dataclass(frozen=True, slots=True)
class TimeFields:
    """The properties of an item that enclose the time observed, where ``datetime`` is something else."""

    start: str = "start_datetime"
    end: str = "end_datetime"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A service that answers searches in one dialect."""

    id: str
    """Unique over all files: ``el.search(…, catalog="geodes")``."""
    pole: str
    title: Mapping[str, str] = field(hash=False)
    url: str
    """Its root, or for ``dialect="portal"`` the page for people. The setting ``catalogue.endpoints`` overrides it."""
    dialect: Dialect
    page: int = 0
    """Most items it gives in a page; 0: the dialect's own measure."""
    signer: str = ""
    account: Account = "none"
    """What its data need of the user: nothing, a key, or a sign-in."""
    stock: Mapping[str, str] = field(default_factory=dict, hash=False)
    source: str = ""


@dataclass(frozen=True, slots=True)
class CollectionProfile:
    """A collection as its pole describes it. Texts for people are mappings of ``fr`` and ``en``."""

    id: str
    """Unique over all files; where the provider's id is not, ``upstream`` holds that."""
    pole: str
    title: Mapping[str, str] = field(hash=False)
    themes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    licence: str = ""
    """SPDX id, ``LicenseRef-…`` or ``other``."""
    access: str = "open"
    """``open``, ``account``, or the id of a rule."""
    citation: str = ""
    bands: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Asset key → common name."""
    radiometry: Radiometry = Radiometry()
    masks: Mapping[str, MaskRecipe] = field(default_factory=dict, hash=False)
    offset_rule: OffsetRule | None = None
    endpoint: str = ""
    """Id of the endpoint that answers for it; empty: the lab's own catalogue."""
    upstream: str = ""
    """Its id at the provider; by default ``id``."""
    concepts: tuple[str, ...] = ()
    """URIs of the thesauri's concepts."""
    licence_stated: str = ""
    """What the provider's documents say in place of the licence, and is wrong."""
    doi: str = ""
    platforms: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    period: tuple[str, str] | None = None
    """First and last day observed; ``".."``: still running."""
    stock: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What is really there, where that is less than the extent claims."""
    grid: GridHint | None = None
    time: TimeFields | None = None
    source: str = ""

    @property
    def name_there(self) -> str:
        """Its id at the provider."""
        return self.upstream or self.id


@dataclass(frozen=True, slots=True)
class Pole:
    """A pole of the research infrastructure, or another source the lab describes."""

    id: str
    title: Mapping[str, str] = field(hash=False)
    portal: str
    collections: tuple[CollectionProfile, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    kind: Kind = "pole"


def load_poles() -> tuple[Pole, ...]:
    """Every pole and provider of ``earthlab/poles`` and of ``catalogue.descriptors``, in the order of their ids.

    Raises
    ------
    SetupError
        For a descriptor that is not TOML, lacks a word, has one that is not known, or repeats the id of another; the
        message names the file and the word.
    """
    return _load_all(*_where())


def find_profile(collection: str) -> CollectionProfile | None:
    """The profile of a collection, or ``None`` where no pole describes it."""
    return _profiles(*_where()).get(collection)


def find_endpoint(name: str) -> Endpoint | None:
    """The endpoint of that id, or ``None`` where no descriptor has it."""
    return next((endpoint for endpoint in all_endpoints() if endpoint.id == name), None)


def all_endpoints() -> tuple[Endpoint, ...]:
    """Every endpoint of every pole and provider."""
    return tuple(endpoint for pole in load_poles() for endpoint in pole.endpoints)


def find_profiles(endpoint: str) -> tuple[CollectionProfile, ...]:
    """The collections that an endpoint answers for, as described."""
    return tuple(profile for profile in _profiles(*_where()).values() if profile.endpoint == endpoint)


def _where() -> tuple[str | None, str | None]:
    """What says where further descriptors are; asked for every item, so that it has to be quick."""
    return os.environ.get("EARTHLAB__CATALOGUE__DESCRIPTORS"), os.environ.get("EARTHLAB_CONFIG")


@lru_cache(maxsize=4)
def _load_all(_folder: str | None, _config: str | None) -> tuple[Pole, ...]:
    poles = tuple(sorted((*_shipped(), *map(_read_pole, _further_files())), key=lambda pole: pole.id))
    _require_once("pole", (pole.id for pole in poles))
    _require_once("endpoint", (endpoint.id for pole in poles for endpoint in pole.endpoints))
    _require_once("collection", (profile.id for pole in poles for profile in pole.collections))
    _require_known_endpoints(poles)
    return poles


@lru_cache(maxsize=4)
def _profiles(folder: str | None, config: str | None) -> dict[str, CollectionProfile]:
    return {profile.id: profile for pole in _load_all(folder, config) for profile in pole.collections}


@cache
def _shipped() -> tuple[Pole, ...]:
    entries = [file for file in (files("earthlab") / "poles").iterdir() if file.name.endswith(".toml")]
    return tuple(_read_pole((f"earthlab/poles/{file.name}", file.read_text("utf-8"))) for file in entries)


def _further_files() -> Iterator[tuple[str, str]]:
    folder = load_settings().catalogue.descriptors
    if folder is not None:
        yield from _own_files(folder)


def _own_files(folder: Path) -> Iterator[tuple[str, str]]:
    if not folder.is_dir():
        raise SetupError(f"catalogue.descriptors is {folder}, which is not a folder. Mend the setting or make it.")
    for file in sorted(folder.glob("*.toml")):
        yield str(file), file.read_text("utf-8")


def _require_once(word: str, ids: Iterable[str]) -> None:
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise SetupError(
            f"The descriptors describe {word} {', '.join(map(repr, twice))} more than once. Give each an id of its "
            "own; a collection keeps the provider's id as upstream."
        )


def _require_known_endpoints(poles: tuple[Pole, ...]) -> None:
    known = {endpoint.id for pole in poles for endpoint in pole.endpoints}
    for profile in (profile for pole in poles for profile in pole.collections):
        if profile.endpoint and profile.endpoint not in known:
            raise SetupError(
                f"Collection {profile.id!r} of {profile.pole!r} names the endpoint {profile.endpoint!r}, which no "
                f"descriptor has. {did_you_mean(profile.endpoint, known)}"
            )


def _read_pole(file: tuple[str, str]) -> Pole:
    name, text = file
    try:
        return _parse_pole(tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise SetupError(f"{name} is not valid TOML: {exc}. Mend the file.") from exc
    except KeyError as exc:
        raise SetupError(f"{name}: {exc.args[0]!r} is missing. Add it; earthlab/poles/theia.toml shows one.") from exc
    except (AttributeError, TypeError, ValueError, EarthlabError) as exc:
        raise SetupError(f"{name}: {exc} Mend the file.") from exc


def _parse_pole(table: Mapping[str, Any]) -> Pole:
    name = table["id"]
    return Pole(
        id=name,
        title=_bilingual(table["title"], f"{name}.title"),
        portal=table["portal"],
        collections=tuple(_parse_profile(c, name) for c in table.get("collections", [])),
        endpoints=tuple(_parse_endpoint(e, name) for e in table.get("endpoints", [])),
        kind=_one_of(table.get("kind", "pole"), Kind, f"{name}.kind"),
    )


def _parse_endpoint(table: Mapping[str, Any], pole: str) -> Endpoint:
    where = f"endpoint {table['id']!r}"
    _require_words(table, Endpoint, where)
    words = {word: value for word, value in table.items() if word not in {"title", "stock", "dialect", "account"}}
    return Endpoint(
        **words,
        pole=pole,
        title=_bilingual(table["title"], f"{where}: title"),
        stock=_bilingual(table["stock"], f"{where}: stock") if "stock" in table else {},
        dialect=_one_of(table["dialect"], Dialect, f"{where}: dialect"),
        account=_one_of(table.get("account", "none"), Account, f"{where}: account"),
    )


def _parse_profile(table: Mapping[str, Any], pole: str) -> CollectionProfile:
    where = f"collection {table['id']!r}"
    _require_words(table, CollectionProfile, where)
    themes = table.get("themes", {})
    return CollectionProfile(
        id=table["id"],
        pole=pole,
        title=_bilingual(table["title"], f"{where}: title"),
        themes={language: tuple(themes.get(language, ())) for language in _LANGUAGES},
        licence=table["licence"],
        access=table["access"],
        citation=table["citation"],
        bands=table.get("bands", {}),
        radiometry=Radiometry(**table.get("radiometry", {})),
        masks={name: _parse_recipe(name, recipe) for name, recipe in table.get("masks", {}).items()},
        offset_rule=_parse_rule(table["offset_rule"]) if "offset_rule" in table else None,
        period=_parse_period(table["period"]) if "period" in table else None,
        stock=_bilingual(table["stock"], f"{where}: stock") if "stock" in table else {},
        grid=GridHint(**table["grid"]) if "grid" in table else None,
        time=TimeFields(**table["time"]) if "time" in table else None,
        concepts=tuple(table.get("concepts", ())),
        platforms=tuple(table.get("platforms", ())),
        instruments=tuple(table.get("instruments", ())),
        **{word: str(table.get(word, "")) for word in ("endpoint", "upstream", "licence_stated", "doi", "source")},
    )


def _require_words(table: Mapping[str, Any], kind: type[Any], where: str) -> None:
    known = {f.name for f in fields(kind)} - {"pole"}
    for word in table:
        if word not in known:
            raise SetupError(f"{where} has {word!r}, which is not known. {did_you_mean(word, known)}")


def _bilingual(value: Mapping[str, str], where: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or any(not isinstance(value.get(language), str) for language in _LANGUAGES):
        raise SetupError(f"{where} is {value!r}, expected texts for {' and '.join(_LANGUAGES)}.")
    return dict(value)


def _one_of(value: str, kind: Any, where: str) -> Any:
    if value not in get_args(kind):
        raise SetupError(f"{where} is {value!r}, expected one of {', '.join(get_args(kind))}.")
    return value


def _parse_period(value: Any) -> tuple[str, str]:
    norm_period(value)
    first, last = value
    return str(first), str(last)


def _parse_rule(table: Mapping[str, Any]) -> OffsetRule:
    return OffsetRule(tuple(table["properties"]), table["since"], table["offset"], tuple(table["applied"]))


def _parse_recipe(name: str, table: Mapping[str, Any]) -> MaskRecipe:
    assets, keep = (tuple(table.get(words, ())) for words in ("assets", "keep"))
    return MaskRecipe(name, table["kind"], assets, keep, table["why"], table.get("bits", 0))
