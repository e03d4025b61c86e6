"""Documents of every STAC version and of many providers become items, or a reasoned refusal."""

import json
import math
from pathlib import Path

import pytest

from earthlab.catalog import Item, ItemSet, norm_item
from earthlab.catalog.normalise import norm_kind
from earthlab.errors import CatalogueUnavailable
from earthlab.types import BBox

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "stac_samples"
THEIA = "RECONSTRUCTED_mtd_sentinel2_l2a_theia_item"
DOCUMENTS = sorted(SAMPLES.glob("*.json"))


def sample(name: str) -> dict:
    if not SAMPLES.is_dir():
        pytest.skip("the shared STAC documents are not beside this checkout; the hand-written ones below remain")
    return json.loads((SAMPLES / f"{name}.json").read_text())


def document(asset: dict | None = None, properties: dict | None = None, **changes) -> dict:
    return {
        "type": "Feature",
        "id": "un",
        "collection": "essai",
        "bbox": [1, 43, 2, 44],
        "geometry": None,
        "properties": {"datetime": "2018-07-08T10:50:00Z", **(properties or {})},
        "assets": {"B4": {"href": "b4.tif", **(asset or {})}},
        "links": [],
        **changes,
    }


def band(asset: dict | None = None, properties: dict | None = None, **changes):
    return norm_item(document(asset, properties, **changes)).bands[0]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.stem)
def test_every_real_document_is_an_item_or_refused_with_a_reason(path):
    content = json.loads(path.read_text())
    if content.get("type") != "Feature":
        with pytest.raises(CatalogueUnavailable, match="not a STAC Item"):
            norm_item(content)
        return
    item = norm_item(content)
    assert item.id == content["id"]
    assert ItemSet.from_json(ItemSet((item,)).to_json()).items == (item,)


# name, asset, band: crs, pixel, shape, nodata, scale, offset, common name
FACTS = [
    ("pc_s2_l2a_item", "B04", 0, "EPSG:32606", 10, (10980, 10980), 0, 0.0001, None, "red"),
    ("pc_s2_l2a_item", "B8A", 0, "EPSG:32606", 20, (5490, 5490), 0, 0.0001, None, "nir08"),
    ("pc_s2_l2a_item", "B05", 0, "EPSG:32606", 20, (5490, 5490), 0, 0.0001, None, "rededge071"),
    ("pc_s2_l2a_item", "visual", 2, "EPSG:32606", 10, (10980, 10980), None, None, None, "blue"),
    ("pc_s2_l2a_rasterext_item", "B02", 0, "EPSG:32606", 10, (10980, 10980), 0, 0.0001, None, "blue"),
    ("cdse_s2_l2a_stac110_item", "B08_10m", 0, "EPSG:32633", 10, (10980, 10980), 0, 0.0001, -0.1, "nir"),
    ("cdse_s2_l2a_stac110_item", "SCL_20m", 0, "EPSG:32633", 20, (5490, 5490), 0, None, None, None),
    ("cdse_s2_l2a_stac110_item", "TCI_10m", 0, "EPSG:32633", 10, (10980, 10980), 0, None, None, "red"),
    ("earthsearch_v1_s2_l1c_item", "red", 0, "EPSG:32627", 10, (10980, 10980), 0, 0.0001, -0.1, "red"),
    ("earthsearch_v0_s2_l2a_cog_item", "B04", 0, "EPSG:32628", 10, (10980, 10980), 0, 0.0001, None, "red"),
    ("usgs_lc08_l2sp_item", "nir08", 0, "EPSG:32615", 30, (8041, 7931), 0, 2.75e-5, -0.2, "nir08"),
    ("dea_ls8c_ard_item", "nbart_red", 0, "EPSG:32656", 30, (7841, 7781), None, None, None, None),
    ("s1_rtc_aws_item", "incidence", 0, "EPSG:32617", 20, (5490, 5490), 0, 0.01, None, None),
    ("copdem_glo30_item", "data", 0, "EPSG:4326", 1 / 2400, (3600, 2400), None, None, None, "elevation"),
    ("lidar_dem_item", "dem", 0, "EPSG:28355", 1, (2000, 2000), None, None, None, None),
    (THEIA, "B04", 0, "EPSG:32631", 10, (10980,) * 2, -10000, 0.0001, 0, "red"),
]  # fmt: skip


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{fact[0]}-{fact[1]}")
def test_the_facts_of_real_documents(fact):
    name, asset, at, crs, pixel, shape, nodata, scale, offset, common = fact
    found = [b for b in norm_item(sample(name)).bands if b.asset == asset][at]
    assert (found.crs, found.shape, found.index) == (crs, shape, at + 1)
    assert found.pixel == pytest.approx(pixel)
    assert (found.nodata, found.scale, found.offset, found.common_name) == (nodata, scale, offset, common)


