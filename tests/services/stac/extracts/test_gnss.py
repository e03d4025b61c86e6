"""GNSS stations as tables: the files' own positions, in millimetres, east and north where they belong."""

import pandas as pd
import pytest

from earthlab.services.stac.extracts import gnss


@pytest.fixture(scope="module")
def stations(shared_data):
    sources = gnss.open_sources(shared_data / gnss.SAMPLE)
    return {shot.id: (shot, shot.sheets[0].frame) for source in sources for shot in source.shots}


def test_there_is_an_item_a_station(stations, shared_data):
    sources = gnss.open_sources(shared_data / gnss.SAMPLE)
    assert [source.collection.id for source in sources] == list(gnss.EXTRACT.collections)
    assert [source.count for source in sources] == [2, 4]
    assert {name.rsplit("-", 1)[1] for name in stations} == {"lhas", "p156", "usud", "g001", "j089", "z101"}
    assert {name: len(frame) for name, (_, frame) in stations.items()}["formater-gnss-stations-lhas"] == 3631


def test_lhasas_positions_are_the_fractions_of_metres_of_its_file(stations):
    shot, frame = stations["formater-gnss-stations-lhas"]
    first = frame.iloc[0]
    assert first.time == pd.Timestamp("1995-05-19", tz="UTC")
    assert [first.east, first.north, first.up] == pytest.approx([888.603, 602.585, 707.878])
    assert [first.sigma_east, first.sigma_north, first.sigma_up] == pytest.approx([2.231, 1.932, 8.643])
    assert (first.geometry.x, first.geometry.y) == (91.1039857, 29.6573392)
    assert shot.sheets[0].units == dict.fromkeys(["east", "north", "up", "sigma_east", "sigma_north", "sigma_up"], "mm")


def test_the_pbo_stations_north_and_east_are_not_exchanged(stations):
    _, frame = stations["formater-gnss-stations-p156"]
    first = frame.iloc[0]
    assert first.time == pd.Timestamp("2006-06-08T12:00", tz="UTC")
    assert [first.north, first.east, first.up] == pytest.approx([-122.80, 62.65, 2.76])
    assert [first.sigma_north, first.sigma_east, first.sigma_up] == pytest.approx([3.12, 2.46, 11.22])


def test_at_usuda_the_earthquake_of_2011_moved_the_ground_east(stations):
    shot, frame = stations["formater-gnss-geonet-usud"]
    days = frame.set_index(frame.time.dt.strftime("%Y-%m-%d"))
    jump = days.loc["2011-03-12", ["east", "north"]] - days.loc["2011-03-10", ["east", "north"]]
    assert jump.east == pytest.approx(223.26)
    assert jump.north == pytest.approx(56.35)
    assert list(shot.sheets[0].units) == ["east", "north", "up"]
    assert frame.geometry.isna().all()
    assert (shot.moment.date().isoformat(), shot.ends.date().isoformat()) == ("2005-07-29", "2016-12-31")
