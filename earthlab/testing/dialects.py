"""Providers that speak each dialect as the real ones do, quirks included, for `earthlab.testing.providers.provider`.

The shapes follow the services' documentation and recorded answers, as `earthlab.catalog.dialects` names them; every
value is made up. They filter as the real ones do: GEODES compares ``datetime`` with the date of ingestion, CSW knows no
period, ERDDAP answers 404 where there is nothing.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlencode
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
from scipy.io import netcdf_file

from earthlab.testing.providers import Answer, Behaviour, Request, collection, json_answer

GEODES_PAGE = 80

_NOT_FOUND: Answer = (404, "text/plain", b"not found")


def geodes_item(
    name: str, day: str, *, ingested: str = "2025-04-25T20:45:03.179Z", **properties: Any
) -> dict[str, Any]:
    """An item of GEODES: zipped, ``datetime`` of its ingestion, paths for asset keys, text for ``proj:bbox``."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0-beta.2",
        "stac_extensions": [],
        "id": f"URN:FEATURE:DATA:gdh:{name}:V1",
        "collection": "THEIA_REFLECTANCE_SENTINEL2_L2A",
        "bbox": [0.55, 42.4, 1.9, 43.35],
        "geometry": _square(0.55, 42.4, 1.9, 43.35),
        "centroid": {"lon": 1.2, "lat": 42.9},
        "properties": {
            "dataset": "THEIA_REFLECTANCE_SENTINEL2_L2A",
            "identifier": name,
            "datetime": ingested,
            "start_datetime": f"{day}T10:59:07.758Z",
            "end_datetime": f"{day}T10:59:07.758Z",
            "grid:code": "T31TCH",
            "eo:cloud_cover": 12.0,
            "instrument": "MSI",
            "platform": "SENTINEL2B",
            "sci:doi": "[]",
            "proj:bbox": "0.55,43.35,1.9,42.4",
            **properties,
        },
        "links": [{"rel": "license", "href": "https://spdx.org/licenses/Apache-2.0.html"}],
        "assets": {
            f"2020/01/06/{name}_quicklook.jpg": {
                "href": f"https://geodes.example/api/quicklook/{name}?scope=gdh",
                "type": "image/jpeg",
                "roles": ["overview"],
            },
            f"{name}_V4-0.zip": {
                "href": f"https://geodes.example/api/download/{name}/files/2",
                "type": "application/zip",
                "roles": ["data"],
                "description": f"File size: 1764 bytes\n\nIs online: false\n\nChecksum MD5: {'0f' * 16}",
            },
            "MTD_ALL.xml": {
                "href": f"https://geodes.example/api/download/{name}/files/3",
                "type": "application/xml",
                "roles": ["data"],
            },
        },
    }


def regards_item(name: str, day: str, *, ingested: str = "2025-04-01T00:00:00.012345Z") -> dict[str, Any]:
    """An item of hydroweb.next: ``datetime`` of its ingestion, a placeholder licence, NetCDF labelled as XML."""
    where = "https://hydroweb.example/api/v1/rs-catalog/downloads"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "SWOT_L2_HR_Raster_100m",
        "bbox": [-1.9, 43.2, -0.4, 44.4],
        "geometry": _square(-1.9, 43.2, -0.4, 44.4),
        "properties": {
            "datetime": ingested,
            "start_datetime": f"{day}T11:21:39Z",
            "end_datetime": f"{day}T11:21:59Z",
            "license": "Apache-2.0",
            "platform": "SWOT",
            "instruments": ["KaRIn"],
        },
        "links": [],
        "assets": {
            f"{name}.nc": {"href": f"{where}/{name}.nc", "type": "application/xml", "roles": ["data"]},
            f"{name}.iso.xml": {"href": f"{where}/{name}.iso.xml", "type": "application/xml", "roles": ["data"]},
        },
    }


def geodes(items: Sequence[Mapping[str, Any]]) -> Behaviour:
    """GEODES: POST alone, pages by number of 80 at most, ``sortBy``, the operators it knows and no others."""

    def behave(request: Request) -> Answer:
        if not request.body:
            return _NOT_FOUND
        if request.path == "/collections":
            names = sorted({str(item["collection"]) for item in items})
            return json_answer({"collections": [{**collection(n), "license": "Apache-2.0"} for n in names]})
        if request.asked.get("limit", 0) > GEODES_PAGE or "sortby" in request.asked:
            return json_answer({"description": "limit above 80, or sortby"}, 400)
        return _numbered(items, request.asked, "sortBy")

    return behave


