"""The simulated snow in the catalogue: marked as simulated, the rendered pixels, the planted limit."""

import pytest

from earthlab.errors import BadRequest
from earthlab.samples import simulated
from earthlab.services.stac.constructed import mountain


def test_everything_says_that_it_is_simulated_and_what_is_true():
    source = mountain.open_source()
    shots = list(source.shots)
    assert len(shots) == source.count == len(simulated.SNOW_LIMITS)
    assert source.collection.title.startswith("SIMULÉ")
    assert source.collection.extra_fields["earthlab:simulated"] is True
    for shot, (day, limit) in zip(shots, simulated.SNOW_LIMITS.items(), strict=True):
        assert shot.properties["title"].startswith("SIMULÉ")
        assert shot.properties["earthlab:snow_limit"] == limit
        layers = {layer.kind.name: layer.pixels for layer in shot.layers}
        scene = simulated.render_mountain(day)
        for band, counts in scene.counts.items():
            assert (layers[band] == counts).all()
        assert (layers["DEM"] == scene.elevation).all()
        assert ((layers["DEM"] >= limit) == scene.snow).all()


def test_a_day_without_a_scene_is_refused():
    with pytest.raises(BadRequest, match="no scene of"):
        simulated.render_mountain(simulated.DATES[0])
