"""Tables of points, stations and profiles: real files and hostile ones, the same columns out of each."""

import io
import zipfile
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
from shapely.geometry import box

from earthlab import samples
from earthlab.catalog import Band, make_query, norm_item
from earthlab.catalog.itemset import ItemSet
from earthlab.cube.tables import table
from earthlab.errors import BadRequest, NothingFound, ReadFault
from earthlab.testing.providers import catalogue, provider
from earthlab.testing.providers import item as provided
from earthlab.testing.stores import serve_files
from earthlab.types import BBox

QUADRIGE = """\
// export
Lieu de surveillance : Libellé;Passage : Date;Passage : Heure;Coordonnées passage : Coordonnées minx;\
Coordonnées passage : Coordonnées miny;Résultat : Valeur (µg/L)
Men er Roue;08/07/2018;10:50:00;-3,0933;47,5347;1,25
Le Cornard;13/07/2018;;-1,2;46,1;
"""


def saved(tmp_path, text, name="a.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_a_french_export_is_read_with_its_commas_accents_dates_and_units(tmp_path, encoding):
    read = table(saved(tmp_path, QUADRIGE, encoding=encoding))
    assert read.crs == "EPSG:4326"
    assert read.time.astype(str).tolist() == ["2018-07-08 10:50:00+00:00", "2018-07-13 00:00:00+00:00"]
    np.testing.assert_allclose(read.geometry.x, [-3.0933, -1.2])
    np.testing.assert_allclose(read["Résultat : Valeur (µg/L)"], [1.25, np.nan])
    assert read.attrs["units"] == {"Résultat : Valeur (µg/L)": "µg/L"}
    assert read.attrs["sources"] == [str(tmp_path / "a.csv")]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("lat,lon,time", "45.5,-1.5,2018-07-08T10:50:00Z"),
        ("LATITUDE,LONGITUDE,DATE,HEURE", "45.5,358.5,2018-07-08,10:50"),
        ("decimalLongitude\tdecimalLatitude\teventDate", "-1.5\t45.5\t2018-07-08T10:50Z/2018-07-09"),
        ("gpsLat*;gpsLong*;Date", "45,5;-1,5;20180708 10:50"),
        (
            "Longitude [degrees_east]|Latitude [degrees_north]|yyyy-mm-ddThh:mm:ss.sss",
            "-1.5|45.5|2018-07-08T12:50+02:00",
        ),
        ('"lng","lat","datetime"', '"-1.5","45.5","2018/07/08 10:50"'),
    ],
)
def test_places_and_times_are_found_under_the_names_people_give_them(tmp_path, header, row):
    read = table(saved(tmp_path, f"{header}\n{row}\n"))
    assert read.geometry[0].wkt == "POINT (-1.5 45.5)"
    assert read.time[0] == pd.Timestamp("2018-07-08T10:50Z")


def test_rows_without_place_or_time_are_kept_until_a_filter_needs_them(tmp_path):
    path = saved(tmp_path, "lat,lon,date,v\n45,1,2018-07-08,1\n,,2018-07-08,2\n45,1,,3\n")
    read = table(path)
    assert read.geometry.isna().tolist() == [False, True, False]
    assert read.time.isna().tolist() == [False, False, True]
    assert table(path, bbox=(0, 44, 2, 46)).v.tolist() == [1, 3]
    assert table(path, time="2018").v.tolist() == [1, 2]


def test_box_time_and_columns_choose_and_a_box_may_cross_the_antimeridian(tmp_path):
    rows = "".join(f"{lon},{-17},2018-0{month}-01,{lon}\n" for lon in (170, 179, 185, -179, -170) for month in (1, 6))
    path = saved(tmp_path, "lon,lat,date,v\n" + rows)
    read = table(path, bbox=BBox(178, -20, -174, -10), time="2018-06", columns=["v"])
    assert list(read.columns) == ["time", "v", "geometry"]
    assert sorted(read.v) == [-179, 179, 185]
    assert read.geometry.x.between(-180, 180).all()


