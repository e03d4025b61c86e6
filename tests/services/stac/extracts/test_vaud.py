"""CORINE of Vaud as the sample has it, two grids told apart."""

import rasterio

from earthlab.services.stac.extracts import vaud


def test_maps_are_those_of_the_sample_and_only_250_m_has_one_grid(shared_data):
    sources = vaud.open_sources(shared_data / vaud.SAMPLE)
    assert [source.collection.id for source in sources] == list(vaud.EXTRACT.collections)
    grids = {}
    for metres, source in zip(vaud.COLLECTIONS, sources, strict=True):
        shots = list(source.shots)
        assert len(shots) == source.count == 2
        grids[metres] = {shot.grid.transform for shot in shots}
        for shot, year in zip(shots, vaud.YEARS, strict=True):
            with rasterio.open(shared_data / vaud.SAMPLE / f"ls{metres}_{year % 100:02d}.tif") as file:
                assert (shot.layers[0].pixels == file.read(1)).all()
            assert shot.moment.year == shot.ends.year == year
        assert source.collection.license == "other"
        assert source.collection.extra_fields["earthlab:simulated"] is False
    assert {metres: len(found) for metres, found in grids.items()} == {250: 1, 100: 2}


def test_the_classes_are_named():
    assert vaud.KIND.classes[24] == ("clc_312", "Forêts de conifères / Coniferous forest")
    assert len(vaud.KIND.classes) == 44
