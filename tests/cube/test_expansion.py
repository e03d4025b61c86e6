"""What catalogues leave out, found in the files: variables, grids, dates and levels, or a reasoned refusal."""

import json
import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

import earthlab
from earthlab import samples
from earthlab.catalog import ItemSet, make_query, norm_item
from earthlab.cube import expansion
from earthlab.cube.expansion import expand_items
from earthlab.cube.shared import share_cube
from earthlab.errors import AskLess, BadRequest, CatalogueUnavailable, FallbackWarning, NothingFound, ReadFault
from earthlab.testing.rasters import scene_items, write_scene
from earthlab.testing.stores import serve_files
from earthlab.types import BBox

DOCUMENTS = sorted((Path(__file__).resolve().parents[3] / "shared" / "stac_samples").glob("*.json"))


def items(*hrefs: str, media_type: str = "", collection: str = "essai", time: str = "2018-07-08T00:00:00Z", **assets):
    documents = [
        {
            "type": "Feature",
            "id": f"item{at}",
            "collection": collection,
            "bbox": [-10, 40, 10, 60],
            "geometry": None,
            "properties": {"datetime": time},
            "assets": {"data": {"href": str(href), "type": media_type, **assets}},
            "links": [],
        }
        for at, href in enumerate(hrefs)
    ]
    return ItemSet(tuple(norm_item(document) for document in documents))


def axes(lat=None, lon=None, **dims) -> dict:
    lat = np.arange(50, 46, -0.5) if lat is None else lat
    lon = np.arange(0, 5, 0.5) if lon is None else lon
    return {
        **dims,
        "lat": ("lat", lat, {"units": "degrees_north"}),
        "lon": ("lon", lon, {"units": "degrees_east"}),
    }


def ocean(
    path: Path, *, days: int = 3, depths: tuple[float, ...] = (0.5, 10.0, 100.0), calendar="standard", **words
) -> Path:
    coordinates = axes(
        time=("time", np.arange(days), {"units": "days since 2018-07-01", "calendar": calendar}),
        depth=("depth", np.array(depths, "float32"), {"units": "m", "positive": "down"}),
        **words,
    )
    shape = (days, len(depths), len(coordinates["lat"][1]), len(coordinates["lon"][1]))
    values = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    dataset = xr.Dataset(
        {
            "thetao": (("time", "depth", "lat", "lon"), values, {"units": "degC", "scale_factor": 0.1}),
            "zos": (("time", "lat", "lon"), values[:, 0], {"units": "m"}),
            "deptho": (("lat", "lon"), values[0, 0], {"units": "m"}),
        },
        coordinates,
    )
    dataset.to_netcdf(path, engine="h5netcdf")
    return path


def test_rasters_come_back_as_they_are(tmp_path):
    scenes = scene_items([write_scene(tmp_path, "a", {"red": np.ones((4, 4), "uint8")})])
    assert expand_items(scenes, None) is scenes
    assert expand_items(scenes, ["red"]) is scenes


def test_an_archive_beside_the_rasters_is_not_opened(tmp_path):
    document = write_scene(tmp_path, "a", {"red": np.ones((4, 4), "uint8")})
    document["assets"]["Product"] = {"href": str(tmp_path / "away.zip"), "type": "application/zip"}
    scenes = scene_items([document])
    assert expand_items(scenes, None) is scenes
    assert expand_items(scenes, ["red"]) is scenes


def test_a_file_of_days_is_an_item_a_day_with_a_band_a_variable(tmp_path):
    found = expand_items(items(ocean(tmp_path / "a.nc")), ["zos"])
    assert [item.id for item in found] == [f"item0#2018-07-0{day}T00:00:00Z" for day in (1, 2, 3)]
    band = found[2].find_band("zos")
    assert (band.kind, band.variable, band.at, band.unit, band.dtype) == (
        "netcdf",
        "zos",
        (("time", 2),),
        "m",
        "float32",
    )
    assert (band.crs, band.shape) == ("EPSG:4326", (8, 10))
    assert band.transform == (0.5, 0, -0.25, 0, -0.5, 50.25)
    assert (band.scale, band.offset, band.nodata) == (None, None, None)
    assert found[0].find_band("deptho").at == ()
    assert ItemSet.from_json(found.to_json()).items == found.items


