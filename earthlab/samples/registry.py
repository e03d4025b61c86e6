"""Which real samples there are, read from ``registry.toml``: origin, checksum, licence and citation of every file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from earthlab.errors import BadRequest, did_you_mean


@dataclass(frozen=True, slots=True)
class SampleFile:
    """One file of a sample, and where upstream keeps these very bytes."""

    path: str
    """Where it stands in the sample's folder, with forward slashes."""
    url: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Files of one publisher, under one licence."""

    licence: str
    what: str
    verifies: str
    """A published or recomputed figure that the files reproduce; empty where none is known."""
    files: tuple[SampleFile, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A small set of real open data on one topic."""

    name: str
    title_fr: str
    title_en: str
    citation: str
    origins: tuple[Origin, ...]

    @property
    def files(self) -> tuple[SampleFile, ...]:
        """Every file, whatever its publisher."""
        return tuple(file for origin in self.origins for file in origin.files)

    @property
    def licence(self) -> str:
        """The licence as its publisher states it; several are joined by `` ; ``."""
        return " ; ".join(dict.fromkeys(origin.licence for origin in self.origins))

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(file.bytes for file in self.files)


@cache
def read_registry() -> Mapping[str, Sample]:
    """Every sample by its name, in alphabetical order."""
    tables = tomllib.loads((Path(__file__).parent / "registry.toml").read_text(encoding="utf-8"))
    return {name: _parse_sample(name, tables[name]) for name in sorted(tables)}


def find_sample(name: str, registry: Mapping[str, Sample] | None = None) -> Sample:
    """The sample of this name.

    Raises
    ------
    BadRequest
        Where there is none; the message offers the nearest names.
    """
    known = read_registry() if registry is None else registry
    if not isinstance(name, str) or name not in known:
        raise BadRequest(
            f"samples: found no sample called {name!r}. {did_you_mean(str(name), known)} "
            "earthlab.samples.catalog() lists them all."
        )
    return known[name]


def _parse_sample(name: str, table: Mapping[str, Any]) -> Sample:
    return Sample(
        name=name,
        title_fr=table["title"]["fr"],
        title_en=table["title"]["en"],
        citation=table["citation"],
        origins=tuple(_parse_origin(origin) for origin in table["origins"]),
    )


def _parse_origin(table: Mapping[str, Any]) -> Origin:
    files = tuple(
        SampleFile(
            path=row["path"],
            url=table["upstream"] + quote(row.get("from", row["path"])),
            sha256=row["sha256"],
            bytes=row["bytes"],
        )
        for row in table["files"]
    )
    return Origin(table["licence"], table["what"], table.get("verifies", ""), files)
