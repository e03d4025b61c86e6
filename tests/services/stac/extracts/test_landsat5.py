"""The Landsat 5 scene: counts as the sample has them, gains from the limits of radiance."""

import pytest
import rasterio

from earthlab.errors import SetupError
from earthlab.services.stac.extracts import landsat5


def test_counts_are_those_of_the_sample_and_gains_those_of_the_limits(shared_data):
    (source,) = landsat5.open_sources(shared_data / landsat5.SAMPLE)
    (shot,) = source.shots
    assert [layer.kind.name for layer in shot.layers] == list(landsat5.BANDS)
    folder = shared_data / landsat5.SAMPLE / "landsat"
    for layer in shot.layers:
        with rasterio.open(folder / f"{landsat5.SCENE}_{layer.kind.name}.TIF") as file:
            assert (layer.pixels == file.read(1)).all()
    thermal = shot.layers[5].kind
    assert thermal.scale == pytest.approx((15.303 - 1.238) / 254)
    assert thermal.scale * 1 + thermal.offset == pytest.approx(1.238)
    assert thermal.scale * 255 + thermal.offset == pytest.approx(15.303)
    assert source.collection.license == "LicenseRef-USGS-Landsat-Data-Policy"


def test_metadata_without_a_gain_are_refused():
    with pytest.raises(SetupError, match="no gain of band B6"):
        landsat5.read_gain("RADIANCE_MAXIMUM_BAND_6 = 15.3", "B6")