def regards(items: Sequence[Mapping[str, Any]], key: str) -> Behaviour:
    """A REGARDS catalogue: a key also for searches, and no client that does not say its name."""

    def behave(request: Request) -> Answer:
        if request.headers.get("X-API-Key") != key:
            return json_answer({"description": "key"}, 401)
        if not request.headers.get("User-Agent", "").startswith("EarthLab/"):
            return json_answer({"description": "client"}, 403)
        if request.path == "/collections":
            names = sorted({str(item["collection"]) for item in items})
            return json_answer({"collections": [{**collection(n), "license": "Apache-2.0"} for n in names]})
        return _numbered(items, request.asked, "sortby")

    return behave


def static_tree(products: Mapping[str, Sequence[Mapping[str, Any]]]) -> Behaviour:
    """A static catalogue as Copernicus Marine's: ``catalog.stac.json``, ``<product>/product.stac.json``, items."""
    documents = {"/metadata/catalog.stac.json": _static_root(products)}
    for product, items in products.items():
        documents[f"/metadata/{product}/product.stac.json"] = _static_product(product, items)
        documents |= {f"/metadata/{product}/{item['id']}/dataset.stac.json": dict(item) for item in items}
    return lambda request: json_answer(documents[request.path]) if request.path in documents else _NOT_FOUND


def marine_item(name: str, first: str, last: str) -> dict[str, Any]:
    """A dataset of Copernicus Marine: a folder of NetCDF, and Zarr chunked by time and by place."""
    base = "https://s3.example/mdl"
    zarr = {"type": "application/vnd+zarr", "roles": ["data"], "xarray:open_kwargs": {"consolidated": True}}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "bbox": [-180, -80, 180, 90],
        "geometry": _square(-180, -80, 180, 90),
        "properties": {
            "title": f"Daily means {name}",
            "datetime": None,
            "start_datetime": f"{first}T00:00:00Z",
            "end_datetime": f"{last}T00:00:00Z",
        },
        "links": [{"rel": "collection", "href": "../product.stac.json"}],
        "assets": {
            "native": {"href": f"{base}-native/{name}", "type": "application/x-netcdf", "roles": ["data"]},
            "timeChunked": {"href": f"{base}-arco-time/{name}/timeChunked.zarr", **zarr},
            "geoChunked": {"href": f"{base}-arco-geo/{name}/geoChunked.zarr", **zarr},
        },
    }


def csw(records: Sequence[Mapping[str, Any]], *, schemas: Sequence[str] = ("gmd", "mdb", "csw")) -> Behaviour:
    """A catalogue service: places and keywords are filtered, periods are not; other schemas are refused by exception.

    A record has ``id``, ``title``, ``bbox``, ``keywords``, ``links`` (address, protocol, name) and may have ``start``
    and ``end``.
    """

    def behave(request: Request) -> Answer:
        text = request.body.decode()
        known = {"gmd": "2005/gmd", "mdb": "mdb/2.0", "csw": "cat/csw/2.0.2"}
        asked = _found(r'outputSchema="([^"]*)"', text)
        schema = next((name for name in schemas if asked.endswith(known[name])), None)
        if schema is None:
            return 200, "application/xml", _EXCEPTION.encode()
        return 200, "application/xml", _search_results(records, text, schema).encode()

    return behave


def erddap(datasets: Sequence[Mapping[str, Any]], rows: Mapping[str, pd.DataFrame] | None = None) -> Behaviour:
    """An ERDDAP under ``/erddap``: ``allDatasets``, ``info`` and tables; 404 with its words where there is nothing.

    A dataset has ``datasetID``, ``variables`` (names, or a mapping of names to attributes) and the columns of
    ``allDatasets``; ``rows`` holds the table of each. Tables come as ``.csv``, ``.csvp`` and ``.nc``, whole whatever
    range is asked; variables that a dataset does not have are refused.
    """

    def behave(request: Request) -> Answer:
        if request.path == "/erddap/tabledap/allDatasets.json":
            return _all_datasets(datasets, unquote(request.query))
        for dataset in datasets:
            name = dataset["datasetID"]
            if request.path == f"/erddap/info/{name}/index.json":
                return _erddap_table(("Row Type", "Variable Name"), [("variable", v) for v in dataset["variables"]])
            stem, _, suffix = request.path.rpartition(".")
            if stem == f"/erddap/tabledap/{name}" and rows and name in rows:
                return _erddap_rows(rows[name], _attributes(dataset), request, suffix)
        return _NOTHING_MATCHES

    return behave


