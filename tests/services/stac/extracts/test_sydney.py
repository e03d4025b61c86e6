"""The interferograms of Sydney as collections: the sample's own values, and the two dates of each."""

from datetime import datetime

import numpy as np
import pytest
import rasterio

from earthlab.errors import SetupError
from earthlab.services.stac.extracts import sydney


@pytest.fixture(scope="module")
def sources(shared_data):
    found = sydney.open_sources(shared_data / sydney.SAMPLE)
    return {source.collection.id: (source, list(source.shots)) for source in found}


def test_the_collections_have_the_items_they_announce(sources):
    assert tuple(sources) == sydney.EXTRACT.collections
    assert {name: len(shots) for name, (_, shots) in sources.items()} == {
        sydney.INTERFEROGRAMS: 17,
        sydney.SERIES: 12,
        sydney.RATE: 1,
    }
    assert all(source.count == len(shots) for source, shots in sources.values())
    assert all(source.collection.license == "Apache-2.0" for source, _ in sources.values())


def test_an_interferogram_lasts_from_its_first_date_to_its_second(sources):
    shots = {shot.id: shot for shot in sources[sydney.INTERFEROGRAMS][1]}
    shot = shots["formater-insar-sydney-20061002-20070219"]
    assert [shot.moment, shot.ends] == [datetime.fromisoformat(f"{day}T00:00Z") for day in ("2006-10-02", "2007-02-19")]


def test_phase_is_the_files_own_with_its_zeros_as_no_value(sources, shared_data):
    shot = next(shot for shot in sources[sydney.INTERFEROGRAMS][1] if shot.id.endswith("20060619-20061002"))
    with rasterio.open(shared_data / sydney.SAMPLE / "small_test" / "tif" / "geo_060619-061002_unw.tif") as source:
        stored = source.read(1, masked=True)
        assert tuple(source.transform)[:6] == shot.grid.transform
    unwrapped, corrected = (layer.pixels for layer in shot.layers)
    np.testing.assert_array_equal(unwrapped, stored.filled(np.nan))
    np.testing.assert_array_equal(np.isnan(unwrapped), np.isnan(corrected))
    assert [layer.kind.unit for layer in shot.layers] == ["rad", "mm"]


def test_reference_series_and_rate_are_those_of_the_sample(sources, shared_data):
    folder = shared_data / sydney.SAMPLE / "small_test"
    series = np.array([[layer.pixels for layer in shot.layers] for shot in sources[sydney.SERIES][1]])
    assert np.isfinite(series[:, 0]).sum() == 32190
    np.testing.assert_array_equal(
        series[:, 1], np.moveaxis(np.load(folder / "linrate" / "tscuml_0.npy"), -1, 0).astype("f4")
    )
    (rate,) = sources[sydney.RATE][1]
    np.testing.assert_array_equal(rate.layers[0].pixels, np.load(folder / "linrate" / "linear_rate.npy"))
    assert [layer.kind.name for layer in rate.layers] == list(sydney.RATES)


def test_a_sample_without_interferograms_is_refused(tmp_path):
    with pytest.raises(SetupError, match=r"has no interferograms geo_\*_unw.tif"):
        sydney.open_sources(tmp_path)
