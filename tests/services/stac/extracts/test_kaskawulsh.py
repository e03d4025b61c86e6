"""Kaskawulsh Glacier: velocities and outlines as the sample has them."""

import geopandas as gpd
import pytest
import rasterio

from earthlab.services.stac.extracts import kaskawulsh


def test_velocities_and_outlines_are_those_of_the_sample(shared_data):
    velocity, outlines = kaskawulsh.open_sources(shared_data / kaskawulsh.SAMPLE)
    folder = shared_data / kaskawulsh.SAMPLE / "kaskawulsh"
    (shot,) = velocity.shots
    for layer in shot.layers:
        with rasterio.open(folder / f"20180304-20180405_velo-raw_{layer.kind.name}.tif") as file:
            assert (layer.pixels == file.read(1)).all()
        assert layer.kind.unit == "m d-1"
    assert (shot.ends - shot.moment).days == 32
    (shot,) = outlines.shots
    frame = shot.sheets[0].frame
    assert frame.kind.value_counts().to_dict() == {"bedrock": 9, "glacier": 1}
    rock = gpd.read_file(folder / "bedrock_V2.shp")
    assert frame[frame.kind == "bedrock"].area.sum() == pytest.approx(rock.area.sum())
    assert {velocity.collection.license, outlines.collection.license} == {"MIT"}