def test_a_text_file_of_many_pieces_is_filtered_as_it_is_read(tmp_path):
    count = 250_000
    lines = (f"{at % 90},{at % 360 - 180},2018-07-08,{at}" for at in range(count))
    path = saved(tmp_path, "lat,lon,date,v\n" + "\n".join(lines))
    read = table(path, bbox=(0, 0, 3, 3))
    at = np.arange(count)
    inside = (at % 90 <= 3) & (at % 360 >= 180) & (at % 360 <= 183)
    assert read.v.tolist() == at[inside].tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a;b\n1;2\n", "found no longitude and latitude among the columns 'a', 'b'"),
        ("", "empty"),
        ("# nothing\n\n", "comments only"),
        ("lat,lon\n45,600000\n", r"'lon' holds 600000, expected degrees within ±360"),
        ("lat,lon\n91,1\n", r"'lat' holds 91, expected degrees within ±90"),
        ("lat,lon\n45°30'N,1\n", 'holds "45°30\'N", expected degrees as decimal numbers'),
        ("lat,lon,date\n45,1,hier\n", "holds 'hier', which is no date"),
        ("lat,lon\n45,1\n45,1,3,4\n", r"rows have more fields than the header.*saw 4"),
        ("lat,lon\n45,5,-1,5\n", r"4 fields in the first row, 2 in the header.*decimal comma"),
    ],
)
def test_a_text_file_that_is_no_table_of_places_is_refused_with_what_was_found(tmp_path, text, words):
    with pytest.raises(BadRequest, match=words) as refused:
        table(saved(tmp_path, text))
    assert "a.csv" in str(refused.value)


def test_words_that_fit_nothing_are_refused(tmp_path):
    path = saved(tmp_path, "lat,lon,depth\n45,1,3\n")
    with pytest.raises(BadRequest, match=r"there is no 'depht'\. Nearest: depth"):
        table(path, columns=["depht"])
    with pytest.raises(BadRequest, match="no column of dates"):
        table(path, time="2018")
    with pytest.raises(NothingFound, match=r"no row of 1 file.* bbox=\(5.0, 5.0, 6.0, 6.0\)"):
        table(path, bbox=(5, 5, 6, 6))
    with pytest.raises(BadRequest, match="found int, expected items"):
        table(3)
    with pytest.raises(BadRequest, match="is no table known here"):
        table(saved(tmp_path, "x", "a.docx"))
    with pytest.raises(ReadFault, match=r"none\.csv cannot be read: .*No such file"):
        table(tmp_path / "none.csv")


def test_columns_of_the_same_name_are_told_apart(tmp_path):
    read = table(saved(tmp_path, "lat,lon,v,v\n45,1,2,3\n"))
    assert (read["v"][0], read["v.1"][0]) == (2, 3)


def test_a_zip_with_one_table_is_read_and_with_several_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("in/a.csv", "lat,lon\n45,1\n")
        archive.writestr("readme.md", "…")
    assert len(table(tmp_path / "one.zip")) == 1
    with zipfile.ZipFile(tmp_path / "one.zip", "a") as archive:
        archive.writestr("b.txt", "lat,lon\n45,1\n")
    with pytest.raises(BadRequest, match="holds 2 text tables"):
        table(tmp_path / "one.zip")


def test_rephy_samples_agree_with_pandas():
    path = samples.fetch("rephy_quadrige", "OCEAN_PH2_REPHY_Ready_version.csv")
    lines = path.read_text().splitlines()
    start = next(at for at, line in enumerate(lines) if not line.startswith("//"))
    plain = pd.read_csv(io.StringIO("\n".join(lines[start:])), low_memory=False)
    read = table(path, bbox=(-3, 48, 2, 50), time="2000/2010")
    east, north = plain["Longitude [degrees_east]"], plain["Latitude [degrees_north]"]
    year = plain["yyyy-mm-ddThh:mm:ss.sss"].str[:4].astype(int)
    kept = plain[east.between(-3, 2) & north.between(48, 50) & year.between(2000, 2010)]
    assert read.Station.tolist() == kept.Station.tolist()
    assert read.attrs["units"]["Depth [m]"] == "m"