def gbif(
    datasets: Sequence[Mapping[str, Any]],
    counts: Mapping[str, int],
    *,
    occurrences: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    archives: Mapping[str, bytes] | None = None,
    page: int = 300,
) -> Behaviour:
    """The GBIF API under ``/v1``: a facet of datasets, the registry's entry of each, and its occurrences.

    ``counts`` are the occurrences of each dataset as a whole; ``occurrences`` those that a search finds, in pages;
    ``archives`` what ``/archive/<key>`` serves, as publishers do: without ranges and without suffix.
    """
    held = occurrences or {}

    def behave(request: Request) -> Answer:
        if request.path == "/v1/occurrence/search" and "facet" in request.asked:
            first, size = int(request.asked["facetOffset"]), int(request.asked["facetLimit"])
            chosen = request.words("datasetKey") or [str(d["key"]) for d in datasets]
            found = [{"name": k, "count": len(held[k]) if k in held else counts[k]} for k in chosen][
                first : first + size
            ]
            return json_answer({"count": 7, "results": [], "facets": [{"field": "DATASET_KEY", "counts": found}]})
        if request.path == "/v1/occurrence/search":
            return _occurrences(held.get(str(request.asked["datasetKey"]), ()), request, page)
        if request.path == "/v1/occurrence/count":
            return json_answer(counts[str(request.asked["datasetKey"])])
        archive = (archives or {}).get(request.path.removeprefix("/archive/"))
        if archive is not None:
            return 200, "application/zip", archive
        name = request.path.removeprefix("/v1/dataset/")
        return next((json_answer(_rooted(d, request)) for d in datasets if d["key"] == name), _NOT_FOUND)

    return behave


def dataone(
    records: Sequence[Mapping[str, Any]], eml: Mapping[str, str], files: Mapping[str, bytes] | None = None
) -> Behaviour:
    """A Metacat under ``/v2``: Solr records by page, the EML of each package, and ``files`` by their ids.

    ``{root}`` in an EML is the server's own address.
    """

    def behave(request: Request) -> Answer:
        if request.path == "/v2/query/solr/":
            start, size = int(request.asked["start"]), int(request.asked["rows"])
            page = list(records[start : start + size])
            return json_answer({"response": {"numFound": len(records), "start": start, "docs": page}})
        name = unquote(request.path.removeprefix("/v2/object/"))
        if files and name in files:
            return 200, "application/octet-stream", files[name]
        return (200, "text/xml", eml[name].replace("{root}", request.root).encode()) if name in eml else _NOT_FOUND

    return behave


def sensorthings(
    streams: Sequence[Mapping[str, Any]],
    *,
    observations: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    page: int = 2,
) -> Behaviour:
    """A SensorThings service under ``/v1.1`` that pages by ``@iot.nextLink`` as it likes.

    ``observations`` are those of each datastream by its key as addresses have it: ``1``, ``'a'``. Of their conditions
    those on ``phenomenonTime`` count; ``FeatureOfInterest`` comes where it is expanded.
    """

    def behave(request: Request) -> Answer:
        if request.path == "/v1.1/Datastreams":
            found = [dict(stream) for stream in streams if _is_asked(stream, str(request.asked.get("$filter", "")))]
            return _linked(found, request, page)
        key = _found(r"^/v1\.1/Datastreams\((.*)\)/Observations$", unquote(request.path))
        if observations is None or key not in observations:
            return _NOT_FOUND
        made = [dict(each) for each in observations[key] if _was_made(each, str(request.asked.get("$filter", "")))]
        if request.asked.get("$expand") != "FeatureOfInterest":
            made = [{name: value for name, value in each.items() if name != "FeatureOfInterest"} for each in made]
        return _linked(made, request, page)

    return behave


