"""Tables that services compute or describe, from a collection's id to rows, over HTTP."""

import numpy as np
import pandas as pd
import pytest

import earthlab
from earthlab.catalog import make_query, search
from earthlab.catalog.places import resolve_place
from earthlab.cube.tables import table
from earthlab.errors import AskLess, BadRequest, CatalogueUnavailable, FallbackWarning, NothingFound, ReadFault
from earthlab.testing.dialects import darwin_core_archive, dataone, erddap, gbif, sensorthings
from earthlab.testing.providers import catalogue, fixed, item, json_answer, provider

MED = (3, 41, 9, 44)

FLOATS = {
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
    "variables": {
        "platform_number": {},
        "cycle_number": {},
        "time": {"units": "seconds since 1970-01-01T00:00:00Z", "standard_name": "time"},
        "latitude": {"units": "degrees_north", "standard_name": "latitude"},
        "longitude": {"units": "degrees_east", "standard_name": "longitude"},
        "pres": {"units": "decibar", "standard_name": "sea_water_pressure"},
        "temp": {"units": "degree_Celsius", "standard_name": "sea_water_temperature", "_FillValue": np.float32(99999)},
        "temp_qc": {},
    },
}


def profiles(count=60) -> pd.DataFrame:
    at = np.arange(count)
    return pd.DataFrame(
        {
            "platform_number": [f"690{n % 3:04}" for n in at],
            "cycle_number": (at // 10).astype("int32"),
            "time": pd.date_range("2020-01-01T06:00", periods=count, freq="D", tz="UTC"),
            "latitude": 40 + at % 6,
            "longitude": 2.5 + at % 8,
            "pres": (at * 10).astype("float32"),
            "temp": np.where(at % 7 == 0, 99999, 13 + at / 10).astype("float32"),
            "temp_qc": [str(1 + n % 4) for n in at],
        }
    )


@pytest.fixture
def argo(describe):
    """An ERDDAP that serves `profiles` as the collection ``odatis-essai``."""
    with provider(erddap([FLOATS], {"ArgoFloats": profiles()})) as running:
        describe("erddap", f"{running.url}erddap", **{"odatis-essai": "ArgoFloats"})
        yield running


def wanted(bbox=MED, first="2020-01-01", last="2020-02-01"):
    west, south, east, north = bbox
    rows = profiles()
    days = rows.time.between(pd.Timestamp(first, tz="UTC"), pd.Timestamp(last, tz="UTC"), inclusive="left")
    return rows[rows.longitude.between(west, east) & rows.latitude.between(south, north) & days]


def asked(running):
    return [request for request in running.requests if request.path.endswith(".nc")]


def test_argo_profiles_come_with_types_units_times_and_flags(argo):
    read = table("odatis-essai", bbox=MED, time="2020-01")
    rows = wanted()
    assert 3 < len(read) == len(rows)
    assert read.crs == "EPSG:4326"
    np.testing.assert_allclose(read.geometry.x, rows.longitude)
    assert read.time.tolist() == rows.time.tolist()
    assert read.platform_number.tolist() == rows.platform_number.tolist()
    assert read.temp_qc.tolist() == rows.temp_qc.tolist()
    assert (read.temp.dtype, read.cycle_number.dtype) == ("float32", "int32")
    np.testing.assert_array_equal(read.temp, rows.temp.where(rows.temp < 99999))
    assert set(read.item) == {"ArgoFloats"}
    assert read.attrs["units"]["temp"] == "degree_Celsius"
    assert read.attrs["standard_name"]["temp"] == "sea_water_temperature"
    assert read.attrs["licence"] == "etalab-2.0"
    assert len(asked(argo)) == 1
    assert "Range" not in asked(argo)[0].headers


def test_only_the_columns_and_the_period_that_are_wanted_are_asked_for(argo):
    items = search("odatis-essai", bbox=MED, time="2020-01", catalog="essai")
    read = table(items, columns=["temp", "temp_qc"], time="2020-01-10/2020-01-20")
    assert list(read.columns) == ["time", "item", "temp", "temp_qc", "geometry"]
    assert read.temp_qc.tolist() == wanted(first="2020-01-10", last="2020-01-21").temp_qc.tolist()
    (request,) = asked(argo)
    assert request.query.startswith("time,latitude,longitude,temp,temp_qc&")
    with pytest.raises(BadRequest, match=r"there is no 'tmp'\. Nearest: temp"):
        table(items, columns=["tmp"])
    assert len(asked(argo)) == 1


def test_more_than_was_searched_for_is_refused_and_not_half_answered(argo):
    items = search("odatis-essai", bbox=MED, time="2020-01", catalog="essai")
    with pytest.raises(BadRequest, match=r"bbox: more is wanted than these items were searched for.*Search again"):
        table(items, bbox=(0, 40, 9, 44))
    with pytest.raises(BadRequest, match=r"bbox and time: more is wanted"):
        table(items, bbox=(0, 40, 9, 44), time="2020")
    assert asked(argo) == []
    assert len(table(items, bbox=(4, 42, 8, 43))) == len(wanted((4, 42, 8, 43)))


def test_a_question_without_rows_is_nothing_found_and_one_without_bounds_has_no_table(argo):
    with pytest.raises(NothingFound, match="no row of 1 file"):
        table("odatis-essai", bbox=MED, time="2019")
    with pytest.raises(BadRequest, match=r"none of 1 items has a table.*ERDDAP.*only where bbox= or time="):
        table("odatis-essai")


def test_the_collection_of_the_public_contract_is_described_and_read(bare_environment, monkeypatch):
    with provider(erddap([FLOATS], {"ArgoFloats": profiles()})) as running:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__ENDPOINTS", f"erddap-ifremer={running.url}erddap")
        read = earthlab.table("odatis-argo", bbox=MED, time="2020-01")
    assert len(read) == len(wanted())
    assert "Argo" in read.attrs["citation"]


def test_what_the_labs_own_catalogue_holds_is_read_from_there(argo, monkeypatch, tmp_path):
    (tmp_path / "a.csv").write_text("lat,lon,v\n43.5,1.5,1\n")
    held = {"data": {"href": str(tmp_path / "a.csv"), "type": "text/csv", "roles": ["data"]}}
    with provider(catalogue([item("a", collection="odatis-essai", assets=held)])) as lab:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", lab.url)
        assert table("odatis-essai").v.tolist() == [1]
    assert asked(argo) == []
    with provider(catalogue([item("a")])) as lab:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", lab.url)
        assert len(table(make_query("odatis-essai", bbox=MED, time="2020-01"))) == len(wanted())


def test_a_place_is_a_box(argo):
    box = resolve_place("R93").as_tuple()
    assert len(table("odatis-essai", place="R93", time="2020")) == len(wanted(box, last="2021-01-01")) > 0
    with pytest.raises(BadRequest, match="bbox and place were given"):
        table("odatis-essai", place="R93", bbox=MED)


def test_a_dataset_that_counts_longitudes_from_zero_is_asked_so(describe):
    rows = profiles().assign(longitude=lambda f: (f.longitude - 6) % 360)
    turned = {**FLOATS, "minLongitude": 0.0, "maxLongitude": 360.0}
    with provider(erddap([turned], {"ArgoFloats": rows})) as running:
        describe("erddap", f"{running.url}erddap", argo="ArgoFloats")
        read = table("argo", bbox=(-2, 40, 3, 46), time="2020")
        west = table("argo", bbox=(-3, 40, -1, 46), time="2020")
    east = profiles().longitude - 6
    assert len(read) == east.between(-2, 3).sum()
    assert sorted(set(read.geometry.x)) == sorted({x for x in east if -2 <= x <= 3})
    assert len(west) == east.between(-3, -1).sum()


def test_an_answer_beyond_the_setting_is_refused_by_its_name(argo, monkeypatch):
    monkeypatch.setenv("EARTHLAB__READING__DOWNLOAD", "1 KiB")
    with pytest.raises(AskLess, match=r"ArgoFloats\.nc.*no byte ranges.*Narrow bbox=.*reading\.download"):
        table("odatis-essai", bbox=MED, time="2020")


def test_what_an_erddap_says_of_a_fault_is_told(describe):
    said = b'Error {\n    code=500;\n    message="Internal Server Error: out of memory";\n}'

    def broken(request):
        return (500, "text/plain", said) if request.path.endswith(".nc") else erddap([FLOATS])(request)

    with provider(broken) as running:
        describe("erddap", f"{running.url}erddap", argo="ArgoFloats")
        with pytest.raises(ReadFault, match=r"Item 'ArgoFloats'.*answers 500.*out of memory"):
            table("argo", bbox=MED, time="2020-01")


@pytest.mark.parametrize("suffix", ["csv", "csvp"])
def test_the_text_of_an_erddap_has_its_units_in_either_place(argo, suffix):
    names = "time,latitude,longitude,temp,temp_qc,platform_number"
    read = table(f"{argo.url}erddap/tabledap/ArgoFloats.{suffix}?{names}&latitude%3E=44", columns=["temp", "temp_qc"])
    rows = profiles()[lambda f: f.latitude >= 44]
    assert list(read.columns) == ["time", "temp", "temp_qc", "geometry"]
    np.testing.assert_allclose(read.temp, rows.temp, rtol=1e-6)
    assert (read.temp.dtype, str(read.time.dtype)) == ("float64", "datetime64[ns, UTC]")
    assert read.time.tolist() == rows.time.tolist()
    assert read.attrs["units"] == {"temp": "degree_Celsius"}


def dataset(key, **changes):
    return {
        "key": key,
        "title": "Flore des Alpes",
        "license": "http://creativecommons.org/licenses/by/4.0/legalcode",
        "endpoints": [{"type": "DWC_ARCHIVE", "url": f"{{root}}archive/{key}"}],
        "temporalCoverages": [{"start": "1990-05-01", "end": "2020-01-01"}],
        **changes,
    }


def occurrence(number, **changes):
    return {
        "key": number,
        "scientificName": "Leontopodium alpinum Cass.",
        "decimalLongitude": 6 + number / 100,
        "decimalLatitude": 45.5,
        "eventDate": "2018-07-08T00:00:00",
        "issues": ["COORDINATE_ROUNDED", "TAXON_MATCH_FUZZY"],
        "media": [],
        "gadm": {"level0": {"gid": "FRA"}},
        **changes,
    }


def test_occurrences_are_paged_to_the_end_under_darwin_core_terms(describe):
    rows = [occurrence(n) for n in range(7)] + [occurrence(7, decimalLongitude=None, decimalLatitude=None)]
    with provider(gbif([dataset("flore")], {"flore": 900}, occurrences={"flore": rows}, page=3)) as running:
        describe("gbif", f"{running.url}v1", flore="flore")
        read = table("flore", time="2018")
        boxed = table("flore", bbox=(6, 45, 6.031, 46), time="2018")
    assert read.key.tolist() == list(range(8))
    assert read.geometry.isna().tolist() == [False] * 7 + [True]
    assert set(read.scientificName) == {"Leontopodium alpinum Cass."}
    assert set(read.issues) == {"COORDINATE_ROUNDED;TAXON_MATCH_FUZZY"}
    assert str(read.time[0]) == "2018-07-08 00:00:00+00:00"
    assert read.attrs["left_out"] == ["gadm", "media"]
    assert boxed.key.tolist() == [0, 1, 2, 3]
    pages = [r for r in running.requests if r.path.endswith("/search") and "offset" in r.asked]
    assert [r.asked["offset"] for r in pages[:3]] == ["0", "3", "6"]
    assert {r.asked["limit"] for r in pages} == {"300"}


def test_too_many_occurrences_are_refused_before_the_first_page_is_kept(describe, monkeypatch):
    monkeypatch.setattr("earthlab.cube.tables.pages.MOST_ROWS", 5)
    with provider(
        gbif([dataset("flore")], {"flore": 9}, occurrences={"flore": [occurrence(n) for n in range(7)]})
    ) as running:
        describe("gbif", f"{running.url}v1", flore="flore")
        with pytest.raises(AskLess, match=r"holds 7 rows.*at most 5 are fetched.*Narrow bbox= or time="):
            table("flore", time="2018")


def test_a_large_dataset_is_read_from_its_archive(describe, monkeypatch):
    monkeypatch.setattr("earthlab.catalog.dialects.gbif.MOST_PAGED", 2)
    terms = ("occurrenceID", "decimalLatitude", "decimalLongitude", "eventDate", "individualCount", "scientificName")
    rows = [(f"o{n}", "45.5", f"{6 + n}", "2018-07-08", str(n), 'Edelweiss "x') for n in range(4)]
    archive = darwin_core_archive(rows, terms, defaults={"basisOfRecord": "HumanObservation"})
    known = gbif([dataset("flore")], {"flore": 900}, archives={"flore": archive})
    with provider(known) as running:
        describe("gbif", f"{running.url}v1", flore="flore")
        read = table("flore", bbox=(6.5, 45, 8.5, 46), time="2018")
    assert read.occurrenceID.tolist() == ["o1", "o2"]
    assert read.individualCount.tolist() == [1, 2]
    assert set(read.basisOfRecord) == {"HumanObservation"}
    assert set(read.scientificName) == {'Edelweiss "x'}


def test_items_without_a_table_are_named_and_the_others_read(describe):
    held = {"flore": [occurrence(1)]}
    with provider(
        gbif([dataset("flore"), dataset("grande")], {"flore": 9, "grande": 2_000_000}, occurrences=held)
    ) as running:
        describe("gbif", f"{running.url}v1", toutes="country=FR")
        with pytest.warns(FallbackWarning, match="1 of 2 items have no table.*: grande"):
            read = table("toutes", time="2018")
    assert set(read.item) == {"flore"}
    assert read.attrs["without_table"] == ["grande"]


def stream(number, unit="m", name="niveau", **changes):
    return {
        "@iot.id": number,
        "name": f"Niveau {number}",
        "phenomenonTime": "2010-01-01T00:00:00Z/2012-01-01T00:00:00Z",
        "unitOfMeasurement": {"symbol": unit},
        "ObservedProperty": {"name": name},
        "Sensor": {"name": "OTT"},
        "Thing": {"name": "AgrHyS", "Locations": [{"location": {"type": "Point", "coordinates": [-3.5, 48.0]}}]},
        **changes,
    }


def observation(day, result, **changes):
    return {"@iot.id": f"{day}", "phenomenonTime": f"2011-01-{day:02}T00:00:00Z", "result": result, **changes}


def test_observations_lie_where_their_thing_stands(describe):
    made = {"1": [observation(d, d / 10, resultQuality="good") for d in range(1, 8)], "2": [observation(1, 250.0)]}
    with provider(sensorthings([stream(1), stream(2, "mm", "pluie")], observations=made)) as running:
        describe("sensorthings", f"{running.url}v1.1", agrhys="")
        read = table("agrhys", bbox=(-4, 47, -3, 49), time="2011-01-01/2011-01-05")
        level = table("agrhys", time="2011-01-06")
    assert read.result.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 250.0]
    assert read.unit.tolist() == ["m"] * 5 + ["mm"]
    assert read.observed_property.tolist() == ["niveau"] * 5 + ["pluie"]
    assert {point.wkt for point in read.geometry} == {"POINT (-3.5 48)"}
    assert str(read.time[4]) == "2011-01-05 00:00:00+00:00"
    assert read.resultQuality.dropna().tolist() == ["good"] * 5
    assert read.attrs["units"] == {"result": "m ; mm"}
    assert level.attrs["units"] == {"result": "m"}


