"""Services of records, tables and sensors: from a question to normalised items, dialect by dialect."""

import pytest

from earthlab.catalog import collections, make_query, run_query, search
from earthlab.catalog.dialects import open_catalogue
from earthlab.catalog.tabular import TABLEDAP, profiled
from earthlab.errors import AskLess, BadRequest, CatalogueUnavailable, NothingFound
from earthlab.testing.dialects import csw, dataone, erddap, gbif, marine_item, sensorthings, static_tree
from earthlab.testing.providers import fixed, provider, tagged

ALPS = (5.0, 44.0, 8.0, 46.0)


def record(name, start="2015-01-01", end="2016-12-31", bbox=ALPS, keywords=("neige",), links=()):
    return {
        "id": name,
        "title": f"Série de {name} & Cie",
        "bbox": bbox,
        "keywords": keywords,
        "links": links,
        "start": start,
        "end": end,
    }


def documents(name, **words):
    return list(open_catalogue(name).documents(make_query(**words), None))


@pytest.mark.parametrize("schemas", [("gmd", "mdb", "csw"), ("mdb",), ("csw",)])
def test_csw_records_of_every_schema_become_dated_items(describe, schemas):
    records = [
        record("a"),
        record("b", start="2019-05-01", end=""),
        record("undated", start=""),
        record("far", bbox=(50, 0, 51, 1)),
    ]
    with provider(csw(records, schemas=schemas)) as running:
        describe("csw", f"{running.url}csw", words="page = 2", montagne="")
        found = search("montagne", bbox=(6, 45, 7, 46), catalog="essai")
        assert [i.id for i in search("montagne", time="2019-06", catalog="essai")] == ["b"]
    assert [(i.id, f"{i.start:%Y-%m-%d}") for i in found] == [("a", "2015-01-01"), ("b", "2019-05-01")]
    assert f"{found[0].end:%Y-%m-%d %H:%M:%S}" == "2016-12-31 23:59:59"
    assert found[1].end > found[1].start
    assert found[0].bbox.as_tuple() == ALPS
    assert (found[0].title, found[0].collection) == ("Série de a & Cie", "montagne")


def test_a_csw_record_keeps_its_links_and_its_files(describe):
    links = [
        ("https://data.example/neige.csv", "WWW:DOWNLOAD-1.0-http--download", "neige.csv"),
        ("https://portal.example/a?x=1&y=2", "WWW:LINK-1.0-http--link", "Page"),
    ]
    with provider(csw([record("a", links=links)])) as running:
        describe("csw", f"{running.url}csw")
        (document,) = documents("essai")
    assert [(link["href"], link["protocol"]) for link in document["links"]] == [(url, how) for url, how, _ in links]
    assert document["assets"]["data"]["href"] == "https://data.example/neige.csv"
    assert document["assets"]["data"]["type"] == "text/csv"


def test_a_csw_collection_is_a_keyword(describe):
    records = [record("a"), record("b", keywords=("eau", "sol"))]
    with provider(csw(records)) as running:
        describe("csw", f"{running.url}csw", eau="eau", neige="neige")
        assert [(i.collection, i.id) for i in search("eau", catalog="essai")] == [("eau", "b")]
        assert set(collections(catalog="essai").index) == {"eau", "neige"}
        assert [i.id for i in search("eau", ids="b", catalog="essai")] == ["b"]


def test_a_csw_record_cannot_read_files_of_this_machine(describe, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    text = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]><x>&e;</x>'
    with provider(fixed((200, "application/xml", text.encode()))) as running:
        describe("csw", f"{running.url}csw")
        with pytest.raises(CatalogueUnavailable, match="nonsense") as caught:
            documents("essai")
    assert "SECRET" not in str(caught.value)


def test_a_static_catalogue_is_walked_and_not_read_twice(describe):
    products = {
        "GLO_PHY": [
            marine_item("glo_2020", "2020-11-01", "2024-05-02"),
            marine_item("glo_1993", "1993-01-01", "2010-01-01"),
        ],
        "MED_BGC": [marine_item("med", "2020-11-01", "2024-05-02")],
    }
    with provider(tagged(static_tree(products))) as running:
        describe("static", f"{running.url}metadata/catalog.stac.json", glo="GLO_PHY")
        found = search("glo", time="2021", catalog="essai")
        assert [(i.id, i.collection, f"{i.start:%Y-%m-%d}") for i in found] == [("glo_2020", "glo", "2020-11-01")]
        assert {b.asset: b.kind for b in found[0].bands} == {
            "native": "netcdf",
            "timeChunked": "zarr",
            "geoChunked": "zarr",
        }
        assert not any("MED_BGC" in r.path for r in running.requests)
        asked = len(running.requests)
        assert search("glo", time="2021", catalog="essai").token == found.token
        again = running.requests[asked:]
        assert again
        assert all("If-None-Match" in r.headers for r in again)
        assert set(collections(catalog="essai").index) == {"glo", "MED_BGC"}
        with pytest.raises(BadRequest, match="has no collection 'GLO'"):
            search("GLO", catalog="essai")


