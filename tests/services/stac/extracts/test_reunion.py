"""Piton de la Fournaise as collections: the sample's own values, and an invented flow whose truth is known."""

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr

from earthlab.analysis.coregistration import coregister, shifted
from earthlab.services.stac.extracts import reunion


@pytest.fixture(scope="module")
def sources(shared_data):
    found = reunion.open_sources(shared_data / reunion.SAMPLE)
    return {source.collection.id: (source, list(source.shots)) for source in found}


def test_the_collections_have_the_items_they_announce_and_say_what_is_invented(sources):
    assert tuple(sources) == reunion.EXTRACT.collections
    assert [len(shots) for _, shots in sources.values()] == [1, 1, 1, 1, 3]
    assert all(source.count == len(shots) for source, shots in sources.values())
    simulated = {name: source.collection.extra_fields["earthlab:simulated"] for name, (source, _) in sources.items()}
    assert [name for name, is_so in simulated.items() if is_so] == [reunion.FLOW]
    assert sources[reunion.FLOW][0].collection.title.startswith("SIMULÉ – ")


def test_heights_and_paths_are_the_files_own(sources, shared_data):
    folder = shared_data / reunion.SAMPLE
    ((ground,), (paths,)) = (sources[name][1] for name in (reunion.GROUND, reunion.PATHS))
    with rasterio.open(folder / "srtm_48_17_utm.asc") as file:
        np.testing.assert_array_equal(ground.layers[0].pixels, file.read(1, masked=True).astype("f4").filled(np.nan))
    with rasterio.open(folder / "outputs/vent_1/sim_vent_1.tif") as file:
        np.testing.assert_array_equal(paths.layers[0].pixels, file.read(1))
        assert paths.grid.transform == tuple(file.transform)[:6]
    assert int((paths.layers[0].pixels > 0).sum()) == 427


def test_profile_and_runouts_keep_every_row_and_number(sources, shared_data):
    folder = shared_data / reunion.SAMPLE / "outputs/vent_1"
    ((profile,), (runouts,)) = (sources[name][1] for name in (reunion.PROFILE, reunion.RUNOUTS))
    told = pd.read_csv(folder / "map/losd_vent_1_profile_00000.txt", sep="\t")
    frame = profile.sheets[0].frame
    np.testing.assert_array_equal(frame[["x", "y", "height", "distance", "slope"]], told)
    assert profile.sheets[0].units["slope"] == "degree"
    told = pd.read_csv(folder / "results_flowgo/run_outs_vent_1.csv")
    np.testing.assert_array_equal(runouts.sheets[0].frame["distance_run_out"], told["Distance_run_out"])


def test_the_invented_flow_has_the_shift_and_the_thickness_it_says(sources):
    before, after, truth = (shot.layers[0].pixels for shot in sources[reunion.FLOW][1])
    grid = sources[reunion.FLOW][1][0].grid
    rows, columns = (np.arange(size) * 20.0 for size in before.shape)
    axes = {"y": grid.transform[5] - 10 - rows, "x": grid.transform[2] + 10 + columns}
    first, second, lava = (xr.DataArray(values, dims=("y", "x"), coords=axes) for values in (before, after, truth))
    still = lava.rolling(y=9, x=9, center=True, min_periods=1).max() == 0
    found = coregister(first, second, stable=still)
    assert (found.east, found.north) == pytest.approx((-reunion.TRUE_SHIFT[0], -reunion.TRUE_SHIFT[1]), abs=0.5)
    assert found.up == pytest.approx(-reunion.TRUE_RISE, abs=0.2)
    laid = shifted(second, found, like=first)
    assert float((laid - first).where(lava > 8).median()) == pytest.approx(9, abs=1.0)
    assert float(lava.max()) == reunion.THICKNESS
