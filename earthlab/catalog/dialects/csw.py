"""OGC CSW 2.0.2 (GeoNetwork; the catalogues of AERIS, ForM@Ter, OZCAR, Sextant, EASY Data): one document a record.

Records come as ISO 19139, ISO 19115-3 or Dublin Core, whichever of them the server gives; owslib reads all three. The
place is asked of the server, the period is checked here on the record's temporal extent: a record without one says
nothing of when it was observed, and is left out. A profile's ``upstream`` is a keyword that its records carry.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from owslib.catalogue.csw2 import CswRecord
from owslib.etree import etree
from owslib.fes import And, Or, PropertyIsEqualTo
from owslib.fes import BBox as BoxFilter
from owslib.iso import MD_Metadata
from owslib.iso3 import MD_Metadata as MD_Metadata3

from earthlab.catalog.dialects.documents import (
    Paging,
    PartedService,
    box_of,
    boxes_of,
    each_once,
    is_file,
    make_item,
    media_type_of,
    period_of,
)
from earthlab.catalog.query import Query
from earthlab.catalog.session import answering
from earthlab.errors import BadRequest, CatalogueUnavailable

PAGE = 50

_CSW = "http://www.opengis.net/cat/csw/2.0.2"
_OGC = "http://www.opengis.net/ogc"
_GMD = "http://www.isotc211.org/2005/gmd"
_MDB = "http://standards.iso.org/iso/19115/-3/mdb/2.0"
_GML_32, _GML_31 = b"http://www.opengis.net/gml/3.2", b"http://www.opengis.net/gml"
_SCHEMAS = (_GMD, _MDB, _CSW)
"""What records are asked for as, best first: a server that cannot give one says so by an exception."""


@dataclass(frozen=True)
class Csw(PartedService):
    """A catalogue service for the web."""

    root: str
    page: int = PAGE
    kind: ClassVar[str] = "speaks CSW"

    def documents(self, query: Query, limit: int | None) -> Iterator[dict[str, Any]]:
        """One item a record whose temporal extent is stated and meets the question."""
        size = min(limit or self.page, self.page)
        for collection, keyword in self.parts(query):
            found = (_document(record, collection) for record in self._records(query, keyword, size))
            yield from each_once((item for item in found if item and query.keeps(item)), self.url)

    def _records(self, query: Query, keyword: str, size: int) -> Iterator[Any]:
        schema, position, paging = 0, 1, Paging(self.url)
        while position:
            paging.enter((schema, position))
            results = self._ask(query, keyword, _SCHEMAS[schema], size, position)
            if results is None:
                schema += 1
                if schema == len(_SCHEMAS):
                    raise CatalogueUnavailable(f"{self.url} gives records in no form the lab reads: {_SCHEMAS}.")
                continue
            yield from results
            position = int(results.get("nextRecord") or 0) if len(results) else 0

    def _ask(self, query: Query, keyword: str, schema: str, size: int, position: int) -> Any:
        """The search results, or ``None`` where the server does not give this schema."""
        body = _request(query, keyword, schema, size, position)
        answer = self.service.post(self.root, body, "application/xml")
        with answering(self.url, self.service.timeout):
            root = etree.fromstring(answer.content, _parser())
            if _name(root) == "ExceptionReport":
                if "outputschema" in str(etree.tostring(root), "utf-8").lower():
                    return None
                said = " ".join(root.itertext()).split()
                raise BadRequest(f"{self.url} refuses the search: {' '.join(said)[:300]}")
            results = next((child for child in root if _name(child) == "SearchResults"), None)
            if results is None:
                raise ValueError(f"no SearchResults in {_name(root)}")
            return results


def _parser() -> Any:
    return etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)


def _name(element: Any) -> str:
    return str(etree.QName(element).localname) if isinstance(element.tag, str) else ""


def _request(query: Query, keyword: str, schema: str, size: int, position: int) -> bytes:
    root = etree.Element(
        f"{{{_CSW}}}GetRecords",
        {
            "service": "CSW",
            "version": "2.0.2",
            "resultType": "results",
            "outputSchema": schema,
            "outputFormat": "application/xml",
            "maxRecords": str(size),
            "startPosition": str(position),
        },
        nsmap={"csw": _CSW, "ogc": _OGC},
    )
    asked = etree.SubElement(root, f"{{{_CSW}}}Query", {"typeNames": "csw:Record"})
    etree.SubElement(asked, f"{{{_CSW}}}ElementSetName").text = "full"
    conditions = _conditions(query, keyword)
    if conditions:
        constraint = etree.SubElement(asked, f"{{{_CSW}}}Constraint", {"version": "1.1.0"})
        chosen = conditions[0] if len(conditions) == 1 else And(conditions)
        etree.SubElement(constraint, f"{{{_OGC}}}Filter").append(chosen.toXML())
    return bytes(etree.tostring(root, encoding="utf-8"))


def _conditions(query: Query, keyword: str) -> list[Any]:
    boxes = [BoxFilter(list(box.as_tuple())) for box in boxes_of(query)]
    names = [PropertyIsEqualTo("dc:identifier", name) for name in query.ids]
    keywords = [PropertyIsEqualTo("dc:subject", keyword)] if keyword else []
    return [several[0] if len(several) == 1 else Or(several) for several in (boxes, names, keywords) if several]


def _document(record: Any, collection: str) -> dict[str, Any] | None:
    match etree.QName(record).namespace:
        case space if space == _GMD:
            return _iso_document(MD_Metadata(record), collection)
        case space if str(space).startswith("http://standards.iso.org/iso/19115/-3/mdb/"):
            return _iso_document(MD_Metadata3(_with_gml_as_owslib_has_it(record)), collection)
        case _:
            return _dublin_core_document(CswRecord(record), collection)


def _with_gml_as_owslib_has_it(record: Any) -> Any:
    """ISO 19115-3 of today has its periods in GML 3.2; owslib 0.35 looks for them in GML 3.1."""
    return etree.fromstring(etree.tostring(record).replace(_GML_32, _GML_31), _parser())


def _iso_document(record: Any, collection: str) -> dict[str, Any] | None:
    known = next(iter(record.identification), None)
    period = period_of(known.temporalextent_start, known.temporalextent_end) if known else None
    if known is None or period is None or not record.identifier:
        return None
    words = [word.name for group in known.keywords for word in group.keywords if word.name]
    concepts = [word.url for group in known.keywords for word in group.keywords if word.url]
    box = known.bbox
    online = record.distribution.online if record.distribution else []
    return make_item(
        record.identifier,
        collection,
        start=period[0],
        end=period[1],
        bbox=box_of(box.minx, box.miny, box.maxx, box.maxy) if box else None,
        properties={
            "title": known.title,
            "description": known.abstract,
            "keywords": words,
            "themes": concepts,
            "constraints": [*known.uselimitation, *known.otherconstraints],
            "updated": _as_moment(record.datestamp),
        },
        assets=_assets([(link.url, link.name) for link in online]),
        links=[_link(link.url, link.name or link.description, link.protocol) for link in online if link.url],
    )


def _dublin_core_document(record: Any, collection: str) -> dict[str, Any] | None:
    first, last = _temporal(record.temporal)
    period = period_of(first, last)
    if period is None or not record.identifier:
        return None
    box = record.bbox_wgs84 or record.bbox
    links = [(uri["url"], uri["name"], uri["protocol"]) for uri in record.uris]
    links += [(reference["url"], None, reference["scheme"]) for reference in record.references]
    return make_item(
        record.identifier,
        collection,
        start=period[0],
        end=period[1],
        bbox=box_of(box.minx, box.miny, box.maxx, box.maxy) if box else None,
        properties={
            "title": record.title,
            "description": record.abstract,
            "keywords": [word for word in record.subjects if word],
            "constraints": [word for word in record.rights if word],
            "updated": _as_moment(record.modified),
        },
        assets=_assets([(url, name) for url, name, _ in links]),
        links=[_link(url, name, protocol) for url, name, protocol in links if url],
    )


def _temporal(text: str | None) -> tuple[str | None, str | None]:
    """Of ``2001-01-01/2020-12-31`` or of DCMI Period, ``start=2001-01-01; end=2020-12-31``."""
    dates = re.findall(r"\d{4}-\d{2}-\d{2}(?:T[\d:.]+Z?)?", text or "")
    return (dates[0], dates[1] if len(dates) > 1 else None) if dates else (None, None)


def _as_moment(text: str | None) -> str | None:
    period = period_of(text, text) if text and re.match(r"\d{4}-\d{2}-\d{2}", text) else None
    return period[0].isoformat().replace("+00:00", "Z") if period else None


def _assets(files: Sequence[tuple[str | None, str | None]]) -> dict[str, dict[str, Any]]:
    found = [(url, name) for url, name in files if url and is_file(url)]
    return {
        name if name and len(found) > 1 else f"data{number or ''}": {
            "href": url,
            "type": media_type_of(url),
            "roles": ["data"],
            "title": name or "",
        }
        for number, (url, name) in enumerate(found)
    }


def _link(url: str, title: str | None, protocol: str | None) -> dict[str, Any]:
    words = {"title": title, "protocol": protocol}
    return {"rel": "related", "href": url, **{key: word for key, word in words.items() if word}}