def test_a_walk_that_would_never_end_is_refused(describe, monkeypatch):
    monkeypatch.setattr("earthlab.catalog.dialects.static.MOST_DOCUMENTS", 2)
    items = [marine_item(f"i{n}", "2020-01-01", "2021-01-01") for n in range(3)]
    with provider(static_tree({"P": items})) as running:
        describe("static", f"{running.url}metadata/catalog.stac.json")
        with pytest.raises(AskLess, match="Name collections"):
            search(catalog="essai")


ARGO = {
    "datasetID": "ArgoFloats",
    "title": "Argo float vertical profiles",
    "summary": "Profiles",
    "institution": "Argo",
    "infoUrl": "https://argo.example",
    "minLongitude": -180.0,
    "maxLongitude": 180.0,
    "minLatitude": -80.0,
    "maxLatitude": 80.0,
    "minTime": "1997-07-28T20:26:20Z",
    "maxTime": "2026-10-01T00:00:00Z",
    "variables": ["platform_number", "time", "latitude", "longitude", "pres", "temp"],
}


def test_an_erddap_dataset_has_the_rows_that_are_asked_for(describe):
    other = {**ARGO, "datasetID": "local", "minLongitude": 60.0, "maxLongitude": 61.0}
    with provider(erddap([ARGO, other])) as running:
        describe("erddap", f"{running.url}erddap", argo="ArgoFloats")
        found = search("argo", bbox=(3, 41, 9, 44), time="2020-01", catalog="essai")
        assert [i.id for i in search(catalog="essai", bbox=(3, 41, 9, 44))] == ["ArgoFloats"]
        with pytest.raises(NothingFound):
            search("argo", time="1990", catalog="essai")
    (item,) = found
    assert (f"{item.start:%Y-%m-%d}", f"{item.end:%Y-%m-%d}") == ("1997-07-28", "2026-10-01")
    (band,) = item.bands
    assert (band.kind, band.media_type) == ("table", profiled("application/x-netcdf", TABLEDAP))
    assert band.href == (
        f"{running.url}erddap/tabledap/ArgoFloats.nc?platform_number,time,latitude,longitude,pres,temp"
        "&longitude%3E=3.0&longitude%3C=9.0&latitude%3E=41.0&latitude%3C=44.0"
        "&time%3E=2020-01-01T00%3A00%3A00Z&time%3C=2020-01-31T23%3A59%3A59Z"
    )


def test_an_erddap_dataset_as_a_whole_is_a_link_and_not_a_table(describe):
    with provider(erddap([ARGO])) as running:
        describe("erddap", f"{running.url}erddap")
        (document,) = documents("essai")
    assert document["assets"] == {}
    assert document["links"][0]["href"].endswith("/tabledap/ArgoFloats.html")


def gbif_dataset(key, **changes):
    return {
        "key": key,
        "title": "Flore des Alpes",
        "doi": "10.15468/essai",
        "license": "http://creativecommons.org/licenses/by-nc/4.0/legalcode",
        "citation": {"text": "Flore (2024)."},
        "endpoints": [
            {"type": "EML", "url": "https://ipt.example/eml"},
            {"type": "DWC_ARCHIVE", "url": "https://ipt.example/archive.do?r=x"},
        ],
        "geographicCoverages": [
            {"boundingBox": {"minLatitude": 44, "maxLatitude": 46, "minLongitude": 5, "maxLongitude": 8}}
        ],
        "temporalCoverages": [{"start": "1990-05-01T00:00:00.000+00:00", "end": "2020-01-01T00:00:00.000+00:00"}],
        **changes,
    }