def test_only_the_dates_of_the_search_are_kept(tmp_path):
    found = items(ocean(tmp_path / "a.nc"))
    asked = ItemSet(found.items, make_query("essai", time="2018-07-02"))
    assert [item.start for item in expand_items(asked, ["zos"])] == [datetime(2018, 7, 2, tzinfo=UTC)]
    with pytest.raises(NothingFound, match="no date in the period"):
        expand_items(ItemSet(found.items, make_query("essai", time="2019")), ["zos"])


def test_a_single_date_on_the_items_day_is_the_items(tmp_path):
    path = ocean(tmp_path / "a.nc", days=1)
    (item,) = expand_items(items(path, time="2018-07-01T12:00:00Z"), ["zos"])
    assert (item.id, item.start) == ("item0", datetime(2018, 7, 1, 12, tzinfo=UTC))
    (item,) = expand_items(items(path, time="2024-01-01T00:00:00Z"), ["zos"])
    assert (item.id, item.start) == ("item0#2018-07-01T00:00:00Z", datetime(2018, 7, 1, tzinfo=UTC))


def test_several_assets_of_one_item_meet_on_their_dates(tmp_path):
    both = items(ocean(tmp_path / "a.nc"))
    document = {
        "type": "Feature",
        "id": "deux",
        "collection": "essai",
        "properties": {"datetime": "2018-07-08T00:00:00Z"},
        "assets": {
            "physique": {"href": str(tmp_path / "a.nc")},
            "autre": {"href": str(ocean(tmp_path / "b.nc", days=5))},
        },
    }
    found = expand_items(ItemSet((norm_item(document),)), ["physique/zos", "autre/zos"])
    assert len(found) == 5
    assert found[0].find_band("physique/zos").href.endswith("a.nc")
    assert found[4].find_band("physique/zos") is None
    assert both[0].find_band("data").kind == "netcdf"


def test_a_level_is_chosen_in_the_name_nearest_first(tmp_path):
    path = ocean(tmp_path / "a.nc")
    found = expand_items(items(path), ["thetao@depth=0", "thetao@depth=12", "zos"])
    assert found[1].find_band("thetao@depth=0").at == (("time", 1), ("depth", 0))
    assert found[1].find_band("thetao@depth=12").at == (("time", 1), ("depth", 1))
    with pytest.raises(BadRequest, match=r"go from 0\.5 to 100; the nearest to 900 is 100"):
        expand_items(items(path), ["thetao@depth=900"])
    with pytest.raises(BadRequest, match="no levels along 'level'"):
        expand_items(items(path), ["thetao@level=1"])
    with pytest.raises(BadRequest, match="a level that is no number"):
        expand_items(items(path), ["thetao@depth=deep"])


