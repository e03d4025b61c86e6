"""Invented sectors say that they are."""

from earthlab.services.stac.constructed.coastal_sectors import SECTORS, UNITS, open_source


def test_everything_about_the_sectors_says_that_they_are_invented():
    source = open_source()
    (shot,) = source.shots
    assert source.count == 1
    assert source.collection.extra_fields["earthlab:simulated"] is True
    assert source.collection.title.startswith("SIMULÉ – ")
    assert source.collection.description.startswith("SIMULÉ")
    assert shot.properties["title"].startswith("SIMULÉ – ")


def test_each_column_has_six_values_and_each_indicator_a_unit():
    assert {len(values) for values in SECTORS.values()} == {6}
    assert set(UNITS) == set(SECTORS) - {"sector"}
    (shot,) = open_source().shots
    assert list(shot.sheets[0].frame["sector"]) == SECTORS["sector"]
