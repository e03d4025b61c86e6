"""DataONE member nodes (Metacat, such as the PNDB's): one document a data package, from the Solr index and its EML.

The index says where and when, the EML which tables there are, what their columns are and under which licence. A column
is a band of the asset, with its unit, its missing value and, where EML tells, that it is a longitude, latitude or time.
A profile's ``upstream`` is a clause of the Solr query language that its packages meet. Sources: DataONE architecture v2
(``MNQuery.query``, the index fields), EML 2.2.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import quote

from owslib.etree import etree

from earthlab.catalog.dialects.documents import (
    Paging,
    PartedService,
    box_of,
    boxes_of,
    each_once,
    make_item,
    media_type_of,
    period_of,
    stac_moment,
)
from earthlab.catalog.query import Query
from earthlab.catalog.session import answering
from earthlab.types import BBox

PAGE = 100

_FIELDS = (
    "id", "title", "abstract", "keywords", "beginDate", "endDate", "formatId", "dateUploaded", "origin",
    "westBoundCoord", "southBoundCoord", "eastBoundCoord", "northBoundCoord",
)  # fmt: skip
_CURRENT = ("formatType:METADATA", "-obsoletedBy:*")


@dataclass(frozen=True)
class DataOne(PartedService):
    """A member node at the root of its API's version: ``…/metacat/d1/mn/v2``."""

    page: int = PAGE
    kind: ClassVar[str] = "is a DataONE node"

    def documents(self, query: Query, limit: int | None) -> Iterator[dict[str, Any]]:
        """One item a package whose period is stated and meets the question."""
        size = min(limit or self.page, self.page)
        for collection, clause in self.parts(query):
            found = (self._document(record, collection, query) for record in self._records(query, clause, size))
            yield from each_once((item for item in found if item), self.url)

    def _records(self, query: Query, clause: str, size: int) -> Iterator[dict[str, Any]]:
        filters = [("fq", word) for word in (*_CURRENT, *_conditions(query), *([clause] if clause else []))]
        fixed = [("q", "*:*"), *filters, ("fl", ",".join(_FIELDS)), ("sort", "id asc"), ("wt", "json")]
        start, paging = 0, Paging(self.url)
        while True:
            paging.enter(start)
            answer = self.service.get_json(f"{self._base}/query/solr/", [*fixed, ("rows", size), ("start", start)])
            records = answer["response"]["docs"]
            yield from records
            start += len(records)
            if not records or start >= int(answer["response"]["numFound"]):
                return

    def _document(self, record: Mapping[str, Any], collection: str, query: Query) -> dict[str, Any] | None:
        period = period_of(record.get("beginDate"), record.get("endDate"))
        if period is None:
            return None
        name = str(record["id"])
        sides = (record.get(f"{side}BoundCoord") for side in ("west", "south", "east", "north"))
        bare = make_item(name, collection, start=period[0], end=period[1], bbox=box_of(*sides))
        if not replace(query, where=(), platform=(), instrument=(), max_cloud=None).keeps(bare):
            return None
        address = f"{self._base}/object/{quote(name, safe='')}"
        described = self._read_eml(address) if "eml" in str(record.get("formatId")).lower() else _Package()
        return make_item(
            name,
            collection,
            start=period[0],
            end=period[1],
            bbox=bare["bbox"],
            properties={
                "title": record.get("title"),
                "description": record.get("abstract"),
                "keywords": record.get("keywords"),
                "authors": record.get("origin"),
                "license": described.licence,
                "updated": record.get("dateUploaded"),
            },
            assets=described.assets,
            links=[{"rel": "describedby", "href": address, "type": "application/xml"}],
        )

    def _read_eml(self, address: str) -> "_Package":
        answer = self.service.get(address)
        with answering(self.url, self.service.timeout):
            parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
            return _parse_eml(etree.fromstring(answer.content, parser))

    @property
    def _base(self) -> str:
        return self.url.rstrip("/")


@dataclass(frozen=True)
class _Package:
    licence: str = ""
    assets: Mapping[str, Mapping[str, Any]] | None = None