def test_observations_of_a_moving_thing_lie_where_each_was_made(describe):
    moving = stream("a'b", Thing={"name": "Navire", "Locations": []})
    made = [
        observation(1, 3.0, FeatureOfInterest={"feature": {"type": "Point", "coordinates": [-5.0, 47.0]}}),
        observation(
            2,
            4.0,
            FeatureOfInterest={
                "feature": {"type": "Feature", "geometry": {"type": "Point", "coordinates": [-6.0, 47.0]}}
            },
        ),
        observation(3, 5.0, FeatureOfInterest={"feature": None}),
    ]
    with provider(sensorthings([moving], observations={"'a''b'": made})) as running:
        describe("sensorthings", f"{running.url}v1.1", navire="")
        read = table("navire", time="2011")
        boxed = table(search("navire", time="2011", catalog="essai"), bbox=(-5.5, 46, -4, 48))
    assert [point.wkt if point else None for point in read.geometry] == ["POINT (-5 47)", "POINT (-6 47)", None]
    assert boxed.result.tolist() == [3.0]


def test_paging_that_is_too_long_or_turns_in_circles_ends_with_a_reason(describe, monkeypatch):
    made = {"1": [observation(d, 1.0) for d in range(1, 8)]}
    known = sensorthings([stream(1)], observations=made)
    with provider(known) as running:
        describe("sensorthings", f"{running.url}v1.1", agrhys="")
        monkeypatch.setattr("earthlab.cube.tables.pages.MOST_PAGES", 2)
        with pytest.raises(AskLess, match=r"Datastreams\(1\)/Observations holds at least 6 rows in 3 pages"):
            table("agrhys", time="2011")

    def circling(request):
        link = f"{request.root}{request.path[1:]}?{request.query}"
        return json_answer({"value": [], "@iot.nextLink": link}) if "Observations" in request.path else known(request)

    with provider(circling) as running:
        describe("sensorthings", f"{running.url}v1.1", agrhys="")
        with pytest.raises(CatalogueUnavailable, match="the same page twice"):
            table("agrhys", time="2011")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"value": [{"result": 1}]}', b'{"value": 3}'])