def darwin_core_archive(
    rows: Sequence[Sequence[str]],
    terms: Sequence[str],
    *,
    defaults: Mapping[str, str] | None = None,
    core: str = "Occurrence",
) -> bytes:
    """A Darwin Core archive: tabs, nothing enclosed, a header line other than the terms, ``defaults`` in the meta."""
    space = "http://rs.tdwg.org/dwc/terms/"
    fields = "".join(f'<field index="{at}" term="{space}{term}"/>' for at, term in enumerate(terms))
    fields += "".join(f'<field term="{space}{term}" default="{value}"/>' for term, value in (defaults or {}).items())
    meta = (
        f'<archive xmlns="http://rs.tdwg.org/dwc/text/"><core encoding="UTF-8" fieldsTerminatedBy="\\t" '
        f'linesTerminatedBy="\\n" fieldsEnclosedBy="" ignoreHeaderLines="1" rowType="{space}{core}">'
        f'<files><location>data.txt</location></files><id index="0"/>{fields}</core></archive>'
    )
    lines = ["\t".join(f"c{at}" for at, _ in enumerate(terms)), *("\t".join(row) for row in rows)]
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.xml", meta)
        archive.writestr("data.txt", "\n".join(lines) + "\n")
        archive.writestr("citations.txt", "Essai.\n")
    return held.getvalue()


def _square(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda stated, asked: stated == asked,
    "neq": lambda stated, asked: stated != asked,
    "in": lambda stated, asked: stated in asked,
    "contains": lambda stated, asked: asked in stated,
    "lte": lambda stated, asked: stated <= asked,
    "gte": lambda stated, asked: stated >= asked,
}


def _numbered(items: Sequence[Mapping[str, Any]], asked: Mapping[str, Any], sorting: str) -> Answer:
    """A page by its number, counted from 1, of the items that meet the words of ``query``, in order of time."""
    for words in asked.get("query", {}).values():
        for operator in words:
            if operator not in _COMPARE:
                return json_answer({"description": f"operator {operator}"}, 400)
    found = [item for item in items if _meets(item, asked)]
    if sorting in asked:
        found.sort(key=lambda item: str(item["properties"]["start_datetime"]))
    size, number = int(asked["limit"]), int(asked["page"])
    page = found[(number - 1) * size : number * size]
    context = {"returned": len(page), "limit": size, "matched": len(found)}
    return json_answer({"type": "FeatureCollection", "features": page, "links": [], "context": context})


def _meets(item: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    said = item["properties"]
    first, _, last = str(asked.get("datetime", "../..")).partition("/")
    ingested = str(said["datetime"])
    return (
        item["collection"] in (asked.get("collections") or [item["collection"]])
        and item["id"] in (asked.get("ids") or [item["id"]])
        and (first == ".." or first <= ingested)
        and (last == ".." or ingested <= last)
        and _overlap(item["bbox"], asked.get("bbox") or (-180, -90, 180, 90))
        and all(
            name in said and _COMPARE[operator](said[name], value)
            for name, words in asked.get("query", {}).items()
            for operator, value in words.items()
        )
    )


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return bool(one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3])


def _static_root(products: Mapping[str, Any]) -> dict[str, Any]:
    links = [{"rel": "child", "href": f"{name}/product.stac.json", "title": name} for name in products]
    own = {"rel": "root", "href": "catalog.stac.json"}
    return {"type": "Catalog", "stac_version": "1.0.0", "id": "root", "description": "x", "links": [own, *links]}


