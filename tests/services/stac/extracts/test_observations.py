"""What tables of observations have in common: whose they are, that they are real, their places and periods."""

import pandas as pd
import pytest

from earthlab.services.stac.extracts import (
    argo,
    choptank,
    city_air,
    flux_towers,
    lakes,
    methane,
    probes,
    rephy,
    river_scene,
    rivers,
    somlit,
    weather,
)
from earthlab.services.stac.extracts.observations import observe, placed

MODULES = (
    argo, choptank, city_air, flux_towers, lakes, methane, probes, rephy, river_scene, rivers, somlit, weather
)  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.SAMPLE)
def test_each_says_what_it_is_whose_and_that_it_is_real(module, shared_data):
    sources = module.open_sources(shared_data / module.SAMPLE)
    assert tuple(source.collection.id for source in sources) == module.EXTRACT.collections
    for source in sources:
        shots = list(source.shots)
        assert (len(shots), source.collection.extra_fields["earthlab:simulated"]) == (source.count, False)
        assert source.collection.extra_fields["sci:citation"]
        assert source.collection.license
        assert all(shot.moment <= shot.ends for shot in shots)
        assert all(shot.footprint[0] == shot.footprint[-1] for shot in shots)


def test_a_point_a_row():
    found = placed(pd.DataFrame({"a": [1, 2]}), [1.0, 2.0], 45.0)
    assert found.geometry.x.tolist() == [1, 2]


def test_a_period_holds_its_rows_to_the_nanosecond():
    times = pd.to_datetime(["2020-01-01T00:00:00.000000001Z", "2020-01-02T00:00:00.000000001Z"])
    shot = observe("essai", "Essai", placed(pd.DataFrame({"time": times}), 3.0, 45.0), {})
    assert pd.Timestamp(shot.moment) <= times[0] < times[1] <= pd.Timestamp(shot.ends)
    assert (shot.moment.microsecond, shot.ends.microsecond) == (0, 1)
