"""CNES's pair of elevation models as collections: the sample's own values, the copy marked as made."""

import numpy as np
import pandas as pd
import pytest
import rasterio

from earthlab.services.stac.extracts import dem_pair


@pytest.fixture(scope="module")
def sources(shared_data):
    found = dem_pair.open_sources(shared_data / dem_pair.SAMPLE)
    return {source.collection.id: (source, list(source.shots)) for source in found}


def test_the_collections_are_those_announced_and_the_copy_is_called_simulated(sources):
    assert tuple(sources) == dem_pair.EXTRACT.collections
    assert all(source.count == len(shots) == 1 for source, shots in sources.values())
    flags = [source.collection.extra_fields["earthlab:simulated"] for source, _ in sources.values()]
    assert flags == [False, True, False]
    assert sources[dem_pair.SHIFTED][0].collection.title.startswith("SIMULÉ – ")
    assert {source.collection.license for source, _ in sources.values()} == {"Apache-2.0"}


@pytest.mark.parametrize(
    ("name", "file"),
    [(dem_pair.REFERENCE, "srtm_ref.tif"), (dem_pair.SHIFTED, "srtm_blurred_and_shifted.tif")],
)
def test_heights_are_the_files_own(sources, shared_data, name, file):
    (shot,) = sources[name][1]
    with rasterio.open(shared_data / dem_pair.SAMPLE / "input" / file) as source:
        np.testing.assert_array_equal(shot.layers[0].pixels, source.read(1))
        assert shot.grid.transform == tuple(source.transform)[:6]


def test_the_table_keeps_its_numbers_under_names_without_codes(sources, shared_data):
    (shot,) = sources[dem_pair.TABLE][1]
    told = pd.read_csv(shared_data / dem_pair.SAMPLE / "ref_output/stats/alti-diff/Slope0/stats_results.csv")
    frame = shot.sheets[0].frame
    np.testing.assert_array_equal(frame[["nmad", "nbpts", "std"]], told[["nmad", "nbpts", "std"]])
    assert list(frame["lower"]) == [0, 5, 10, 25, 45]
    assert frame["slope_class"].iloc[-1] == "[45%;inf["