def test_gbif_gives_the_datasets_with_occurrences_and_their_darwin_core_archives(describe, monkeypatch):
    datasets = [gbif_dataset("flore"), gbif_dataset("grande"), gbif_dataset("sans-date", temporalCoverages=[])]
    monkeypatch.setattr("earthlab.catalog.dialects.gbif.MOST_PAGED", 8)
    counts = {"flore": 900, "grande": 2_000_000, "sans-date": 3}
    with provider(gbif(datasets, counts)) as running:
        describe("gbif", f"{running.url}v1", words="page = 2", flore="taxonKey=6&country=FR")
        found = {i.id: i for i in search("flore", bbox=(6, 45, 7, 46), time="2018", catalog="essai")}
        with pytest.raises(NothingFound):
            search("flore", bbox=(20, 45, 21, 46), time="2018", catalog="essai")
    assert set(found) == {"flore", "grande", "sans-date"}
    assert [(b.kind, b.href) for b in found["flore"].bands] == [("table", "https://ipt.example/archive.do?r=x")]
    assert found["grande"].bands == ()
    assert [b.kind for b in found["sans-date"].bands] == ["table"]
    assert "/v1/occurrence/search?datasetKey=sans-date&taxonKey=6&" in found["sans-date"].bands[0].href
    assert f"{found['flore'].start:%Y} {found['sans-date'].start:%Y}" == "1990 2018"
    asked = next(r for r in running.requests if r.path == "/v1/occurrence/search")
    assert (asked.words("taxonKey"), asked.words("country")) == (["6"], ["FR"])
    assert asked.words("eventDate") == ["2018-01-01,2018-12-31"]
    assert asked.words("geometry") == ["POLYGON ((7 45, 7 46, 6 46, 6 45, 7 45))"]


def test_a_gbif_dataset_states_its_licence_as_spdx(describe):
    with provider(gbif([gbif_dataset("flore")], {"flore": 9})) as running:
        describe("gbif", f"{running.url}v1", alpes="flore")
        (document,) = documents("essai", collections=["alpes"])
    assert document["properties"]["license"] == "CC-BY-NC-4.0"
    assert document["properties"]["sci:citation"] == "Flore (2024)."
    assert document["links"][-1]["href"] == "https://doi.org/10.15468/essai"


EML = """<?xml version="1.0"?><eml:eml xmlns:eml="https://eml.ecoinformatics.org/eml-2.2.0"><dataset>
<title>Placettes</title><licensed><licenseName>CC BY</licenseName><identifier>CC-BY-4.0</identifier></licensed>
<dataTable><entityName>Relevés</entityName><physical><objectName>releves.csv</objectName><distribution><online>
<url>https://data.example/object/urn:uuid:1</url></online></distribution></physical></dataTable>
<otherEntity><entityName>Notice</entityName><physical><objectName>notice.pdf</objectName><distribution><online>
<url>https://data.example/object/urn:uuid:2</url></online></distribution></physical></otherEntity>
<otherEntity><entityName>Grille</entityName><physical><objectName>g.zip</objectName><distribution><online>
<url>ecogrid://knb/3</url></online></distribution></physical></otherEntity></dataset></eml:eml>"""


def package(name, **changes):
    return {
        "id": name,
        "title": "Placettes",
        "formatId": "https://eml.ecoinformatics.org/eml-2.2.0",
        "beginDate": "2018-01-01T00:00:00Z",
        "endDate": "2019-01-01T00:00:00Z",
        "westBoundCoord": 5.0,
        "southBoundCoord": 44.0,
        "eastBoundCoord": 8.0,
        "northBoundCoord": 46.0,
        **changes,
    }


def test_a_dataone_package_has_the_tables_and_the_licence_of_its_eml(describe):
    packages = [package("urn:uuid:a"), package("urn:uuid:b", beginDate=None), package("urn:uuid:c", formatId="FGDC")]
    with provider(dataone(packages, {"urn:uuid:a": EML})) as running:
        describe("dataone", f"{running.url}v2", words="page = 2", pndb="")
        found = search("pndb", bbox=(6, 45, 7, 46), time="2018-06", catalog="essai")
        with pytest.raises(NothingFound):
            search("pndb", bbox=(20, 45, 21, 46), catalog="essai")
    assert [i.id for i in found] == ["urn:uuid:a", "urn:uuid:c"]
    assert (found[0].licence, found[1].licence) == ("CC-BY-4.0", None)
    assert [(b.asset, b.kind, b.href) for b in found[0].bands] == [
        ("releves.csv", "table", "https://data.example/object/urn:uuid:1")
    ]
    asked = next(r for r in running.requests if r.path == "/v2/query/solr/").words("fq")
    assert "beginDate:[* TO 2018-06-30T23:59:59Z]" in asked


