"""The rasters that FRAGSTATS measured, unchanged; the constructed one is called so."""

import numpy as np

from earthlab.services.stac.extracts.fragstats import EXTRACT, SAMPLE


def test_the_real_raster_has_the_pixels_and_the_grid_of_the_sample(shared_data):
    real, _ = EXTRACT.open_sources(shared_data / SAMPLE)
    (shot,) = real.shots
    pixels = shot.layers[0].pixels
    assert pixels.shape == shot.grid.shape == (440, 678)
    classes, counts = np.unique(pixels, return_counts=True)
    assert classes.tolist() == [11, 21, 22, 23, 24, 31, 41, 42, 43, 52, 71, 81, 82, 90, 95]
    assert counts[7] * 0.09 == 9991.26  # hectares of class 42 in FRAGSTATS's own table
    assert shot.grid.bounds == (1249665, 1246815, 1270005, 1260015)
    assert real.collection.extra_fields["earthlab:simulated"] is False


def test_the_neutral_landscape_is_called_constructed_and_has_every_pixel(shared_data):
    _, neutral = EXTRACT.open_sources(shared_data / SAMPLE)
    (shot,) = neutral.shots
    frame = shot.sheets[0].frame
    values = np.loadtxt(shared_data / SAMPLE / "landscape_30x30.csv", delimiter=",")
    np.testing.assert_array_equal(frame.pivot(index="row", columns="column", values="class"), values)
    assert neutral.collection.title.startswith("SIMULÉ – ")
    assert neutral.collection.extra_fields["earthlab:simulated"] is True
