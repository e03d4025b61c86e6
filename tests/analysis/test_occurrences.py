"""Occurrences cleaned, counted and mapped: a real Darwin Core archive and small tables worked by hand."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from earthlab.analysis.occurrences import clean, community, grid_richness
from earthlab.cube.tables.darwin_core import read_zipped
from earthlab.cube.tables.selection import Selection
from earthlab.cube.tables.stated import Stated
from earthlab.errors import BadRequest


def table(**columns) -> pd.DataFrame:
    rows = max(len(values) for values in columns.values())
    whole = {
        "species": ["a"] * rows,
        "decimalLatitude": np.arange(1.0, rows + 1),
        "decimalLongitude": [3.0] * rows,
        "eventDate": ["2020-01-01"] * rows,
    }
    return pd.DataFrame(whole | columns)


def test_each_reason_drops_its_records_and_is_counted_once():
    found = clean(
        table(
            species=["a", None, " ", "b", "c", "d", "e", "f", "a"],
            decimalLatitude=[1, 1, 1, None, 0, 2, 3, 4, 1],
            issue=[
                None,
                None,
                None,
                None,
                None,
                "COORDINATE_ROUNDED;ZERO_COORDINATE",
                "COORDINATE_ROUNDED",
                None,
                None,
            ],
            coordinateUncertaintyInMeters=[10, 10, 10, 10, 10, 10, None, 10_001, 10],
        )
    )
    assert found.species.tolist() == ["a", "e"]
    assert found.attrs["dropped"] == {
        "species": 2,
        "coordinates": 1,
        "zero": 1,
        "issue": 1,
        "uncertainty": 1,
        "duplicate": 1,
    }


def test_lists_of_species_need_no_place_and_columns_may_have_other_names():
    rows = pd.DataFrame({"nom": ["a", "a", None], "flag": ["", "RECORD|BAD", ""]})
    found = clean(rows, species="nom", issue="flag", issues={"BAD"}, same=(), located=False)
    assert (len(found), found.attrs["dropped"]) == (1, {"species": 1, "issue": 1})


def test_the_points_of_a_geodataframe_serve_as_coordinates():
    points = gpd.GeoDataFrame({"species": ["a", "b", "c"]}, geometry=gpd.points_from_xy([1, 0, 2], [1, 5, 2]), crs=4326)
    points.loc[2, "geometry"] = None
    found = clean(points)
    assert found.species.tolist() == ["a"]
    assert (found.attrs["dropped"]["coordinates"], found.attrs["dropped"]["zero"]) == (1, 1)


def test_a_real_archive_loses_what_has_no_species_or_lies_at_zero(shared_data):
    with (shared_data / "gbif" / "0000066-140928181241064.zip").open("rb") as stream:
        records = read_zipped(stream, Selection(), Stated())
    assert (len(records), records.species.nunique()) == (470, 128)
    zero = records.issue.fillna("").str.contains("ZERO_COORDINATE")
    found = clean(records, same=["gbifID"], located=False)
    assert len(found) + sum(found.attrs["dropped"].values()) == 470
    assert not found.index.isin(records.index[zero]).any()
    located = clean(records, same=["gbifID"])
    assert (located.decimalLatitude.notna() & (located.decimalLatitude != 0)).all()


def test_a_community_counts_records_or_individuals():
    rows = pd.DataFrame({"site": ["s", "s", "t", None], "species": ["a", "a", "b", "b"], "count": [2, None, 5, 9]})
    records = community(rows, site="site")
    assert records.to_numpy().tolist() == [[2, 0], [0, 1]]
    assert community(rows, site="site", abundance="count").to_numpy().tolist() == [[3, 0], [0, 5]]
    assert (records.index.name, records.columns.name) == ("site", "species")


def test_a_map_counts_species_in_squares_aligned_to_their_side():
    points = gpd.GeoDataFrame(
        {"species": ["a", "a", "b", "a", None]},
        geometry=gpd.points_from_xy([10, 20, 99, -5, 5], [10, 20, 99, 10, 5]),
        crs=2154,
    )
    found = grid_richness(points, 100)
    by_left = found.assign(left=found.bounds.minx).set_index("left")
    assert by_left.records.to_dict() == {-100: 1, 0: 3}
    assert by_left.richness.to_dict() == {-100: 1, 0: 2}
    assert (found.chao1 >= found.richness).all()
    assert found.geometry.iloc[0].equals(shapely.box(-100, 0, 0, 100))
    assert found.crs == points.crs


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda: clean(table(species=["a"]).drop(columns="species")), "no column 'species'"),
        (lambda: clean(pd.DataFrame({"species": ["a"]})), "no column 'decimalLatitude'"),
        (lambda: community(table(species=["a"]), site="place"), "no column 'place'"),
        (lambda: grid_richness(gpd.GeoDataFrame({"species": ["a"]}, geometry=[shapely.Point(1, 1)]), 10), "in metres"),
        (
            lambda: grid_richness(gpd.GeoDataFrame({"species": ["a"]}, geometry=[shapely.Point(1, 1)], crs=4326), 10),
            "to_crs",
        ),
        (
            lambda: grid_richness(gpd.GeoDataFrame({"species": ["a"]}, geometry=[shapely.Point(1, 1)], crs=2154), 0),
            "positive number of metres",
        ),
    ],
)
def test_bad_input_ends_in_a_sentence(refused, words):
    with pytest.raises(BadRequest, match=words):
        refused()


def test_columns_with_other_names_keep_their_species_and_places_apart():
    rows = pd.DataFrame(
        {
            "nom_cite": ["a", "b", "a", "a"],
            "lat": ["43,6", "43,6", "44,1", "43,6"],
            "lon": [1.4] * 4,
            "eventDate": ["2020-01-01"] * 4,
        }
    )
    found = clean(rows, species="nom_cite", latitude="lat", longitude="lon")
    assert found.index.tolist() == [0, 1, 2]
    assert found.attrs["dropped"]["duplicate"] == 1
    points = gpd.GeoDataFrame({"species": ["a", "a", "a"]}, geometry=gpd.points_from_xy([1, 2, 1], [5, 5, 5]), crs=4326)
    assert clean(points).index.tolist() == [0, 1]


def test_absences_and_places_beyond_the_globe_are_no_occurrences():
    rows = table(
        species=["a", "b", "c"], occurrenceStatus=["PRESENT", "ABSENT", None], decimalLatitude=[43.0, 43.0, 4361.0]
    )
    found = clean(rows)
    assert found.species.tolist() == ["a"]
    assert (found.attrs["dropped"]["absent"], found.attrs["dropped"]["coordinates"]) == (1, 1)


def test_a_community_counts_no_absences_and_keeps_sites_where_nothing_was_found():
    rows = pd.DataFrame(
        {"plot": ["p", "p", "q"], "species": pd.Categorical(["a", "b", "b"], list("abc")), "n": ["2", None, "0"]}
    )
    found = community(rows, site="plot", abundance="n", species="species")
    assert found.to_dict("index") == {"p": {"a": 2.0, "b": 1.0}, "q": {"a": 0.0, "b": 0.0}}


SHAPES = gpd.GeoDataFrame({"species": ["a"]}, geometry=[shapely.box(0, 0, 9, 9)], crs=2154)


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (
            lambda: community(table(species=["a"] * 9, n=["ca. 10"] * 9), site="eventDate", abundance="n"),
            "such as 'ca. 10'",
        ),
        (lambda: community(table(species=["a"] * 9, n=[-1] * 9), site="eventDate", abundance="n"), "0 or more"),
        (lambda: grid_richness(table(species=["a"]), 100.0), "points_from_xy"),
        (lambda: grid_richness(SHAPES, 100.0), "found Polygon"),
        (lambda: grid_richness(SHAPES.to_crs(3857), 100.0), "no metres on the ground"),
    ],
)
def test_what_cannot_be_counted_is_refused(refused, words):
    with pytest.raises(BadRequest, match=words):
        refused()
