"""Truc Vert as collections: the rows of the teams' files, and the lines."""

import csv
import shutil

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from earthlab.errors import SetupError
from earthlab.services.stac.extracts.truc_vert import EXTRACT, SAMPLE, open_sources


@pytest.fixture(scope="module")
def sources(shared_data):
    return {source.collection.id: (source, list(source.shots)) for source in open_sources(shared_data / SAMPLE)}


def table(sources, at: int) -> gpd.GeoDataFrame:
    return sources["odatis-truc-vert-shorelines"][1][at].sheets[0].frame


def test_there_is_an_item_an_algorithm_and_one_of_lines(sources):
    assert tuple(sources) == EXTRACT.collections
    assert {name: (source.count, len(shots)) for name, (source, shots) in sources.items()} == {
        "odatis-truc-vert-shorelines": (4, 4),
        "odatis-truc-vert-lines": (1, 1),
    }
    for source, _ in sources.values():
        assert source.collection.license == "other"
        assert "10.1038/s43247-023-01001-2" in source.collection.extra_fields["sci:citation"]


@pytest.mark.parametrize(("at", "team", "rows"), [(0, "CoastSat", 2420), (1, "SHOREX", 2696), (2, "CASSIE", 1072)])
def test_rows_are_those_of_the_files(sources, shared_data, at, team, rows):
    frame = table(sources, at)
    assert len(frame) == rows
    assert set(frame.algorithm) == {team}
    path = shared_data / SAMPLE / team / "tidally_corrected_timeseries_MSL" / "-200_timeseries_tidally_corrected.csv"
    with path.open(newline="") as file:
        lines = list(csv.reader(file))[1:]
    mine = frame[frame.transect == "-200"]
    assert mine.time.tolist() == [pd.Timestamp(line[0]) for line in lines]
    np.testing.assert_array_equal(mine.corrected, [float(line[1] or "nan") for line in lines])


def test_files_with_lines_in_quotation_marks_are_read(sources):
    first = table(sources, 2).query("transect == '-100'").iloc[0]
    assert (first.raw, first.satellite) == (95.28057, "L")
    assert np.isnan(first.corrected)


def test_positions_at_high_tide_are_one_a_year_and_not_corrected(sources):
    frame = table(sources, 3)
    assert set(frame.algorithm) == {"HighTide-SDS"}
    assert frame.groupby("transect").size().to_dict() == dict.fromkeys(("-100", "-200", "-300", "-400"), 38)
    assert frame.corrected.isna().all()
    assert frame.query("transect == '-100'").raw.iloc[0] == pytest.approx(44.89543305214714)


def test_units_places_and_periods_are_stated(sources):
    shot = sources["odatis-truc-vert-shorelines"][1][0]
    assert shot.sheets[0].units == {"raw": "m", "corrected": "m"}
    assert (f"{shot.moment:%Y-%m-%d}", f"{shot.ends:%Y-%m-%d}") == ("1984-05-07", "2021-11-12")
    west, south, east, north = shot.sheets[0].frame.total_bounds
    assert -1.3 < west < east < -1.2
    assert 44.6 < south < north < 44.8


def test_lines_are_the_transects_and_the_reference(sources, shared_data):
    frame = sources["odatis-truc-vert-lines"][1][0].sheets[0].frame
    assert frame.kind.value_counts().to_dict() == {"transect": 176, "reference": 1}
    known = gpd.read_file(shared_data / SAMPLE / "TRUCVERT_transects.geojson")
    assert frame.geometry.iloc[:176].geom_equals_exact(known.geometry, 1e-12).all()


def test_corrections_of_other_dates_are_refused(shared_data, tmp_path):
    shutil.copytree(shared_data / SAMPLE, tmp_path / "copy")
    path = tmp_path / "copy/CoastSat/raw_timeseries/-400_timeseries_raw.csv"
    path.chmod(0o644)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(SetupError, match="has other dates than the positions it corrects"):
        list(open_sources(tmp_path / "copy")[0].shots)