def test_an_id_cannot_break_out_of_a_solr_question(describe):
    with provider(dataone([], {})) as running:
        describe("dataone", f"{running.url}v2")
        with pytest.raises(NothingFound):
            search(ids='x") OR id:("y', catalog="essai")
    assert running.requests[0].words("fq")[2] == r'id:("x\") OR id:(\"y")'


def stream(number, thing="AgrHyS 1", phenomenon="2010-01-01T00:00:00Z/2012-01-01T00:00:00Z", point=(-3.5, 48.0)):
    return {
        "@iot.id": number,
        "name": f"Niveau {number}",
        "phenomenonTime": phenomenon,
        "unitOfMeasurement": {"symbol": "m"},
        "ObservedProperty": {"name": "niveau", "definition": "https://w3id.org/ozcar-theia/variables/x"},
        "Sensor": {"name": "OTT"},
        "Thing": {"name": thing, "Locations": [{"location": {"type": "Point", "coordinates": list(point)}}]},
    }


def test_a_datastream_is_an_item_where_its_thing_stands(describe):
    streams = [stream(1), stream(2, phenomenon=None), stream(3, thing="ORACLE"), stream("a'b", point=(-3.4, 48.1))]
    with provider(sensorthings(streams)) as running:
        describe("sensorthings", f"{running.url}v1.1", agrhys="startswith(Thing/name,'AgrHyS')")
        found = search("agrhys", bbox=(-4, 47, -3, 49), time="2011-01", catalog="essai")
        assert len(search("agrhys", bbox=(-3.6, 47.9, -3.45, 48.05), catalog="essai")) == 1
        with pytest.raises(NothingFound):
            search("agrhys", time="2015", catalog="essai")
    assert [(i.id, i.platform, f"{i.start:%Y}", f"{i.end:%Y}") for i in found] == [
        ("1", "AgrHyS 1", "2010", "2012"),
        ("a'b", "AgrHyS 1", "2010", "2012"),
    ]
    (band,) = found[1].bands
    assert band.kind == "table"
    assert band.href.startswith(f"{running.url}v1.1/Datastreams('a%27%27b')/Observations?$top=1000&")
    assert "phenomenonTime%20ge%202011-01-01T00%3A00%3A00Z" in band.href
    assert (band.name, band.unit) == ("niveau", "m")


def test_observations_of_a_thing_that_is_at_no_one_point_say_themselves_where_they_were_made(describe):
    moving = {**stream(1), "Thing": {"name": "Navire", "Locations": []}, "observedArea": None}
    with provider(sensorthings([stream(2), moving])) as running:
        describe("sensorthings", f"{running.url}v1.1")
        still, moving = documents("essai")
    assert "$expand" not in still["assets"]["observations"]["href"]
    assert "$expand=FeatureOfInterest" in moving["assets"]["observations"]["href"]
    assert moving["links"][0]["href"] == f"{running.url}v1.1/Datastreams(1)/Observations"


FOREIGN = ["csw", "erddap", "gbif", "dataone", "sensorthings", "static"]


@pytest.mark.parametrize("dialect", FOREIGN)
def test_cql2_is_refused_where_it_cannot_be_asked(describe, dialect):
    describe(dialect, "http://127.0.0.1:9/")
    with pytest.raises(BadRequest, match="filter: "):
        run_query(make_query(filter="gsd < 5"), catalog="essai")


@pytest.mark.parametrize("dialect", [*FOREIGN, "geodes", "stac"])
@pytest.mark.parametrize("body", [b"<html>Maintenance</html>", b"{", b"null", b'{"a": 1}', b"[]", b"\xff"])
def test_an_answer_in_no_dialect_is_called_nonsense(describe, dialect, body):
    with provider(fixed((200, "text/html", body))) as running:
        describe(dialect, running.url)
        with pytest.raises(CatalogueUnavailable, match=r"nonsense|not a STAC API|cannot be reached"):
            run_query(make_query(bbox=(5, 44, 6, 45)), catalog="essai")


def test_a_portal_is_refused_with_its_page(describe):
    describe("portal", "https://portail.example/recherche")
    with pytest.raises(BadRequest, match=r"no known machine interface.*https://portail.example/recherche"):
        search(catalog="essai")