def test_somlit_and_gbif_samples_are_read():
    somlit = table(samples.fetch("somlit", "HYDRO.csv"), columns=["T", "S", "nomSite*"])
    assert len(somlit) == 6393
    assert set(somlit["nomSite*"]) >= {"Point B"}
    assert str(somlit.time[0]) == "1995-01-18 08:00:00+00:00"
    gbif = table(samples.fetch("gbif", "0000066-140928181241064.zip"), columns=["species"])
    assert (len(gbif), int(gbif.geometry.notna().sum())) == (470, 145)


def test_displacements_called_lat_and_lon_are_not_taken_for_places():
    with pytest.raises(BadRequest, match=r"USUDneu9818\.csv: .*'lat' holds 520\.3"):
        table(samples.fetch("gnss", "USUDneu9818.csv"))


def test_argo_profiles_become_one_row_a_level_with_their_flags():
    path = samples.fetch("argo_bgc", "2902746_Sprof.nc")
    read = table(path, time="2019-06", columns=["PRES", "DOXY", "DOXY_QC", "CYCLE_NUMBER"])
    with xr.open_dataset(path) as plain:
        june = plain.isel(
            N_PROF=np.flatnonzero((np.datetime64("2019-06") <= plain.JULD) & (np.datetime64("2019-07") > plain.JULD))
        )
        known = june.PRES.notnull().values
        np.testing.assert_array_equal(read.PRES, june.PRES.values[known])
        np.testing.assert_array_equal(read.DOXY, june.DOXY.values[known])
        np.testing.assert_array_equal(read.geometry.x, june.LONGITUDE.broadcast_like(june.PRES).values[known])
        assert read.DOXY_QC.dropna().isin(list("0123456789")).all()
    assert read.attrs["units"]["DOXY"] == "micromole/kg"
    assert read.attrs["standard_name"]["PRES"] == "sea_water_pressure"
    assert "SCIENTIFIC_CALIB_COMMENT" in table(path).attrs["left_out"]


def test_classic_netcdf_of_argo_and_points_of_a_satellite_are_read():
    core = table(samples.fetch("argo_bgc", "6900388_prof.nc"), bbox=(-40, 55, -20, 65))
    assert core.TEMP.between(-3, 40).mean() > 0.9
    gosat = table(samples.fetch("greenhouse_gas", "gosat-fts_gosat_20160101_ch4-column.nc"))
    assert len(gosat) == 49
    assert "xch4_averaging_kernel" in gosat.attrs["left_out"]
    assert gosat.attrs["licence"].startswith("ESA CCI")


def test_a_grid_is_refused_and_pointed_to_open():
    with pytest.raises(BadRequest, match=r"is a grid or a swath.*el\.open"):
        table(samples.fetch("greenhouse_gas", "ch4-anthro_EUROPE_2012.nc"))


def stations() -> xr.Dataset:
    """Three stations, four dates: sst is 10 · station + date."""
    values = 10.0 * np.arange(3)[:, None] + np.arange(4)
    return xr.Dataset(
        {"sst": (("station", "time"), values, {"units": "degree_C"}), "name": ("station", ["a", "b", "c"])},
        coords={
            "lon": ("station", [1.0, 2.0, 3.0], {"standard_name": "longitude"}),
            "lat": ("station", [41.0, 42.0, 43.0], {"standard_name": "latitude"}),
            "time": pd.date_range("2018-01-01", periods=4),
        },
        attrs={"featureType": "timeSeries", "license": "CC-BY-4.0", "citation": "Nous."},
    )


def test_time_series_of_stations_become_one_row_a_station_and_date(tmp_path):
    stations().to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    read = table(tmp_path / "s.nc", bbox=(1.5, 40, 4, 44), time="2018-01-02/2018-01-03")
    assert read.sst.tolist() == [11, 12, 21, 22]
    assert read.name.tolist() == ["b", "b", "c", "c"]
    assert read.geometry.y.tolist() == [42, 42, 43, 43]
    assert (read.attrs["licence"], read.attrs["citation"]) == ("CC-BY-4.0", "Nous.")


