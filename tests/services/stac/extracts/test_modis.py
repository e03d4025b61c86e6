"""The MODIS series at ten sites, as they are stored."""

import numpy as np
import pandas as pd

from earthlab.services.stac.extracts import modis


def test_ten_sites_have_all_their_composites(shared_data):
    (source,) = modis.open_sources(shared_data / modis.SAMPLE)
    (shot,) = source.shots
    (sheet,) = shot.sheets
    frame = sheet.frame
    assert dict(frame.groupby("site").size()) == dict.fromkeys(sorted(set(frame["site"])), 422)
    assert frame["site"].nunique() == 10
    assert frame["time"].min() == pd.Timestamp("2000-02-18", tz="UTC")
    assert (frame["time"].max() - frame["time"].min()).days == 17692 - 11005
    assert set(frame["quality"].dropna()) == {0, 1, 2, 3}
    assert source.collection.extra_fields["earthlab:simulated"] is False


def test_values_have_their_scale_and_places(shared_data):
    frame = modis.read_sites(shared_data / modis.SAMPLE / "MOD13A1.rda")
    assert -0.2 <= frame["ndvi"].min() < frame["ndvi"].max() <= 1
    np.testing.assert_allclose((frame["ndvi"].dropna() * 1e4).round() / 1e4, frame["ndvi"].dropna(), atol=1e-12)
    first = frame[frame["site"] == "AT-Neu"].iloc[0]
    assert (first.geometry.x, first.geometry.y, first["land"]) == (11.3175, 47.1167, "GRA")
