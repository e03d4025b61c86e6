"""The pixel of bayts: two series with their dates, without a place."""

import numpy as np
import pandas as pd

from earthlab.services.stac.extracts import bolivia


def test_the_two_series_are_those_of_the_sample(shared_data):
    (source,) = bolivia.open_sources(shared_data / bolivia.SAMPLE)
    radar, optical = (shot.sheets[0].frame for shot in source.shots)
    assert (len(radar), len(optical), source.count) == (85, 57, 2)
    assert radar.time.iloc[0] == pd.Timestamp("2014-10-07", tz="UTC")
    assert optical.time.iloc[0] == pd.Timestamp("1970-01-01", tz="UTC") + pd.Timedelta(days=16298)
    assert radar.vv.isna().sum() == 12
    np.testing.assert_allclose(radar.vv.iloc[[0, -1]], [-7.746496, -9.44772254])
    np.testing.assert_allclose(optical.ndvi.iloc[[0, -1]], [0.8624, 0.3983])
    assert radar.geometry.isna().all()
    assert source.collection.license == "CC-BY-4.0"
