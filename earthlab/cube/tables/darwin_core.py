"""Zips that hold one table: Darwin Core archives, by what their ``meta.xml`` says, and any other with one text in it.

Source: Darwin Core text guide (dwc.tdwg.org/text).
"""

import zipfile
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import geopandas as gpd
from owslib.etree import etree

from earthlab.cube.tables.delimited import Dialect, read_delimited, read_rows
from earthlab.cube.tables.selection import Selection
from earthlab.cube.tables.stated import Stated
from earthlab.errors import BadRequest

TEXT = (".csv", ".tsv", ".txt", ".tab")

_META = "meta.xml"
_LARGEST_META = 2**20
_SPACE = "{http://rs.tdwg.org/dwc/text/}"
_OCCURRENCE = "http://rs.tdwg.org/dwc/terms/Occurrence"
_WRITTEN = {"\\t": "\t", "\\n": "\n", "\\r": "\r"}


def read_zipped(stream: BinaryIO, selection: Selection, stated: Stated) -> gpd.GeoDataFrame:
    """The rows of the table in a zip that a selection wants.

    Raises
    ------
    BadRequest
        For a zip with several tables or none, and an archive whose occurrences do not say themselves where they are.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            if _META in archive.namelist():
                return _read_archive(archive, selection)
            with archive.open(_only_text(archive)) as member:
                return read_delimited(cast("BinaryIO", member), selection, stated)
    except zipfile.BadZipFile as exc:
        raise BadRequest(f"table: the zip is broken ({exc}). Fetch it again.") from exc


def _only_text(archive: zipfile.ZipFile) -> str:
    texts = [n for n in archive.namelist() if n.lower().endswith(TEXT) and not n.startswith("__MACOSX/")]
    chosen = [n for n in texts if PurePosixPath(n).name == "occurrence.txt"] or texts
    if len(chosen) != 1:
        raise BadRequest(f"table: the zip holds {len(chosen)} text tables, expected one. Unpack it and name the file.")
    return chosen[0]


def _read_archive(archive: zipfile.ZipFile, selection: Selection) -> gpd.GeoDataFrame:
    core = _parse_meta(archive)
    name = (core.findtext(f"{_SPACE}files/{_SPACE}location") or "").strip()
    if name not in archive.namelist():
        raise BadRequest(f"table: the Darwin Core archive names {name!r} in its {_META} and does not hold it.")
    dialect = _dialect(core)
    try:
        with archive.open(name) as member:
            return read_rows(cast("BinaryIO", member), dialect, selection)
    except (UnicodeDecodeError, LookupError) as exc:
        raise BadRequest(f"table: {name!r} of the Darwin Core archive is not in {dialect.encoding} ({exc}).") from exc


def _parse_meta(archive: zipfile.ZipFile) -> Any:
    with archive.open(_META) as file:
        text = file.read(_LARGEST_META)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        core = etree.fromstring(text, parser).find(f"{_SPACE}core")
    except etree.XMLSyntaxError as exc:
        raise BadRequest(f"table: the {_META} of the Darwin Core archive is no XML ({exc}).") from exc
    kind = core.get("rowType", "") if core is not None else "nothing"
    if kind != _OCCURRENCE:
        raise BadRequest(
            f"table: the core of the Darwin Core archive is {kind.rpartition('/')[2]}, expected Occurrence, whose rows "
            "say where and when. Unpack it and join its tables by their ids."
        )
    return core


def _dialect(core: Any) -> Dialect:
    fields = [(field.get("term", "").rpartition("/")[2], field) for field in core.findall(f"{_SPACE}field")]
    placed = {int(field.get("index")): term for term, field in fields if field.get("index") is not None}
    key = core.find(f"{_SPACE}id")
    if key is not None:
        placed.setdefault(int(key.get("index", 0)), "id")
    names = [placed.get(at, f"column{at}") for at in range(max(placed, default=-1) + 1)]
    distinct = [name if name not in names[:at] else f"{name}.{at}" for at, name in enumerate(names)]
    separator = core.get("fieldsTerminatedBy", ",")
    return Dialect(
        encoding=core.get("encoding") or "utf-8",
        separator=_WRITTEN.get(separator, separator),
        skip=int(core.get("ignoreHeaderLines") or 0),
        decimal=".",
        names=tuple(distinct),
        quoted=core.get("fieldsEnclosedBy", '"') != "",
        headless=True,
        constants={term: field.get("default") for term, field in fields if field.get("index") is None},
    )