def test_one_station_without_axis_is_read(tmp_path):
    stations().isel(station=1).to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    read = table(tmp_path / "s.nc")
    assert read.sst.tolist() == [10, 11, 12, 13]
    assert set(read.geometry.x) == {2.0}


@pytest.mark.parametrize("way", ["contiguous", "indexed"])
def test_ragged_profiles_are_spread_over_their_levels(tmp_path, way):
    counts = [2, 0, 3]
    link = (
        xr.DataArray(counts, dims="profile", attrs={"sample_dimension": "obs"})
        if way == "contiguous"
        else xr.DataArray(np.repeat([0, 1, 2], counts), dims="obs", attrs={"instance_dimension": "profile"})
    )
    xr.Dataset(
        {
            "link": link,
            "lon": ("profile", [1.0, 2.0, 3.0]),
            "lat": ("profile", [41.0, 42.0, 43.0]),
            "time": ("profile", pd.date_range("2018-01-01", periods=3)),
            "depth": ("obs", [0.0, 5, 0, 5, 10], {"positive": "down", "units": "m"}),
            "temp": ("obs", [20.0, 19, 15, 14, 13]),
        }
    ).to_netcdf(tmp_path / "p.nc", engine="h5netcdf")
    read = table(tmp_path / "p.nc")
    assert read.geometry.x.tolist() == [1, 1, 3, 3, 3]
    assert read.temp.tolist() == [20, 19, 15, 14, 13]
    assert table(tmp_path / "p.nc", time="2018-01-03").depth.tolist() == [0, 5, 10]


def test_a_broken_ragged_file_is_refused(tmp_path):
    xr.Dataset(
        {
            "row_size": ("profile", [2, 2], {"sample_dimension": "obs"}),
            "lon": ("profile", [1.0, 2.0]),
            "lat": ("profile", [41.0, 42.0]),
            "temp": ("obs", [20.0, 19, 15]),
        }
    ).to_netcdf(tmp_path / "p.nc", engine="h5netcdf")
    with pytest.raises(BadRequest, match="'row_size' does not fit the axis 'obs'"):
        table(tmp_path / "p.nc")


def test_netcdf_without_places_or_times_is_refused(tmp_path):
    stations().drop_vars("lat").to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    with pytest.raises(BadRequest, match="states no longitude and latitude"):
        table(tmp_path / "s.nc")
    stations().drop_vars("time").to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    with pytest.raises(BadRequest, match="no variable of times"):
        table(tmp_path / "t.nc", time="2018")


def places(count=2000) -> gpd.GeoDataFrame:
    rng = np.random.default_rng(0)
    moments = pd.date_range("2018-01-01", periods=count, freq="h", tz="UTC")
    where = gpd.points_from_xy(np.sort(rng.uniform(-180, 180, count)), rng.uniform(-80, 80, count))
    return gpd.GeoDataFrame({"datetime": moments, "v": np.arange(count)}, geometry=where, crs="EPSG:4326")


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
@pytest.mark.parametrize("covering", [True, False])
def test_geoparquet_is_filtered_by_box_and_time_whatever_its_crs(tmp_path, crs, covering):
    whole = places()
    whole.to_crs(crs).to_parquet(tmp_path / "a.parquet", write_covering_bbox=covering, row_group_size=100)
    read = table(tmp_path / "a.parquet", bbox=(0, 0, 40, 40), time="2018-01/2018-02", columns=["v"])
    expected = whole.cx[0:40, 0:40]
    expected = expected[expected.datetime < pd.Timestamp("2018-03-01", tz="UTC")]
    assert read.v.tolist() == expected.v.tolist()
    assert read.crs == "EPSG:4326"


