"""The collections of coastal waters, floats, city air and methane: what they hold is what the samples hold."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from earthlab.errors import SetupError
from earthlab.services.stac.extracts import argo, city_air, methane, rephy, somlit


def opened(module, shared_data):
    return module.open_sources(shared_data / module.SAMPLE)


@cache
def tables(module, shared_data) -> dict[str, pd.DataFrame]:
    shots = [shot for source in opened(module, shared_data) for shot in source.shots if shot.sheets]
    return {shot.id: shot.sheets[0].frame for shot in shots}


def test_rephy_keeps_its_samples_stations_and_methods(shared_data):
    (found,) = tables(rephy, shared_data).values()
    raw = pd.read_csv(shared_data / rephy.SAMPLE / rephy.FILE, comment="/", low_memory=False)
    assert (len(found), found.station.nunique()) == (20650, 78)
    for name, column in rephy.METHODS.items():
        np.testing.assert_array_equal(found[name], raw[column])
    np.testing.assert_array_equal(found.geometry.x, raw["Longitude [degrees_east]"])
    assert found.time[0] == pd.Timestamp("2002-03-28T11:45Z")


def test_somlit_keeps_its_measurements_and_flags(shared_data):
    found = tables(somlit, shared_data)
    raw = pd.read_csv(shared_data / somlit.SAMPLE / somlit.FILE, low_memory=False)
    assert sum(map(len, found.values())) == len(raw) == 6393
    point_b = raw[raw["nomSite*"] == "Point B"]
    np.testing.assert_array_equal(found["somlit-point-b"].oxygen, point_b.O.astype(float))
    np.testing.assert_array_equal(found["somlit-point-b"].oxygen_flag, point_b.qO)


def test_argo_keeps_levels_flags_and_units(shared_data):
    found = tables(argo, shared_data)
    with xr.open_dataset(shared_data / argo.SAMPLE / argo.FLOATS["2902746"]) as raw:
        oxygen = raw["DOXY"].values
    assert found["argo-2902746"].DOXY.notna().sum() == np.isfinite(oxygen).sum()
    assert found["argo-2902746"].DOXY.max() == np.nanmax(oxygen)
    assert set(found["argo-2902746"].DOXY_QC.dropna()) == {"3"}
    assert "DOXY" not in found["argo-6900388"]
    assert found["argo-6900388"].CYCLE_NUMBER.nunique() == 223


def test_city_hours_are_universal_time_and_their_means_those_published(shared_data):
    found = tables(city_air, shared_data)
    for city, mean in (("paris", 27.741), ("antwerp", 25.779), ("london", 24.777)):
        assert found[f"no2-{city}-2019"].no2.mean() == pytest.approx(mean, abs=0.0005)
    utc = pd.read_csv(shared_data / "air_quality" / "air_quality_pm25_long.csv", parse_dates=["date.utc"])
    utc = utc[utc.location == "FR04014"].set_index("date.utc").value.sort_index()
    paris = found["no2-paris-2019"].set_index("time").no2
    pd.testing.assert_series_equal(paris, utc, check_names=False, check_index_type=False, check_freq=False)


def test_the_street_keeps_every_hour(shared_data):
    street = tables(city_air, shared_data)["london-marylebone-1998-2005"]
    assert len(street) == 65533
    assert street.time[0] == pd.Timestamp("1998-01-01T00:00Z")
    assert street.no2.mean() == pytest.approx(49.13, abs=0.005)
    assert street.no2.isna().sum() > 0


def test_the_inventory_lies_where_its_cells_do(shared_data):
    pixels, grid = methane.read_inventory(shared_data / "greenhouse_gas" / "ch4-anthro_EUROPE_2012.nc")
    with xr.open_dataset(shared_data / "greenhouse_gas" / "ch4-anthro_EUROPE_2012.nc") as raw:
        flux = raw["flux"].isel(time=0).load()
    np.testing.assert_array_equal(pixels[::-1], flux.values)
    west, _, _, north = grid.bounds
    assert west + grid.transform[0] / 2 == pytest.approx(float(flux.lon[0]), abs=1e-4)
    assert north + grid.transform[4] / 2 == pytest.approx(float(flux.lat[-1]), abs=1e-4)


def test_columns_keep_kernels_priors_and_weights(shared_data):
    found = tables(methane, shared_data)
    levels = found["gosat-ch4-levels"]
    assert (len(found["gosat-ch4-columns"]), len(levels)) == (49, 49 * 20)
    weights = levels.groupby("time").weight.sum()
    np.testing.assert_allclose(weights, 1, atol=2e-3)
    harwell = found["tccon-harwell-levels"]
    column = (harwell.weight * harwell.prior).groupby(harwell.time).sum()
    np.testing.assert_allclose(column, found["tccon-harwell-columns"].prior_xch4, rtol=2e-3)


def test_files_that_are_not_the_samples_are_refused(shared_data, tmp_path):
    strange = tmp_path / "x.csv"
    strange.write_text("Station,nomSite*\nA,B\n")
    with pytest.raises(SetupError, match="lacks the columns"):
        rephy.read_samples(strange)
    with pytest.raises(SetupError, match="has the sites B"):
        somlit.read_samples(strange)
    with pytest.raises(SetupError, match="no column station_paris"):
        city_air.read_city(strange, "station_paris")
    with xr.open_dataset(shared_data / "greenhouse_gas" / "ch4-anthro_EUROPE_2012.nc") as raw:
        raw["flux"].attrs["units"] = "kg/m2/s"
        raw.to_netcdf(tmp_path / "flux.nc")
    with pytest.raises(SetupError, match="expected mol/m2/s"):
        methane.read_inventory(tmp_path / "flux.nc")
    with xr.open_dataset(shared_data / "greenhouse_gas" / "hw20230402_20230402.public.qc.nc") as raw:
        raw.isel(prior_altitude=slice(0, 40)).to_netcdf(tmp_path / "tccon.nc")
    with pytest.raises(SetupError, match="other levels"):
        methane.read_tccon(tmp_path / "tccon.nc")