def _conditions(query: Query) -> Iterator[str]:
    if query.ids:
        yield "id:(" + " OR ".join(_quoted(name) for name in query.ids) + ")"
    boxes = boxes_of(query)
    if boxes:
        yield " OR ".join(f"({_within(box)})" for box in boxes)
    if query.period and query.period.start:
        yield f"(endDate:[{stac_moment(query.period.start)} TO *] OR (*:* -endDate:*))"
    if query.period and query.period.end:
        yield f"beginDate:[* TO {stac_moment(query.period.end)}]"


def _within(box: BBox) -> str:
    return (
        f"westBoundCoord:[* TO {box.east}] AND eastBoundCoord:[{box.west} TO *] AND "
        f"southBoundCoord:[* TO {box.north}] AND northBoundCoord:[{box.south} TO *]"
    )


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _parse_eml(root: Any) -> _Package:
    dataset = root.find("dataset")
    licence = dataset.findtext("licensed/identifier") or dataset.findtext("licensed/licenseName") or ""
    tables = [*dataset.findall("dataTable"), *dataset.findall("otherEntity")]
    return _Package(licence, dict(asset for table in tables for asset in _entity_assets(table)))


def _entity_assets(entity: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    name = entity.findtext("physical/objectName") or entity.findtext("entityName") or "data"
    href = entity.findtext("physical/distribution/online/url") or ""
    if not href.startswith(("http://", "https://")):
        return
    media_type = media_type_of(f"https://x/{quote(name)}", "text/csv" if entity.tag == "dataTable" else "")
    if media_type:
        title = entity.findtext("entityName") or name
        asset = {"href": href.strip(), "type": _with_form(media_type, entity), "roles": ["data"], "title": title}
        columns = _columns(entity)
        yield name, {**asset, "bands": columns} if columns else asset


def _with_form(media_type: str, entity: Any) -> str:
    """With what EML says of a text's form, in the words of RFC 4180."""
    if not media_type.startswith("text/"):
        return media_type
    charset = entity.findtext("physical/characterEncoding")
    bare = entity.findtext("physical/dataFormat/textFormat/numHeaderLines") == "0"
    words = [media_type, *([f'charset="{charset}"'] if charset else []), *(["header=absent"] if bare else [])]
    return "; ".join(words)


def _columns(entity: Any) -> list[dict[str, Any]]:
    attributes = entity.findall("attributeList/attribute")
    roles = {role: _only(attributes, says) for role, says in _ROLES.items()}
    return [_column(a, next((role for role, found in roles.items() if found is a), None)) for a in attributes]


def _column(attribute: Any, role: str | None) -> dict[str, Any]:
    unit = attribute.findtext(".//unit/standardUnit") or attribute.findtext(".//unit/customUnit")
    missing = next((n for n in map(_number, attribute.findall("missingValueCode/code")) if n is not None), None)
    said = {"unit": unit, "nodata": missing, "common_name": role}
    return {"name": attribute.findtext("attributeName"), **{k: v for k, v in said.items() if v is not None}}


def _number(code: Any) -> float | None:
    try:
        number = float(code.text or "")
    except ValueError:  # codes such as NA, which readers know
        return None
    return number if math.isfinite(number) else None


def _only(attributes: Sequence[Any], says: Any) -> Any:
    found = [attribute for attribute in attributes if says(attribute)]
    return found[0] if len(found) == 1 else None


def _says_degrees(word: str) -> Any:
    pattern = re.compile(rf"\b{word}", re.IGNORECASE)

    def says(attribute: Any) -> bool:
        unit = attribute.findtext(".//unit/standardUnit") or attribute.findtext(".//unit/customUnit") or ""
        texts = (attribute.findtext(name) or "" for name in ("attributeName", "attributeLabel", "attributeDefinition"))
        return "degree" in unit.lower() and any(map(pattern.search, texts))

    return says


def _is_moment(attribute: Any) -> bool:
    return "YYYY" in (attribute.findtext("measurementScale/dateTime/formatString") or "").upper()


_ROLES = {"longitude": _says_degrees("longitude"), "latitude": _says_degrees("latitude"), "time": _is_moment}