def test_geodes_states_its_box_as_text():
    stated = sample("RECONSTRUCTED_geodes_theia_s2_l2a_item")
    assert norm_item(stated).bbox == BBox(0.55, 42.4, 1.9, 43.35)
    assert norm_item(document(bbox="[1, 43, 2, 44]")).bbox == BBox(1, 43, 2, 44)


@pytest.mark.parametrize(
    ("asset", "properties", "crs"),
    [
        ({}, {"proj:code": "EPSG:32631"}, "EPSG:32631"),
        ({}, {"proj:epsg": 32631}, "EPSG:32631"),
        ({}, {"proj:epsg": "32631"}, "EPSG:32631"),
        ({}, {"proj:code": None, "proj:epsg": 32631}, "EPSG:32631"),
        ({"proj:code": "EPSG:2154"}, {"proj:code": "EPSG:32631"}, "EPSG:2154"),
        ({"proj:epsg": 2154}, {"proj:code": "EPSG:32631"}, "EPSG:2154"),
        ({}, {"proj:wkt2": "PROJCRS[…]"}, "PROJCRS[…]"),
        ({}, {"proj:projjson": {"type": "ProjectedCRS", "name": "x"}}, '{"name":"x","type":"ProjectedCRS"}'),
        ({}, {"proj:epsg": None}, None),
        ({}, {}, None),
    ],
)
def test_the_projection_is_found_wherever_it_is_stated(asset, properties, crs):
    assert band(asset, properties).crs == crs


@pytest.mark.parametrize(
    ("asset", "scale", "offset", "nodata"),
    [
        ({"raster:scale": 0.1, "raster:offset": 1, "nodata": 0}, 0.1, 1, 0),
        ({"raster:scale": 0.1, "bands": [{"raster:scale": 0.2, "nodata": 5}]}, 0.2, None, 5),
        ({"raster:bands": [{"scale": 0.1, "offset": -1, "nodata": -9999}]}, 0.1, -1, -9999),
        ({"eo:bands": [{"name": "x"}], "raster:bands": [{"scale": 0.1}]}, 0.1, None, None),
        ({"nodata": "nan"}, None, None, None),
        ({"raster:bands": [{"nodata": "-inf"}]}, None, None, None),
        ({"raster:scale": 0}, 0, None, None),
        ({}, None, None, None),
    ],
)
def test_the_radiometry_is_found_in_every_version(asset, scale, offset, nodata):
    found = band(asset)
    assert (found.scale, found.offset, found.nodata) == (scale, offset, nodata)


def test_assets_override_the_items_transform_and_shape():
    found = band({"proj:shape": [2, 3]}, {"proj:shape": [9, 9], "proj:transform": [10, 0, 1, 0, -10, 2, 0, 0, 1]})
    assert (found.shape, found.transform) == ((2, 3), (10, 0, 1, 0, -10, 2))


