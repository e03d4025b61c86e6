"""The collections of Theia's water: what they hold is what the samples hold."""

import numpy as np
import pandas as pd
import pytest
import rasterio

from earthlab.errors import SetupError
from earthlab.services.stac.extracts import (
    choptank,
    flux_towers,
    lakes,
    probes,
    river_scene,
    rivers,
    weather,
)


def opened(module, shared_data):
    return module.open_sources(shared_data / module.SAMPLE)


def tables(module, shared_data) -> dict[str, pd.DataFrame]:
    return {shot.id: shot.sheets[0].frame for source in opened(module, shared_data) for shot in source.shots}


def test_hydroweb_keeps_its_heights_areas_and_volumes(shared_data):
    found = tables(lakes, shared_data)["hydroweb-tana"]
    raw = pd.read_csv(shared_data / "hydroweb_lakes" / "hydroprd_L_tana.csv")
    kept = raw.Area < 9999
    assert (len(found), int(found.volume.notna().sum())) == (702, 682)
    np.testing.assert_array_equal(found.volume[kept], raw.Volume[kept])
    np.testing.assert_array_equal(found.height, raw.Height)
    assert found.time[0] == pd.Timestamp("1992-09-27T02:35Z")


def test_the_two_other_processings_keep_their_heights(shared_data):
    found = tables(lakes, shared_data)
    assert found["dahiti-tana"].iloc[0].tolist()[1:4] == [1787.058, 0.036, "DAHITI"]
    realm = found["grealm-tana"]
    assert realm.iloc[0].tolist()[:4] == [pd.Timestamp("1992-10-06T17:08Z"), 1787.72, 0.064, "G-REALM"]
    assert realm.height.max() < 9999


def test_nitrates_keep_their_units_row_by_row_and_lie_in_cote_d_or(shared_data):
    found = tables(rivers, shared_data)["hubeau-nitrates-21"]
    assert found.symbole_unite.value_counts().to_dict() == {"mg(NO3)/L": 13261, "mg/L": 33, "mg(CO3)/L": 20}
    west, south, east, north = found.total_bounds
    assert (4 < west < east < 5.6, 46.8 < south < north < 48.1) == (True, True)
    assert found.resultat.head(5).tolist() == [13.0, 14.8, 31.0, 20.0, 17.0]


def test_the_choptank_keeps_its_days_and_what_lies_below_detection(shared_data):
    found = tables(choptank, shared_data)
    assert len(found["choptank-discharge"]) == 4383
    assert found["choptank-nitrate"].below_detection.tolist() == [False, True, False, False, False, False, True]


def test_probes_keep_values_and_flags(shared_data):
    found = tables(probes, shared_data)
    narbonne = found["smosmania-narbonne"]
    assert (narbonne.soil_moisture[0], set(narbonne.flag)) == (0.214, {"U", "D05"})
    assert (found["cosmos-arm-1"].flag == "G").sum() == 6514


def test_the_tower_is_in_universal_time(shared_data):
    found = tables(flux_towers, shared_data)["fr-pue-2012-05"]
    assert (len(found), found.time[0]) == (1488, pd.Timestamp("2012-04-30T23:00Z"))
    raw = pd.read_csv(shared_data / "flux_fr_pue" / "FR_Pue_May_2012.csv")
    np.testing.assert_allclose(found.LE, raw.LE)
    assert int(found.Rn.isna().sum()) == 4


def test_weather_without_a_place_has_rows_without_geometry(shared_data):
    found = tables(weather, shared_data)["coagmet-hyk02-2020"]
    assert (len(found), bool(found.geometry.isna().all()), found.et_asce0[0]) == (366, True, 1.2)


def test_the_scene_is_the_same_as_its_geotiff_with_the_offset_in_the_metadata(shared_data):
    (source,) = opened(river_scene, shared_data)
    (shot,) = source.shots
    with rasterio.open(shared_data / "s2_water_amazon" / "sen2_rstoolbox_L2A.tif") as file:
        expected, transform = file.read(), file.transform
    found = np.stack([layer.pixels for layer in shot.layers])
    np.testing.assert_allclose(found * 1e-4, expected, atol=1e-7)
    np.testing.assert_allclose(shot.grid.transform, tuple(transform)[:6])
    kinds = {layer.kind.common_name: (layer.kind.scale, layer.kind.offset) for layer in shot.layers}
    assert set(kinds.values()) == {(0.0001, -0.1)}
    assert {"coastal", "nir09", "swir16"} <= set(kinds)


def test_another_r_file_is_refused(shared_data, tmp_path):
    with pytest.raises(SetupError, match="is no raster in EPSG:4326 as terra packs it"):
        river_scene.read_packed(shared_data / "landsat5_thermal" / "lsat.rds")