def _static_product(product: str, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    links = [{"rel": "item", "href": f"{item['id']}/dataset.stac.json"} for item in items]
    return {**collection(product), "license": "proprietary", "links": links}


_EXCEPTION = (
    '<?xml version="1.0"?><ows:ExceptionReport xmlns:ows="http://www.opengis.net/ows" version="1.2.0">'
    '<ows:Exception exceptionCode="InvalidParameterValue" locator="outputSchema">'
    "<ows:ExceptionText>unknown</ows:ExceptionText></ows:Exception></ows:ExceptionReport>"
)


def _found(pattern: str, text: str, default: str = "") -> str:
    match = re.search(pattern, text)
    return match[1] if match else default


def _search_results(records: Sequence[Mapping[str, Any]], text: str, schema: str) -> str:
    first, size = (int(_found(rf'{word}="(\d+)"', text)) for word in ("startPosition", "maxRecords"))
    found = [record for record in records if _csw_meets(record, text)]
    page = found[first - 1 : first - 1 + size]
    following = first + size if first - 1 + size < len(found) else 0
    body = "".join(_WRITERS[schema](record) for record in page)
    return (
        '<?xml version="1.0"?><csw:GetRecordsResponse xmlns:csw="http://www.opengis.net/cat/csw/2.0.2">'
        f'<csw:SearchResults numberOfRecordsMatched="{len(found)}" numberOfRecordsReturned="{len(page)}" '
        f'nextRecord="{following}" elementSet="full">{body}</csw:SearchResults></csw:GetRecordsResponse>'
    )


def _csw_meets(record: Mapping[str, Any], text: str) -> bool:
    corners = re.findall(r"<gml:(?:lower|upper)Corner>([-\d. ]+)<", text)
    boxes = [tuple(map(float, f"{a} {b}".split())) for a, b in zip(corners[::2], corners[1::2], strict=True)]
    literals = re.findall(r"<ogc:PropertyName>(dc:\w+)</ogc:PropertyName><ogc:Literal>([^<]*)<", text)
    names = [value for name, value in literals if name == "dc:identifier"]
    words = [value for name, value in literals if name == "dc:subject"]
    return (
        (not boxes or any(_overlap(record["bbox"], box) for box in boxes))
        and (not names or record["id"] in names)
        and all(word in record["keywords"] for word in words)
    )


def _gmd(record: Mapping[str, Any]) -> str:
    box = _iso_box(record, "gmd")
    keywords = "".join(f"<gmd:keyword>{_gco(word)}</gmd:keyword>" for word in record["keywords"])
    period = _gml_period(record, "gmd")
    online = "".join(
        f"<gmd:onLine><gmd:CI_OnlineResource><gmd:linkage><gmd:URL>{escape(url)}</gmd:URL></gmd:linkage>"
        f"<gmd:protocol>{_gco(protocol)}</gmd:protocol><gmd:name>{_gco(name)}</gmd:name></gmd:CI_OnlineResource></gmd:onLine>"
        for url, protocol, name in record["links"]
    )
    return (
        '<gmd:MD_Metadata xmlns:gmd="http://www.isotc211.org/2005/gmd" xmlns:gco="http://www.isotc211.org/2005/gco" '
        f'xmlns:gml="http://www.opengis.net/gml"><gmd:fileIdentifier>{_gco(record["id"])}</gmd:fileIdentifier>'
        "<gmd:dateStamp><gco:DateTime>2026-03-01T08:00:00</gco:DateTime></gmd:dateStamp>"
        "<gmd:identificationInfo><gmd:MD_DataIdentification><gmd:citation><gmd:CI_Citation>"
        f"<gmd:title>{_gco(record['title'])}</gmd:title></gmd:CI_Citation></gmd:citation>"
        f"<gmd:descriptiveKeywords><gmd:MD_Keywords>{keywords}</gmd:MD_Keywords></gmd:descriptiveKeywords>"
        "<gmd:extent><gmd:EX_Extent><gmd:geographicElement><gmd:EX_GeographicBoundingBox>"
        f"{box}</gmd:EX_GeographicBoundingBox></gmd:geographicElement>{period}</gmd:EX_Extent></gmd:extent>"
        "</gmd:MD_DataIdentification></gmd:identificationInfo><gmd:distributionInfo><gmd:MD_Distribution>"
        f"<gmd:transferOptions><gmd:MD_DigitalTransferOptions>{online}</gmd:MD_DigitalTransferOptions>"
        "</gmd:transferOptions></gmd:MD_Distribution></gmd:distributionInfo></gmd:MD_Metadata>"
    )


def _mdb(record: Mapping[str, Any]) -> str:
    box = _iso_box(record, "gex")
    base = "http://standards.iso.org/iso/19115/-3"
    spaces = {
        "mdb": "mdb/2.0", "mcc": "mcc/1.0", "mri": "mri/1.0", "cit": "cit/2.0", "gex": "gex/1.0", "gco": "gco/1.0",
    }  # fmt: skip
    declared = " ".join(f'xmlns:{prefix}="{base}/{path}"' for prefix, path in spaces.items())
    return (
        f'<mdb:MD_Metadata {declared} xmlns:gml="http://www.opengis.net/gml/3.2">'
        f"<mdb:metadataIdentifier><mcc:MD_Identifier><mcc:code>{_gco(record['id'])}</mcc:code></mcc:MD_Identifier>"
        "</mdb:metadataIdentifier><mdb:identificationInfo><mri:MD_DataIdentification><mri:citation><cit:CI_Citation>"
        f"<cit:title>{_gco(record['title'])}</cit:title></cit:CI_Citation></mri:citation>"
        f"<mri:extent><gex:EX_Extent><gex:geographicElement><gex:EX_GeographicBoundingBox>{box}"
        f"</gex:EX_GeographicBoundingBox></gex:geographicElement>{_gml_period(record, 'gex')}"
        "</gex:EX_Extent></mri:extent></mri:MD_DataIdentification></mdb:identificationInfo></mdb:MD_Metadata>"
    )


def _dublin_core(record: Mapping[str, Any]) -> str:
    west, south, east, north = record["bbox"]
    subjects = "".join(f"<dc:subject>{escape(word)}</dc:subject>" for word in record["keywords"])
    uris = "".join(f'<dc:URI protocol="{p}" name="{escape(n)}">{escape(u)}</dc:URI>' for u, p, n in record["links"])
    temporal = f"<dct:temporal>{record['start']}/{record.get('end', '')}</dct:temporal>" if record.get("start") else ""
    return (
        '<csw:Record xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dct="http://purl.org/dc/terms/" '
        f'xmlns:ows="http://www.opengis.net/ows"><dc:identifier>{record["id"]}</dc:identifier>'
        f"<dc:title>{escape(record['title'])}</dc:title>{subjects}{temporal}{uris}"
        f"<ows:WGS84BoundingBox><ows:LowerCorner>{west} {south}</ows:LowerCorner>"
        f"<ows:UpperCorner>{east} {north}</ows:UpperCorner></ows:WGS84BoundingBox></csw:Record>"
    )


def _iso_box(record: Mapping[str, Any], prefix: str) -> str:
    names = ("westBoundLongitude", "southBoundLatitude", "eastBoundLongitude", "northBoundLatitude")
    sides = zip(names, record["bbox"], strict=True)
    return "".join(f"<{prefix}:{name}><gco:Decimal>{v}</gco:Decimal></{prefix}:{name}>" for name, v in sides)


def _gml_period(record: Mapping[str, Any], prefix: str) -> str:
    if not record.get("start"):
        return ""
    return (
        f"<{prefix}:temporalElement><{prefix}:EX_TemporalExtent><{prefix}:extent><gml:TimePeriod>"
        f"<gml:beginPosition>{record['start']}</gml:beginPosition>"
        f"<gml:endPosition>{record.get('end', '')}</gml:endPosition>"
        f"</gml:TimePeriod></{prefix}:extent></{prefix}:EX_TemporalExtent></{prefix}:temporalElement>"
    )


def _gco(text: str) -> str:
    return f"<gco:CharacterString>{escape(text)}</gco:CharacterString>"


_WRITERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {"gmd": _gmd, "mdb": _mdb, "csw": _dublin_core}

_NOTHING_MATCHES: Answer = (
    404,
    "text/plain",
    b'Error {\n    code=404;\n    message="Not Found: Your query produced no matching results. (nRows = 0)";\n}\n',
)


def _all_datasets(datasets: Sequence[Mapping[str, Any]], query: str) -> Answer:
    columns, *conditions = query.split("&")
    names = columns.split(",")
    found = [d for d in datasets if all(_erddap_meets(d, condition) for condition in conditions)]
    return _erddap_table(names, [[d.get(name) for name in names] for d in found]) if found else _NOTHING_MATCHES


def _erddap_meets(dataset: Mapping[str, Any], condition: str) -> bool:
    name, operator, value = re.split(r"(>=|<=|=)", condition, maxsplit=1)
    stated = {"dataStructure": "table", **dataset}[name]
    if operator == "=":
        return bool(stated == json.loads(value))
    asked = value if name.endswith("Time") else float(value)
    return bool(stated >= asked if operator == ">=" else stated <= asked)


def _erddap_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Answer:
    return json_answer({"table": {"columnNames": list(names), "rows": [list(row) for row in rows]}})


def _attributes(dataset: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    known = dataset["variables"]
    return dict(known) if isinstance(known, Mapping) else {name: {} for name in known}


def _erddap_rows(
    table: pd.DataFrame, attributes: Mapping[str, Mapping[str, Any]], request: Request, suffix: str
) -> Answer:
    names, *conditions = unquote(request.query).split("&")
    unknown = [name for name in names.split(",") if name not in attributes]
    if unknown:
        return (
            400,
            "text/plain",
            f'Error {{\n    code=400;\n    message="Unrecognized variable="{unknown[0]}"."\n}}'.encode(),
        )
    keep = np.ones(len(table), bool)
    for condition in conditions:
        name, operator, value = re.split(r"(>=|<=|=)", condition, maxsplit=1)
        asked = pd.Timestamp(value) if name == "time" else float(value)
        keep &= (table[name] >= asked) if operator == ">=" else (table[name] <= asked)
    found = table.loc[keep, names.split(",")]
    if found.empty:
        return _NOTHING_MATCHES
    units = {name: attributes[name].get("units", "") for name in map(str, found)}
    if suffix == "nc":
        return 200, "application/x-netcdf", _erddap_netcdf(found, attributes)
    return 200, "text/csv", _erddap_csv(found, units, in_names=suffix == "csvp").encode()


def _erddap_csv(table: pd.DataFrame, units: Mapping[str, str], *, in_names: bool) -> str:
    shown = {**units, "time": "UTC"}
    names = list(map(str, table))
    header = [f"{name} ({shown[name]})" if in_names and shown[name] else name for name in names]
    rows = table.assign(time=table["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    text = rows.to_csv(index=False, header=False, na_rep="NaN")
    return "\n".join([",".join(header), *([] if in_names else [",".join(shown[name] for name in names)]), text])


def _erddap_netcdf(table: pd.DataFrame, attributes: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Classic, one axis ``row``; texts as characters, those of one letter without an axis of their own."""
    held = io.BytesIO()
    file = netcdf_file(held, "w")
    file.createDimension("row", len(table))
    file.featureType, file.license = "Point", "Essai"
    for name, column in table.items():
        values = column.dt.as_unit("s").astype("int64").astype("f8") if name == "time" else column
        _write_variable(file, str(name), values.to_numpy(), attributes[str(name)])
    file.flush()
    return held.getvalue()


def _write_variable(file: Any, name: str, values: Any, attributes: Mapping[str, Any]) -> None:
    axes: tuple[str, ...] = ("row",)
    if values.dtype == "int64":  # which classic NetCDF does not have
        values = values.astype("f8")
    if values.dtype.kind == "O":
        letters = np.array([str(text).encode("latin-1") for text in values])
        width = letters.dtype.itemsize
        if width > 1:
            file.createDimension(f"{name}_strlen", width)
            axes = ("row", f"{name}_strlen")
        values = letters.view("S1").reshape(len(letters), width) if width > 1 else letters
    variable = file.createVariable(name, "c" if values.dtype.kind == "S" else values.dtype, axes)
    variable[:] = values
    for word, value in attributes.items():
        setattr(variable, word, value)


def _rooted(document: Mapping[str, Any], request: Request) -> Any:
    return json.loads(json.dumps(document).replace("{root}", request.root))


def _occurrences(rows: Sequence[Mapping[str, Any]], request: Request, page: int) -> Answer:
    first, size = int(request.asked.get("offset", 0)), min(int(request.asked["limit"]), page)
    answer = {"offset": first, "limit": size, "endOfRecords": first + size >= len(rows), "count": len(rows)}
    return json_answer({**answer, "results": [dict(row) for row in rows[first : first + size]]})


def _linked(found: Sequence[Mapping[str, Any]], request: Request, page: int) -> Answer:
    skip = int(request.asked.get("$skip", 0))
    answer: dict[str, Any] = {"value": list(found[skip : skip + page])}
    if skip + page < len(found):
        kept = urlencode({name: value for name, value in request.asked.items() if name != "$skip"})
        answer["@iot.nextLink"] = f"{request.root}{request.path[1:]}?{kept}{'&' if kept else ''}$skip={skip + page}"
    return json_answer(answer)


def _was_made(observation: Mapping[str, Any], conditions: str) -> bool:
    at = str(observation["phenomenonTime"]).partition("/")[0]
    first, last = (_found(rf"phenomenonTime {word} (\S+)", conditions, at) for word in ("ge", "le"))
    return first <= at <= last


def _is_asked(stream: Mapping[str, Any], condition: str) -> bool:
    start = _found(r"startswith\(Thing/name,'([^']*)'\)", condition)
    return str(stream["Thing"]["name"]).startswith(start)