def test_pages_in_no_dialect_are_called_nonsense(describe, body):
    def behave(request):
        good = sensorthings([stream(1)])(request)
        return fixed((200, "application/json", body))(request) if "Observations" in request.path else good

    with provider(behave) as running:
        describe("sensorthings", f"{running.url}v1.1", agrhys="")
        with pytest.raises(CatalogueUnavailable, match="nonsense"):
            table("agrhys", time="2011")


EML = """<?xml version="1.0"?><eml:eml xmlns:eml="https://eml.ecoinformatics.org/eml-2.2.0"><dataset>
<title>Placettes</title><licensed><identifier>CC-BY-4.0</identifier></licensed>
<dataTable><entityName>Relevés</entityName><physical><objectName>releves.csv</objectName>
<characterEncoding>{charset}</characterEncoding>
<dataFormat><textFormat><numHeaderLines>{lines}</numHeaderLines></textFormat></dataFormat>
<distribution><online><url>{{root}}v2/object/urn:uuid:1</url></online></distribution></physical>
<attributeList>{attributes}</attributeList></dataTable></dataset></eml:eml>"""

COORDINATES = """
<attribute><attributeName>gps_e</attributeName><attributeDefinition>Longitude of the plot</attributeDefinition>
<measurementScale><interval><unit><standardUnit>degree</standardUnit></unit></interval></measurementScale></attribute>
<attribute><attributeName>gps_n</attributeName><attributeDefinition>Latitude of the plot</attributeDefinition>
<measurementScale><interval><unit><standardUnit>degree</standardUnit></unit></interval></measurementScale></attribute>
"""

