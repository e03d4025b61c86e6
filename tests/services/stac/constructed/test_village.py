"""The simulated village in the catalogue: marked as simulated, the rendered pixels, and what was lost."""

from datetime import date

import numpy as np
import pytest

from earthlab.errors import BadRequest
from earthlab.samples.simulated.village import AFTER, BEFORE, ROOF_LOST, TREES_LOST, VILLAGE_BANDS, render_village
from earthlab.services.stac.constructed import village


def test_everything_says_that_it_is_simulated_and_what_is_true():
    source = village.open_source()
    shots = list(source.shots)
    assert len(shots) == source.count == 2
    assert source.collection.title.startswith("SIMULÉ")
    assert source.collection.extra_fields["earthlab:simulated"] is True
    for shot, day in zip(shots, (BEFORE, AFTER), strict=True):
        assert shot.properties["title"].startswith("SIMULÉ")
        layers = {layer.kind.name: layer.pixels for layer in shot.layers}
        scene = render_village(day)
        assert all((layers[band] == scene.counts[band]).all() for band in VILLAGE_BANDS)
        assert (layers["lost"] == scene.lost).all()


def test_nothing_is_lost_before_and_roofs_and_trees_after():
    assert not render_village(BEFORE).lost.any()
    after = render_village(AFTER)
    assert set(np.unique(after.lost)) == {0, ROOF_LOST, TREES_LOST}
    assert 0.05 < (after.lost > 0).mean() < 0.15
    before = render_village(BEFORE).counts["red"].astype(float)
    same = np.roll(after.lost, (1, 1), (0, 1)) == 0
    assert np.corrcoef(before[same], after.counts["red"][same])[0, 1] > 0.7


def test_a_day_without_a_scene_is_refused():
    with pytest.raises(BadRequest, match="no scene of 2024-01-01"):
        render_village(date(2024, 1, 1))