@pytest.mark.parametrize(
    ("href", "media_type", "kind"),
    [
        ("b4.tif", "", "raster"),
        ("b4.TIF", "application/x-netcdf", "raster"),
        ("b4", "image/tiff; application=geotiff", "raster"),
        ("sst.nc", "", "netcdf"),
        ("https://h/sst.nc4?token=a.tif", "application/octet-stream", "netcdf"),
        ("a/b.h5", "image/tiff", "netcdf"),
        ("download/42", "application/x-netcdf", "netcdf"),
        ("download/42", "application/netcdf", "netcdf"),
        ("download/42", "application/x-hdf", "netcdf"),
        ("download/42", "application/x-hdf5", "netcdf"),
        ("https://h/p.zarr/measurements/reflectance/r10m/b04", "application/vnd.zarr; version=3", "zarr"),
        ("https://h/store", "application/vnd+zarr", "zarr"),
        ("s3://b/era5.zarr/", "", "zarr"),
        ("product.zip", "", "zip"),
        ("https://h/files/2", "application/zip", "zip"),
        ("points.parquet", "", "table"),
        ("https://h/points", "application/vnd.apache.parquet", "table"),
        ("stations.csv", "text/csv", "table"),
        ('NETCDF:"/data/sst.nc":sst', "application/x-netcdf", "raster"),
        ("/vsizip/{/data/p.zip}/b4.tif", "application/zip", "raster"),
        ("quicklook", "", "raster"),
    ],
)
def test_what_reads_an_asset_is_known_by_suffix_then_by_media_type(href, media_type, kind):
    assert norm_kind(media_type, href) == kind
    assert band({"href": href, "type": media_type}).kind == kind


def test_the_kinds_of_real_documents():
    kinds = {
        path.stem: {b.kind for b in norm_item(content).bands}
        for path in DOCUMENTS
        if (content := json.loads(path.read_text())).get("type") == "Feature"
    }
    assert kinds["eopf_s2_l2a_zarr_item"] == {"zarr"}
    assert kinds["s5p_no2_offl_item"] == kinds["s3_olci_wfr_item"] == {"netcdf"}
    assert kinds["cdse_s2_l2a_stac110_item"] == kinds["pc_s2_l2a_item"] == {"raster"}
    assert "zip" in kinds["geodes_peps_s2_l1c_item"] & kinds["RECONSTRUCTED_geodes_theia_s2_l2a_item"]
    assert "netcdf" in kinds["RECONSTRUCTED_hydroweb_swot_raster_item"]


def test_an_item_that_states_nothing_still_has_its_assets():
    found = band()
    assert (found.asset, found.href, found.crs, found.transform, found.shape) == ("B4", "b4.tif", None, None, None)


def test_hrefs_are_made_absolute_from_the_self_link():
    links = [{"rel": "self", "href": "https://example.org/c/un.json"}]
    assert band({"href": "./b4.tif"}, links=links).href == "https://example.org/c/b4.tif"
    assert band({"href": "/data/b4.tif"}, links=links).href == "/data/b4.tif"
    assert band({"href": "s3://x/b4.tif"}, links=links).href == "s3://x/b4.tif"


@pytest.mark.parametrize("role", ["thumbnail", "overview", "metadata"])
def test_pictures_and_metadata_are_no_bands(role):
    assert norm_item(document({"roles": [role]})).bands == ()


def test_the_profile_gives_what_the_theia_item_does_not_state():
    found = band({}, collection="theia-n3a")
    assert (found.common_name, found.scale, found.nodata, found.unit) == ("red", 0.0001, -10000, "1")


def test_what_the_item_states_of_its_radiometry_wins_over_the_profile():
    assert band({"raster:scale": 0.5}, collection="theia-n3a").scale == 0.5


def test_a_month_without_instant_spans_its_start_and_end():
    times = {"datetime": None, "start_datetime": "2018-07-01T00:00:00Z", "end_datetime": "2018-07-31T23:59:59Z"}
    item = norm_item(document(properties=times))
    assert (item.start.day, item.end.day, item.moment) == (1, 31, item.start)


GEODES = {
    "datetime": "2025-04-03T09:00:26Z",
    "start_datetime": "2025-04-02T17:57:41Z",
    "end_datetime": "2025-04-02T17:57:41Z",
}