MEASURES = """
<attribute><attributeName>vu_le</attributeName><attributeDefinition>Day of visit</attributeDefinition>
<measurementScale><dateTime><formatString>YYYY-MM-DD</formatString></dateTime></measurementScale></attribute>
<attribute><attributeName>dbh</attributeName><attributeDefinition>Diameter</attributeDefinition>
<measurementScale><ratio><unit><standardUnit>centimeter</standardUnit></unit></ratio></measurementScale>
<missingValueCode><code>NA</code></missingValueCode><missingValueCode><code>-9999</code></missingValueCode></attribute>
<attribute><attributeName>essence</attributeName><attributeDefinition>Species</attributeDefinition></attribute>
"""


def package(**changes):
    return {
        "id": "urn:uuid:a",
        "title": "Placettes",
        "formatId": "https://eml.ecoinformatics.org/eml-2.2.0",
        "beginDate": "2018-01-01T00:00:00Z",
        "endDate": "2019-12-31T00:00:00Z",
        "westBoundCoord": 5.0,
        "southBoundCoord": 44.0,
        "eastBoundCoord": 8.0,
        "northBoundCoord": 46.0,
        **changes,
    }


def node(text, attributes, *, lines=1, charset="UTF-8", **changes):
    eml = EML.format(attributes=attributes, lines=lines, charset=charset)
    return dataone([package(**changes)], {"urn:uuid:a": eml}, {"urn:uuid:1": text.encode(charset)})