def test_plain_parquet_with_coordinates_is_a_table_too(tmp_path):
    whole = places()
    plain = pd.DataFrame(
        {
            "lon": whole.geometry.x % 360,
            "lat": whole.geometry.y,
            "date": whole.datetime.dt.tz_localize(None),
            "v": whole.v,
        }
    )
    plain.to_parquet(tmp_path / "a.parquet")
    read = table(tmp_path / "a.parquet", bbox=(-40, 0, 0, 40), time="2018-02")
    expected = whole.cx[-40:0, 0:40]
    expected = expected[expected.datetime.dt.month == 2]
    assert len(expected) > 20
    assert read.v.tolist() == expected.v.tolist()


def test_geometry_may_be_areas_and_must_state_its_crs(tmp_path):
    lakes = gpd.GeoDataFrame({"v": [1, 2]}, geometry=[box(0, 0, 2, 2), box(10, 10, 12, 12)], crs="EPSG:4326")
    lakes.to_parquet(tmp_path / "a.parquet")
    assert table(tmp_path / "a.parquet", bbox=(1, 1, 5, 5)).v.tolist() == [1]
    lakes.set_crs(None, allow_override=True).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(BadRequest, match="states no CRS"):
        table(tmp_path / "b.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "c.parquet")
    with pytest.raises(BadRequest, match="found no longitude and latitude"):
        table(tmp_path / "c.parquet")
    with pytest.raises(BadRequest, match="is no Parquet"):
        table(saved(tmp_path, "PAR0", "d.parquet"))


def test_of_a_remote_parquet_only_what_is_needed_is_fetched(tmp_path):
    whole = places(60_000)
    whole["weight"] = np.random.default_rng(1).random((len(whole),))
    whole.to_parquet(tmp_path / "a.parquet", write_covering_bbox=True, row_group_size=3000)
    size = (tmp_path / "a.parquet").stat().st_size
    with serve_files(tmp_path) as store:
        read = table(f"{store.url}a.parquet", bbox=(0, 0, 10, 10), columns=["v"])
        sent = sum(stop - start for _, start, stop in store.ranges())
    assert read.v.tolist() == whole.cx[0:10, 0:10].v.tolist()
    assert sent < size / 2


def item_of(name, href, kind, day="2018-07-08"):
    document = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "essai",
        "geometry": None,
        "properties": {"datetime": f"{day}T00:00:00Z"},
        "assets": {},
        "links": [],
    }
    return replace(norm_item(document), bands=(Band("data", "data", str(href), kind=kind),))


def test_the_tables_of_items_are_joined_and_say_which_item_each_row_is_of(tmp_path):
    paths = [saved(tmp_path, f"lat,lon,v (m)\n45,{at},{at}\n", f"{at}.csv") for at in range(3)]
    items = ItemSet(tuple(item_of(f"i{at}", path, "table") for at, path in enumerate(paths)))
    read = table(items, bbox=(0.5, 40, 5, 50))
    assert read.item.tolist() == ["i1", "i2"]
    assert read.attrs["units"] == {"v (m)": "m"}
    assert "essai" in read.attrs["citation"]
    assert len(read.attrs["sources"]) == 3


def served_item(name, href, **changes):
    assets = {"data": {"href": href, "type": "text/csv", "roles": ["data"]}}
    return provided(name, assets=assets, **changes)


def test_a_collection_is_searched_and_its_tables_read_within_what_was_asked(tmp_path, monkeypatch, bare_environment):
    saved(tmp_path, "lat,lon,date,v\n43.5,1.5,2018-07-08,1\n43.5,1.9,2018-07-08,2\n43.5,1.5,2019-07-08,3\n")
    with serve_files(tmp_path) as store, provider(catalogue([served_item("a", f"{store.url}a.csv")])) as stac:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", stac.url)
        assert table("essai", bbox=(1, 43, 1.7, 44), time="2018").v.tolist() == [1]
        corner = {"type": "Polygon", "coordinates": [[[1, 43], [1.6, 43], [1, 44.5], [1, 43]]]}
        assert table(make_query("essai", geometry=box(1.8, 43, 2, 44))).v.tolist() == [2]
        with pytest.raises(NothingFound, match="no row of 1 file"):
            table(make_query("essai", geometry=corner))