def test_a_date_of_ingestion_is_not_taken_for_that_of_the_observation():
    assert f"{norm_item(document(properties=GEODES)).moment:%Y-%m-%d}" == "2025-04-02"
    real = norm_item(sample("geodes_peps_s2_l1c_item"))
    assert f"{real.start:%Y-%m-%dT%H:%M}" == f"{real.end:%Y-%m-%dT%H:%M}" == "2025-04-02T17:57"
    swot = norm_item(sample("RECONSTRUCTED_hydroweb_swot_raster_item"))
    assert f"{swot.start:%Y-%m-%d}" == "2020-04-02"


def test_a_nominal_date_within_the_time_observed_stays():
    times = {"datetime": "2018-07-15T00:00:00Z", "start_datetime": "2018-07-01", "end_datetime": "2018-07-31"}
    item = norm_item(document(properties=times))
    assert (item.start.day, item.end.day) == (15, 31)


@pytest.mark.parametrize(
    ("stated", "instruments"),
    [
        ({"instruments": ["oli", "tirs"]}, ("oli", "tirs")),
        ({"instrument": "MSI"}, ("MSI",)),
        ({"instruments": "msi"}, ("msi",)),
        ({"instruments": [None, "", "msi", "msi"]}, ("msi",)),
        ({"instruments": None}, ()),
        ({}, ()),
    ],
)
def test_instruments_are_found_in_every_spelling(stated, instruments):
    assert norm_item(document(properties=stated)).instruments == instruments


@pytest.mark.parametrize(
    ("stated", "licence"),
    [
        ("CC-BY-4.0", "CC-BY-4.0"),
        ("CC-NC-BY-SA", "CC-BY-NC-SA-4.0"),
        ("proprietary", "other"),
        (None, None),
        ("", None),
    ],
)
def test_licences_are_in_one_spelling(stated, licence):
    assert norm_item(document(properties={"license": stated})).licence == licence


def test_a_licence_that_is_known_to_be_a_placeholder_is_that_of_the_descriptor(tmp_path, monkeypatch):
    (tmp_path / "essai.toml").write_text(
        """
        id = "essai"
        title = { fr = "Essai", en = "Trial" }
        portal = "https://example.org"
        [[collections]]
        id = "essai-masque"
        title = { fr = "Essai", en = "Trial" }
        licence = "etalab-2.0"
        licence_stated = "Apache-2.0"
        access = "open"
        citation = "Essai."
        """
    )
    monkeypatch.setenv("EARTHLAB__CATALOGUE__DESCRIPTORS", str(tmp_path))
    stated = {"license": "Apache-2.0"}
    assert norm_item(document(properties=stated, collection="essai-masque")).licence == "etalab-2.0"
    assert norm_item(document(properties=stated)).licence == "Apache-2.0"
    assert norm_item(document(properties={"license": "MIT"}, collection="essai-masque")).licence == "MIT"


def test_properties_that_searches_compare_come_along():
    stated = {"gsd": 10, "grid:code": "MGRS-31TCJ", "view:off_nadir": math.nan, "sat:orbit_state": ["up"], "x:y": 3}
    assert norm_item(document(properties=stated)).properties == (("grid:code", "MGRS-31TCJ"), ("gsd", 10.0))


def test_six_numbers_and_the_antimeridian_are_boxes_and_others_are_none():
    assert norm_item(document(bbox=[1, 43, 0, 2, 44, 900])).bbox == BBox(1, 43, 2, 44)
    assert norm_item(document(bbox=[179, -20, -179, -15])).bbox == BBox(179, -20, -179, -15)
    assert norm_item(document(bbox=[1, 2])).bbox is None
    assert norm_item({k: v for k, v in document().items() if k != "bbox"}).bbox is None


def test_simulated_items_say_so():
    assert norm_item(document(properties={"earthlab:simulated": True})).simulated
    assert not norm_item(document()).simulated


