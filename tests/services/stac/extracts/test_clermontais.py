"""The tables of the Clermontais are those of the sample."""

import geopandas as gpd
import pytest

from earthlab.services.stac.extracts.clermontais import EXTRACT, SAMPLE


@pytest.fixture(scope="module")
def sources(shared_data):
    return EXTRACT.open_sources(shared_data / SAMPLE)


@pytest.mark.parametrize(
    ("at", "file", "rows"),
    [
        (0, "CLC/CLC12_D034_RGF_clipped.gpkg", 733),
        (1, "BDROUTE/bdroute_troncon_route_20121123_herault_clipped.gpkg", 1101),
        (2, "ZoneEtude/EPCIClermontaisCommunes.shp", 20),
    ],
)
def test_a_table_has_the_rows_columns_and_shapes_of_its_file(sources, shared_data, at, file, rows):
    (shot,) = EXTRACT.open_sources(shared_data / SAMPLE)[at].shots
    (sheet,) = shot.sheets
    original = gpd.read_file(shared_data / SAMPLE / "Clermontais" / file)
    assert len(sheet.frame) == rows == len(original)
    assert list(sheet.frame.columns) == list(original.columns)
    assert sheet.frame.geometry.geom_equals(original.geometry.set_crs(2154, allow_override=True)).all()
    assert sheet.frame.crs.to_epsg() == 2154
    assert set(sheet.units) <= set(original.columns)


def test_each_collection_is_real_and_names_its_producer_and_licence(sources):
    assert [source.collection.id for source in sources] == list(EXTRACT.collections)
    assert [source.collection.license for source in sources] == ["other", "etalab-2.0", "etalab-2.0"]
    for source in sources:
        assert source.collection.extra_fields["earthlab:simulated"] is False
        assert "FragScape" in source.collection.extra_fields["sci:citation"]


def test_footprints_lie_in_the_herault(shared_data):
    for source in EXTRACT.open_sources(shared_data / SAMPLE):
        for shot in source.shots:
            longitudes, latitudes = zip(*shot.footprint, strict=True)
            assert 3 < min(longitudes) < max(longitudes) < 4
            assert 43 < min(latitudes) < max(latitudes) < 44
