"""St Leonards as collections: pixels as in the files, transects of two kinds, masks."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio

from earthlab.services.stac.extracts.st_leonards import EXTRACT, SAMPLE, open_sources


@pytest.fixture(scope="module")
def sources(shared_data):
    return {source.collection.id: (source, list(source.shots)) for source in open_sources(shared_data / SAMPLE)}


def test_there_are_six_surveys_one_table_of_transects_and_one_of_masks(sources):
    assert tuple(sources) == EXTRACT.collections
    assert [(source.count, len(shots)) for source, shots in sources.values()] == [(6, 6), (1, 1), (1, 1)]
    for source, _ in sources.values():
        assert source.collection.license == "MIT"
        assert source.collection.extra_fields["earthlab:simulated"] is False


def test_pixels_and_grids_are_those_of_the_files(sources, shared_data):
    for shot in sources["odatis-st-leonards-dsm"][1]:
        name = f"leo_{shot.moment:%Y%m%d}_dsm_resampled_1m.tif"
        with rasterio.open(shared_data / SAMPLE / "dsm_1m" / name) as file:
            np.testing.assert_array_equal(shot.layers[0].pixels, file.read(1))
            assert shot.grid.transform == tuple(file.transform)[:6]
        assert shot.grid.code == "EPSG:32755"
        assert (shot.layers[0].kind.unit, shot.layers[0].kind.nodata) == ("m", -10000)


def test_transects_of_the_beach_and_of_calibration_keep_their_names(sources, shared_data):
    frame = sources["odatis-st-leonards-transects"][1][0].sheets[0].frame
    assert frame.kind.value_counts().to_dict() == {"transect": 59, "calibration": 7}
    known = gpd.read_file(shared_data / SAMPLE / "lod_transects" / "leo_lod_transects.gpkg")
    mine = frame[frame.kind == "calibration"]
    assert mine.tr_id.tolist() == known.tr_id.tolist()
    assert mine.geometry.reset_index(drop=True).geom_equals_exact(known.geometry, 0).all()


def test_masks_are_those_of_this_beach_by_survey(sources):
    frame = sources["odatis-st-leonards-masks"][1][0].sheets[0].frame
    water = frame[frame.kind == "water"]
    assert sorted(water.survey) == [
        "2018-06-06", "2018-07-13", "2018-09-20", "2019-02-11", "2019-03-28", "2019-07-31"
    ]  # fmt: skip
    assert frame[frame.kind == "shore"].survey.isna().tolist() == [True]