BROKEN = [
    pytest.param(None, "no properties", id="nothing"),
    pytest.param([], "no properties", id="a list"),
    pytest.param({"id": "un"}, "no properties", id="no properties"),
    pytest.param(document(id=None), "without an id", id="no id"),
    pytest.param(document(id=7), "without an id", id="id is a number"),
    pytest.param(document(properties={"datetime": None}), "neither datetime nor start_datetime", id="no time"),
    pytest.param(document(properties={"datetime": "hier"}), "found 'hier'", id="time is no date"),
    pytest.param(document(properties={"datetime": 20180708}), "cannot be understood", id="time is a number"),
    pytest.param(document(assets=None), "cannot be understood", id="assets is null"),
    pytest.param(document(assets=["x"]), "cannot be understood", id="assets is a list"),
    pytest.param(document(assets={"B4": "b4.tif"}), "cannot be understood", id="an asset is text"),
    pytest.param(document({"href": 5}), "cannot be understood", id="href is a number"),
    pytest.param(document(links={"self": "x"}), "cannot be understood", id="links is an object"),
    pytest.param(document(collection=["essai"]), "cannot be understood", id="collection is a list"),
    pytest.param(document(bbox="1,43,2,44"), "cannot be understood", id="bbox is broken text"),
    pytest.param(document(bbox=[1, 44, 2, 43]), "south 44.0 is above", id="bbox upside down"),
    pytest.param(document(bbox=["a", 44, 2, 45]), "cannot be understood", id="bbox of words"),
    pytest.param(document({"proj:transform": [10, 0, 1]}), "six finite numbers", id="short transform"),
    pytest.param(document({"proj:transform": [math.nan] * 6}), "six finite numbers", id="nan transform"),
    pytest.param(document({"proj:shape": [10]}), "cannot be understood", id="short shape"),
    pytest.param(document({"proj:epsg": "Lambert"}), "cannot be understood", id="epsg is a word"),
    pytest.param(document({"raster:bands": "x"}), "cannot be understood", id="raster bands is text"),
    pytest.param(document({"raster:scale": "nan"}), "a scale or offset of nan", id="scale is nan"),
    pytest.param(document({"nodata": "none"}), "cannot be understood", id="nodata is a word"),
    pytest.param(document(properties={"eo:cloud_cover": "clair"}), "cannot be understood", id="cloud is a word"),
]


@pytest.mark.parametrize(("content", "words"), BROKEN)
def test_a_broken_document_is_refused_with_the_reason(content, words):
    with pytest.raises(CatalogueUnavailable, match=words):
        norm_item(content)


def test_an_item_is_a_plain_frozen_value():
    item = norm_item(document())
    assert isinstance(item, Item)
    assert hash(item) == hash(norm_item(document()))


def sentinel2(baseline=None, *, offset=None, **properties):
    band = {} if offset is None else {"raster:bands": [{"scale": 0.0001, "offset": offset}]}
    if baseline:
        properties["s2:processing_baseline"] = baseline
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2A",
        "collection": "sentinel-2-l2a",
        "geometry": None,
        "properties": {"datetime": "2022-03-01T10:00:00Z", **properties},
        "assets": {"B04": {"href": "B04.tif", "eo:bands": [{"name": "B04", "common_name": "red"}], **band}},
        "links": [],
    }


@pytest.mark.parametrize(
    ("document", "offset"),
    [
        (sentinel2("02.14"), None),
        (sentinel2("04.00"), -0.1),
        (sentinel2("05.11"), -0.1),
        (sentinel2("10.00"), -0.1),
        (sentinel2("05.11", offset=-0.1), -0.1),
        (sentinel2("05.11", offset=-0.1, **{"earthsearch:boa_offset_applied": True}), 0.0),
        (sentinel2("05.11", offset=-0.1, **{"earthsearch:boa_offset_applied": False}), -0.1),
        (sentinel2(), None),
    ],
)
def test_the_offset_of_sentinel_2_is_that_of_each_items_baseline(document, offset):
    (band,) = norm_item(document).bands
    assert (band.scale, band.offset) == (0.0001, offset)
