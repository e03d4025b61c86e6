"""Zipped products: found by their directory alone, read through GDAL, and hostile ones refused."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

import earthlab
from earthlab.catalog import ItemSet, find_profile, norm_item
from earthlab.catalog.signing import Signed
from earthlab.cube.expansion import expand_items
from earthlab.cube.plan import Source
from earthlab.cube.readers import archive
from earthlab.cube.readers.archive import list_members, member_href
from earthlab.cube.readers.raster import read_raster
from earthlab.errors import ReadFault
from earthlab.testing.rasters import RasterFile, write_raster
from earthlab.testing.stores import serve_files

NAME = "SENTINEL2B_20200106-105907-758_L2A_T31TCH_C_V4-0"
COLLECTION = "THEIA_REFLECTANCE_SENTINEL2_L2A"
FINE = Affine(10, 0, 300_000, 0, -10, 4_900_000)
COARSE = Affine(20, 0, 300_000, 0, -20, 4_900_000)


def product(folder: Path, name: str = f"{NAME}.zip") -> tuple[Path, dict[str, np.ndarray]]:
    """A MAJA product as Theia zips it, small: its reflectances and two of its masks on 10 and 20 m."""
    rng = np.random.default_rng(4)
    known: dict[str, np.ndarray] = {}
    for band in ("B2", "B3", "B4", "B8", "B5", "B8A", "B11"):
        size = 40 if band in {"B2", "B3", "B4", "B8"} else 20
        for what in ("FRE", "SRE"):
            known[f"{NAME}_{what}_{band}.tif"] = rng.integers(-10, 9000, (size, size)).astype("int16")
    known[f"{NAME}_FRE_B4.tif"][:5, :5] = -10000
    for mask in ("CLM", "MG2", "EDG"):
        for level, size in (("R1", 40), ("R2", 20)):
            known[f"MASKS/{NAME}_{mask}_{level}.tif"] = rng.integers(0, 2, (size, size)).astype("uint8")
    known[f"MASKS/{NAME}_CLM_R1.tif"][:] = np.where(np.arange(40) < 30, 0, 3)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(f"{NAME}/{NAME}_MTD_ALL.xml", "<Muscate_Metadata_Document/>")
        target.writestr(f"{NAME}/{NAME}_QKL_ALL.jpg", b"jpg")
        for member, values in known.items():
            nodata = -10000 if values.dtype == np.int16 else None
            raster = RasterFile(values, FINE if values.shape[0] == 40 else COARSE, nodata=nodata, options={})
            target.write(write_raster(folder / "one.tif", raster), f"{NAME}/{member}")
    return folder / name, known


def items(href: str, **asset) -> ItemSet:
    document = {
        "type": "Feature",
        "id": "URN:1",
        "collection": COLLECTION,
        "bbox": [0.55, 42.4, 1.9, 43.35],
        "geometry": None,
        "properties": {"datetime": "2020-01-06T10:59:07Z"},
        "assets": {"product": {"href": href, "type": "application/zip", "roles": ["data"], **asset}},
        "links": [],
    }
    return ItemSet((norm_item(document),))


def read(band) -> np.ndarray:
    tile = GeoBox(band.shape, Affine(*band.transform), band.crs)
    source = Source(band.href, band.index, nodata=band.nodata)
    (window,) = read_raster([source], tile, resampling="nearest", anchor=(300_000, 4_900_000))
    return window.values


def test_a_maja_product_has_its_bands_by_common_name_on_their_grids(tmp_path):
    path, known = product(tmp_path)
    (item,) = expand_items(items(str(path)), None)
    red = item.find_band("red")
    assert red is item.find_band("B4") is item.find_band("FRE_B4")
    assert (red.crs, red.shape, red.transform) == ("EPSG:32631", (40, 40), tuple(FINE)[:6])
    assert (red.scale, red.offset, red.nodata, red.unit, red.dtype) == (0.0001, 0.0, -10000, "1", "int16")
    assert item.find_band("rededge071").transform == tuple(COARSE)[:6]
    assert item.find_band("SRE_B4").common_name is None
    assert item.find_band("CLM_R2").shape == (20, 20)
    assert item.find_band("CLM_R1").scale is None
    assert {band.kind for band in item.bands} == {"raster"}
    for name, member in (("red", "_FRE_B4.tif"), ("SRE_B4", "_SRE_B4.tif"), ("nir08", "_FRE_B8A.tif")):
        np.testing.assert_array_equal(read(item.find_band(name)), known[NAME + member])
    np.testing.assert_array_equal(read(item.find_band("MG2_R2")), known[f"MASKS/{NAME}_MG2_R2.tif"])


def test_over_http_only_the_directory_and_two_headers_are_fetched(tmp_path):
    path, known = product(tmp_path, "une archive.zip")
    with path.open("r+b") as stream:
        whole = stream.read()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as target:
        target.writestr("padding.bin", bytes(8_000_000))
    with serve_files(tmp_path) as store:
        (item,) = expand_items(items(f"{store.url}une%20archive.zip"), None)
        sent = sum(row.stop - row.start for row in store.requests() if row.method == "GET" and row.status == 206)
        assert sent < 1_500_000 < len(whole) + 8_000_000
        np.testing.assert_array_equal(read(item.find_band("red")), known[f"{NAME}_FRE_B4.tif"])
        np.testing.assert_array_equal(read(item.find_band("CLM_R1")), known[f"MASKS/{NAME}_CLM_R1.tif"])


def test_an_address_without_suffix_and_with_a_query_opens_too(tmp_path):
    path, known = product(tmp_path, "2")
    with serve_files(tmp_path) as store:
        (item,) = expand_items(items(f"{store.url}{path.name}?file=7"), ["red"])
        np.testing.assert_array_equal(read(item.find_band("red")), known[f"{NAME}_FRE_B4.tif"])
        assert {row.query for row in store.requests()} == {"file=7"}


def test_another_product_has_its_rasters_by_their_names(tmp_path):
    values = np.arange(12, dtype="uint8").reshape(3, 4)
    write_raster(tmp_path / "one.tif", RasterFile(values, nodata=7, options={}))
    with zipfile.ZipFile(tmp_path / "oso.zip", "w") as target:
        target.write(tmp_path / "one.tif", "OCS_2018/OCS_2018_CNES.tif")
        target.writestr("OCS_2018/read.me", "texte")
    (item,) = expand_items(items(str(tmp_path / "oso.zip")), ["OCS_2018_CNES"])
    band = item.find_band("OCS_2018_CNES")
    assert (band.asset, band.nodata, band.scale) == ("product/OCS_2018/OCS_2018_CNES.tif", 7, None)
    np.testing.assert_array_equal(read(band), values)


def test_the_mask_of_theia_keeps_what_has_no_flag():
    recipe = find_profile(COLLECTION).masks["clear"]
    assert (recipe.kind, recipe.bits, recipe.assets[0]) == ("bits", 255, "CLM_R1")


def test_a_cube_of_a_zipped_product_is_reflectance_without_clouds(tmp_path):
    path, known = product(tmp_path)
    cube = earthlab.open(items(str(path)), ["red", "nir08"], mask="clear").compute()
    clear = np.arange(40) < 30
    expected = np.where(clear & (known[f"{NAME}_FRE_B4.tif"] != -10000), known[f"{NAME}_FRE_B4.tif"] / 10000, np.nan)
    np.testing.assert_allclose(cube["red"].values[0], expected, rtol=1e-6)
    coarse = known[f"{NAME}_FRE_B8A.tif"].repeat(2, 0).repeat(2, 1) / 10000
    np.testing.assert_allclose(cube["nir08"].values[0], np.where(clear, coarse, np.nan), rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["../../etc/x.tif", "a/../../x.tif", "/etc/x.tif", "a\\b.tif", "a}b.tif", "{.tif", "x.vrt"]
)
def test_members_with_names_that_lead_elsewhere_are_not_seen(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as target:
        target.writestr(name, b"")
        target.writestr("good.tif", b"")
    assert list_members(str(tmp_path / "p.zip")) == ("good.tif",)


def test_too_many_members_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as target:
        for at in range(archive.MOST_MEMBERS + 1):
            target.writestr(f"{at}", b"")
    with pytest.raises(ReadFault, match="20001 members"):
        list_members(str(tmp_path / "p.zip"))


def test_a_directory_that_claims_to_be_huge_is_not_read(tmp_path):
    claimed = 2**28
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, claimed, 0, 0)
    with (tmp_path / "p.zip").open("wb") as stream:
        stream.truncate(claimed)
        stream.seek(claimed)
        stream.write(end)
    with pytest.raises(ReadFault, match="longer than 16 MiB"):
        list_members(str(tmp_path / "p.zip"))


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no archive", b"PK\5\6" + bytes(30)])
def test_what_is_no_archive_is_a_fault_that_names_the_item(tmp_path, content):
    (tmp_path / "p.zip").write_bytes(content)
    with pytest.raises(ReadFault, match=r"Item 'URN:1': .*p\.zip"):
        expand_items(items(str(tmp_path / "p.zip")), ["red"])


def test_a_raster_that_is_none_is_a_fault_that_names_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as target:
        target.writestr("x/broken.tif", b"no raster")
    with pytest.raises(ReadFault, match=r"broken\.tif"):
        expand_items(items(str(tmp_path / "p.zip")), None)


def test_an_archive_that_is_away_is_a_fault_without_its_query(tmp_path):
    with serve_files(tmp_path) as store, pytest.raises(ReadFault, match="404") as told:
        expand_items(items(f"{store.url}away.zip?X-Amz-Signature=topsecret"), None)
    assert "topsecret" not in str(told.value)


def test_the_address_of_a_member_carries_no_signature():
    assert member_href("https://h/p.zip?X-Amz-Signature=topsecret&X-Amz-Date=1", "a/b.tif") == (
        "/vsizip/{/vsicurl/https://h/p.zip}/a/b.tif"
    )
    assert member_href("s3://bucket/p.zip", "b.tif") == "/vsizip/{/vsis3/bucket/p.zip}/b.tif"


class _Bearer:
    """Signs every address of this machine."""

    def match(self, href: str) -> bool:
        return href.startswith("http://127.0.0.1")

    def sign(self, href: str) -> Signed:
        return Signed(f"{href}?sig=topsecret")


def bearer() -> _Bearer:
    return _Bearer()


def test_a_signer_signs_the_archive_and_the_band_carries_nothing_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNERS", "tests.cube.readers.test_archive:bearer")
    path, known = product(tmp_path)
    with serve_files(tmp_path) as store:
        (item,) = expand_items(items(f"{store.url}{path.name}"), ["red"])
        assert "topsecret" not in ItemSet((item,)).to_json()
        np.testing.assert_array_equal(read(item.find_band("red")), known[f"{NAME}_FRE_B4.tif"])
        assert {row.query for row in store.requests()} == {"sig=topsecret"}


def test_gdal_reads_what_the_address_says(tmp_path):
    path, known = product(tmp_path)
    with rasterio.open(member_href(str(path), f"{NAME}/{NAME}_FRE_B4.tif")) as source:
        np.testing.assert_array_equal(source.read(1), known[f"{NAME}_FRE_B4.tif"])