def test_items_whose_place_or_period_the_catalogue_puts_elsewhere_are_not_opened(tmp_path):
    saved(tmp_path, "lat,lon,date\n43.5,1.5,2018-07-08\n")
    period = {"datetime": None, "start_datetime": "2018-01-01T00:00:00Z", "end_datetime": "2018-12-31T00:00:00Z"}
    with serve_files(tmp_path) as store:
        items = ItemSet((norm_item(served_item("a", f"{store.url}a.csv", properties=period)),))
        assert len(table(items, time="2018-07", bbox=(0, 40, 5, 50))) == 1
        store.reset()
        for words in ({"time": "2017"}, {"time": "2019"}, {"bbox": (5, 43, 6, 44)}):
            with pytest.raises(NothingFound, match="no row of 0 file"):
                table(items, **words)
        assert store.requests() == []


def test_a_zip_at_an_address_is_read_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "lat,lon\n45,1\n")
    with serve_files(tmp_path) as store:
        assert len(table(f"{store.url}a.zip")) == 1


def test_items_of_images_are_refused_and_a_failing_file_names_its_item(tmp_path):
    with pytest.raises(BadRequest, match=r"none of 1 items has a table .*their assets are raster.*el\.open"):
        table(ItemSet((item_of("a", "a.tif", "raster"),)))
    with pytest.raises(ReadFault, match=r"Item 'a', .*none\.csv cannot be read"):
        table(ItemSet((item_of("a", tmp_path / "none.csv", "table"),)))


def test_days_and_months_follow_what_the_column_proves(tmp_path):
    dates = {"12/31/2018\n1,2,01/05/2018": "2018-01-05", "31/12/2018\n1,2,01/05/2018": "2018-05-01"}
    for rows, second in dates.items():
        read = table(saved(tmp_path, f"lat,lon,date\n1,2,{rows}\n"))
        assert read.time.dt.strftime("%Y-%m-%d").tolist() == ["2018-12-31", second]


def test_days_and_months_in_either_order_are_refused(tmp_path):
    with pytest.raises(BadRequest, match="'31/12/2018' and '12/31/2018': days and months in either order"):
        table(saved(tmp_path, "lat,lon,date\n1,2,31/12/2018\n1,2,12/31/2018\n"))


def test_a_column_called_geometry_gives_way_to_the_places(tmp_path):
    read = table(saved(tmp_path, "lat,lon,geometry,v\n1,2,x,3\n"))
    assert (list(read.columns), read.geometry[0].coords[0]) == (["time", "lat", "lon", "v", "geometry"], (2.0, 1.0))
    pd.DataFrame({"lat": [1.0], "lon": [2.0], "geometry": ["x"]}).to_parquet(tmp_path / "a.parquet")
    assert table(tmp_path / "a.parquet").geometry[0].coords[0] == (2.0, 1.0)


def test_a_column_called_item_stands_beside_the_item_it_was_read_from(tmp_path):
    path = saved(tmp_path, "lat,lon,item\n1,2,mine\n")
    read = table(ItemSet((item_of("a", path, "table"),)))
    assert read[["item", "item.1"]].to_numpy().tolist() == [["a", "mine"]]


def test_a_file_that_only_says_it_is_a_netcdf_is_refused(tmp_path):
    with pytest.raises(BadRequest, match="no NetCDF"):
        table(saved(tmp_path, "nonsense", "a.nc"))


def test_zones_by_name_are_converted_or_not_known(tmp_path):
    days = (
        "Tue Apr 01 00:00:00 CET 1930",
        "Fri Jul 01 00:00:00 CEST 1988",
        "Fri Jul 01 00:00:00 XYZ 1988",
        "1988-07-01",
    )
    read = table(saved(tmp_path, "lat,lon,date\n" + "".join(f"1,2,{day}\n" for day in days)))
    assert read.time.dropna().dt.strftime("%Y-%m-%d %H").tolist() == ["1930-03-31 23", "1988-06-30 22", "1988-07-01 00"]
    assert read.time.isna().tolist() == [False, False, True, False]