@pytest.mark.parametrize("lines", [0, 1])
@pytest.mark.parametrize("charset", ["UTF-8", "windows-1252"])
def test_a_data_package_is_read_as_its_eml_describes_it(describe, lines, charset):
    header = "gps_e;gps_n;vu_le;dbh;essence\n" if lines else ""
    rows = "6,5;45,5;2018-07-08;31,5;hêtre\n6,6;45,5;2019-07-08;-9999;épicéa\n"
    with provider(node(header + rows, COORDINATES + MEASURES, lines=lines, charset=charset)) as running:
        describe("dataone", f"{running.url}v2", pndb="")
        read = table("pndb")
        early = table("pndb", bbox=(6, 45, 7, 46), time="2018", columns=["dbh"])
    np.testing.assert_allclose(read.geometry.x, [6.5, 6.6])
    np.testing.assert_allclose(read.dbh, [31.5, np.nan])
    assert read.essence.tolist() == ["hêtre", "épicéa"]
    assert read.attrs["units"] == {"gps_e": "degree", "gps_n": "degree", "dbh": "centimeter"}
    assert "CC-BY-4.0" in read.attrs["licence"]
    assert early.dbh.tolist() == [31.5]


def test_a_package_of_one_place_lends_it_to_its_rows(describe):
    point = {"westBoundCoord": 3.86, "eastBoundCoord": 3.86, "southBoundCoord": 43.6, "northBoundCoord": 43.6}
    text = "vu_le,dbh,essence\n2018-07-08,31.5,Quercus ilex\n"
    with provider(node(text, MEASURES, **point)) as running:
        describe("dataone", f"{running.url}v2", pndb="")
        read = table("pndb")
    assert read.geometry[0].wkt == "POINT (3.86 43.6)"
    with provider(node(text, MEASURES)) as running:
        describe("dataone", f"{running.url}v2", pndb="")
        with pytest.raises(BadRequest, match=r"releves|object/urn.*found no longitude and latitude"):
            table("pndb")