def test_without_a_choice_the_first_level_is_taken_and_said(tmp_path):
    with pytest.warns(FallbackWarning, match="3 levels along 'depth': the first one, 0.5, is taken"):
        found = expand_items(items(ocean(tmp_path / "a.nc")), ["thetao"])
    assert found[0].find_band("thetao").at == (("time", 0), ("depth", 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expand_items(items(ocean(tmp_path / "b.nc", depths=(0.5,))), ["thetao"])


@pytest.mark.parametrize(
    ("lon", "left"),
    [
        (np.arange(0, 360, 0.5), -180.25),
        (np.arange(0.25, 360, 0.5), -180.0),
        (np.arange(-180, 180, 0.5), -180.25),
        (np.arange(200, 210, 0.5), -160.25),
        (np.arange(170, 190, 0.5), 169.75),
        (np.r_[np.arange(175, 180, 0.5), np.arange(-180, -175, 0.5)], 174.75),
        (np.arange(350, 370, 0.5), -10.25),
    ],
)
def test_longitudes_are_told_as_searches_have_them(tmp_path, lon, left):
    (item,) = expand_items(items(ocean(tmp_path / "a.nc", days=1, depths=(0.0,), lon=lon)), ["zos"])
    band = item.find_band("zos")
    assert band.transform[2] == pytest.approx(left)
    assert band.shape == (8, len(lon))


def test_coordinates_rounded_to_float32_make_an_even_lattice(tmp_path):
    lat, lon = (np.arange(first, first + 20, 1 / 120).astype("float32") for first in (40.0, 150.0))
    (item,) = expand_items(items(ocean(tmp_path / "a.nc", days=1, depths=(0.0,), lat=lat, lon=lon)), ["zos"])
    transform = item.find_band("zos").transform
    assert transform[0] == 1 / 120
    assert -transform[4] == 1 / 120
    assert transform[2] == pytest.approx(150 - 1 / 240, abs=1e-9)


def test_an_irregular_axis_is_refused_with_its_steps(tmp_path):
    lat = np.array([-89.0, -86, -82, -78, -74])
    path = ocean(tmp_path / "a.nc", lat=lat)
    with pytest.raises(BadRequest, match="'zos' is not on a regular grid: the steps of 'lat' go from 3 to 4"):
        expand_items(items(path), ["zos"])


@pytest.mark.parametrize(
    ("calendar", "first"), [("noleap", "2018-07-01"), ("365_day", "2018-07-01"), ("gregorian", "2018-07-01")]
)
def test_calendars_with_real_dates_are_read(tmp_path, calendar, first):
    found = expand_items(items(ocean(tmp_path / "a.nc", calendar=calendar)), ["zos"])
    assert f"{found[0].start:%Y-%m-%d}" == first


def test_a_calendar_with_dates_that_do_not_exist_is_refused(tmp_path):
    with pytest.raises(BadRequest, match=r"calendar is '360_day'.*cftime"):
        expand_items(items(ocean(tmp_path / "a.nc", calendar="360_day")), ["zos"])


def test_a_cube_of_a_netcdf_is_what_xarray_reads(tmp_path):
    path = ocean(tmp_path / "a.nc", lon=np.arange(0, 360, 0.5))
    cube = earthlab.open(items(path), ["thetao@depth=12", "zos"], bbox=(-5, 47, 5, 49)).compute()
    with xr.open_dataset(path, engine="h5netcdf") as whole:
        turned = whole.assign_coords(lon=(whole.lon + 180) % 360 - 180).sortby("lon")
        expected = turned.sel(lat=slice(49.2, 46.8), lon=slice(-5.2, 5.2))
        np.testing.assert_allclose(cube["zos"].values, expected.zos.values)
        np.testing.assert_allclose(cube["thetao@depth=12"].values, expected.thetao.isel(depth=1).values, rtol=1e-6)
        np.testing.assert_array_equal(cube.time.values, expected.time.values)


@pytest.mark.parametrize("first", [0.0, -180.0])
@pytest.mark.parametrize("descending", [False, True])
def test_a_cube_across_the_antimeridian_is_what_xarray_reads_on_both_sides(tmp_path, first, descending):
    lon = np.arange(first, first + 360, 0.5)
    path = ocean(tmp_path / "a.nc", lon=lon[::-1] if descending else lon)
    found = earthlab.open(items(path), ["zos"], bbox=BBox(175, 47, -175, 49)).zos.compute()
    with xr.open_dataset(path, engine="h5netcdf") as whole:
        turned = whole.assign_coords(lon=whole.lon % 360).sortby("lon")
        expected = turned.zos.sel(lat=slice(49.2, 46.8), lon=slice(174.8, 185.2))
        np.testing.assert_allclose(found.x, expected.lon)
        np.testing.assert_allclose(found.values, expected.values)


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_between_the_lines_of_a_globe_a_cube_goes_on_across_180_degrees(tmp_path, resampling):
    lon = np.arange(-179.75, 180, 0.5)
    path = ocean(tmp_path / "a.nc", lon=lon, days=1)
    grid = GeoBox((10, 50), Affine(0.1, 0, 177.53, 0, -0.1, 49), "EPSG:4326")
    found = earthlab.open(items(path), ["zos"], like=grid, resampling=resampling, chunks={"y": 7, "x": 13}).zos[0]
    with xr.open_dataset(path, engine="h5netcdf") as whole:
        turned = whole.zos[0].assign_coords(lon=whole.lon % 360).sortby("lon")
        places = {"lat": found.y.values, "lon": found.x.values}
        expected = turned.interp(places, method="linear" if resampling == "bilinear" else "nearest")
    np.testing.assert_allclose(found.values, expected.values, atol=1.5)  # rows differ by 720


def swath(path: Path) -> Path:
    rows, columns = np.indices((30, 20), "float32")
    dataset = xr.Dataset(
        {"no2": (("scanline", "ground_pixel"), rows, {"coordinates": "longitude latitude"})},
        {
            "latitude": (("scanline", "ground_pixel"), 40 + rows / 10, {"units": "degrees_north"}),
            "longitude": (("scanline", "ground_pixel"), columns / 10, {"units": "degrees_east"}),
        },
    )
    dataset.to_netcdf(path, engine="h5netcdf", group="PRODUCT")
    return path


@pytest.mark.parametrize("bands", [None, ["no2"], ["PRODUCT/no2", "no2"]])
def test_a_swath_is_never_put_on_a_grid_but_said_to_be_one(tmp_path, bands):
    with pytest.raises(BadRequest) as told:
        expand_items(items(swath(tmp_path / "s5p.nc")), bands)
    for word in (
        "'no2'",
        "swath",
        "scanline 30 × ground_pixel 20",
        "latitude and longitude",
        "open_swath",
        "pyresample",
    ):
        assert word in str(told.value)


def test_points_are_sent_to_the_table(tmp_path):
    dataset = xr.Dataset(
        {"chl": ("obs", np.ones(4, "float32"))},
        {
            "lat": ("obs", np.arange(4.0), {"units": "degrees_north"}),
            "lon": ("obs", np.arange(4.0), {"units": "degrees_east"}),
        },
    )
    dataset.to_netcdf(tmp_path / "p.nc", engine="h5netcdf")
    with pytest.raises(BadRequest, match=r"'chl' is a series of points.*earthlab\.table"):
        expand_items(items(tmp_path / "p.nc"), ["chl"])
    with pytest.raises(BadRequest, match=r"'data' is a table.*earthlab\.table"):
        expand_items(items("stations.csv"), ["data"])


def test_all_items_that_cannot_be_read_are_named_at_once(tmp_path):
    good = ocean(tmp_path / "a.nc")
    (tmp_path / "noise.nc").write_bytes(b"no data at all")
    with pytest.raises(ReadFault, match=r"Item 'item1', 'item2': .*(neither NetCDF|No such file)"):
        expand_items(items(good, tmp_path / "noise.nc", tmp_path / "away.nc"), ["zos"])


def test_too_many_dates_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(expansion, "MOST_DATES", 4)
    with pytest.raises(AskLess, match="time="):
        expand_items(items(ocean(tmp_path / "a.nc"), ocean(tmp_path / "b.nc")), ["zos"])


def test_a_changed_file_is_looked_into_again(tmp_path):
    path = ocean(tmp_path / "a.nc", days=2)
    assert len(expand_items(items(path), ["zos"])) == 2
    path.unlink()
    assert len(expand_items(items(ocean(path, days=4)), ["zos"])) == 4


def eopf(folder: Path) -> Path:
    """A store as the EOPF has them: groups a resolution, the CRS in an attribute of the arrays."""
    name = folder / "S2A.zarr"
    for level, size, step in (("r10m", 12, 10), ("r20m", 6, 20)):
        coordinates = {
            "y": ("y", 4_900_000 - step * (np.arange(size) + 0.5)),
            "x": ("x", 600_000 + step * (np.arange(size) + 0.5)),
        }
        bands = {
            band: (("y", "x"), np.full((size, size), step, "uint16"), {"proj:epsg": 32631, "scale_factor": 0.0001})
            for band in ("b02", "b04")
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*[Cc]onsolidated metadata.*")
            xr.Dataset(bands, coordinates).to_zarr(name, group=f"measurements/reflectance/{level}", mode="a")
    return name


def test_groups_of_a_product_answer_by_common_name_with_the_finest(tmp_path):
    path = eopf(tmp_path)
    bands = [{"name": "b02", "eo:common_name": "blue"}, {"name": "b04", "eo:common_name": "red"}]
    (item,) = expand_items(items(f"{path}/measurements/reflectance", bands=bands), ["red"])
    band = item.find_band("red")
    assert (band.href, band.variable) == (str(path), "measurements/reflectance/r10m/b04")
    assert (band.crs, band.transform) == ("EPSG:32631", (10, 0, 600_000, 0, -10, 4_900_000))
    assert item.find_band("data/measurements/reflectance/r20m/b04").pixel == 20
    (item,) = expand_items(items(f"{path}/measurements/reflectance/r20m/b04"), ["data"])
    assert item.find_band("data").variable == "measurements/reflectance/r20m/b04"
    with pytest.raises(ReadFault, match="nothing at 'measurements/nowhere'"):
        expand_items(items(f"{path}/measurements/nowhere"), ["data"])


def test_a_shared_cube_of_ours_is_a_store_like_any_other(tmp_path):
    scenes = scene_items(
        [
            write_scene(tmp_path, name, {"red": np.full((64, 64), day, "uint16")}, time=f"2018-07-0{day}T10:00:00Z")
            for name, day in (("a", 1), ("b", 5))
        ]
    )
    share_cube(earthlab.plan(scenes, ["red"], mask=None), store=str(tmp_path / "store"))
    (root,) = [path.parent for path in (tmp_path / "store").rglob("zarr.json") if (path.parent / "red").is_dir()]
    cube = earthlab.open(items(root, media_type="application/vnd+zarr"), ["red"]).compute()
    np.testing.assert_array_equal(cube["red"].values, earthlab.open(scenes, ["red"], mask=None).compute()["red"].values)


def test_over_http_a_header_is_read_once_for_all_bands_and_again_for_nobody(tmp_path):
    ocean(tmp_path / "a.nc")
    with serve_files(tmp_path) as store:
        found = expand_items(items(f"{store.url}a.nc"), ["zos"])
        first = len(store.requests())
        assert expand_items(items(f"{store.url}a.nc"), ["zos"]).items == found.items
        assert len(store.requests()) == first <= 6


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_real_document_is_rasters_or_a_clear_fault_without_a_network(path):
    content = json.loads(path.read_text())
    text = path.read_text().replace("https://", "https://127.0.0.1:9/")
    if content.get("type") != "Feature":
        with pytest.raises(CatalogueUnavailable):
            norm_item(content)
        return
    found = ItemSet((norm_item(json.loads(text)),))
    kinds = {band.kind for band in found[0].bands}
    if kinds == {"raster"}:
        assert expand_items(found, None) is found
    else:
        with pytest.raises(ReadFault, match="Leave the item out"):
            expand_items(found, None)


@pytest.fixture
def gases(shared_data, monkeypatch) -> Path:
    monkeypatch.setenv("EARTHLAB_SAMPLES", str(shared_data))
    return samples.fetch("greenhouse_gas")


def test_real_fluxes_of_methane_have_their_grids(gases):
    (item,) = expand_items(
        items(gases / "ch4-all_SOUTHAMERICA_2016_SWAMPS-v32-5_Saunois-Annual-Mean_20160101.nc"), ["flux"]
    )
    assert item.find_band("flux").transform == pytest.approx((0.352, 0, -91.505, 0, -0.234, 22.44))
    footprints = expand_items(items(gases / "MHD-10magl_FLEXPART_ECMWFHRES_TEST_inert_201809.nc"), ["srr"])
    assert len(footprints) == 49
    (europe,) = expand_items(items(gases / "ch4-anthro_EUROPE_2012.nc"), ["flux"])
    assert europe.find_band("flux").shape == (293, 391)
    assert europe.start == datetime(2012, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "band", "why"),
    [
        ("GEOSChem.SpeciesConc.20150101_0000z_reduced.nc4", "SpeciesConc_CH4", "the steps of 'lat' go from 3 to 4"),
        ("gosat-fts_gosat_20160101_ch4-column.nc", "xch4", "series of points"),
        ("hw20230402_20230402.public.qc.nc", "xco2", "series of points"),
    ],
)
def test_real_files_that_are_no_grid_are_refused_with_the_reason(gases, name, band, why):
    with pytest.raises(BadRequest, match=why):
        expand_items(items(gases / name), [band])


def test_files_of_two_collections_may_belong_to_items_of_one_name(tmp_path):
    same = [
        next(iter(items(ocean(tmp_path / f"{name}.nc", days=days), collection=name)))
        for name, days in (("here", 1), ("there", 2))
    ]
    found = expand_items(ItemSet(tuple(same)), ["zos"])
    hrefs = [(item.collection, Path(band.href).stem) for item in found for band in item.bands if band.name == "zos"]
    assert hrefs == [("here", "here"), ("there", "there"), ("there", "there")]
