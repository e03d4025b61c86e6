"""The NDVI series as stored upstream, and the invented stand with its truth."""

import numpy as np
import pytest

from earthlab.errors import SetupError
from earthlab.samples.simulated import SPRUCE_DATES, planted_days, planted_kinds
from earthlab.services.stac.extracts import vegetation


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / vegetation.SAMPLE


@pytest.fixture(scope="module")
def sources(folder):
    found = vegetation.open_sources(folder)
    return {source.collection.id: (source, list(source.shots)) for source in found}


def layers(shot) -> dict[str, np.ndarray]:
    return {layer.kind.name: layer.pixels for layer in shot.layers}


def test_every_collection_is_listed_with_its_number_of_items(sources):
    assert tuple(sources) == vegetation.EXTRACT.collections
    assert {name: len(shots) for name, (source, shots) in sources.items()} == {
        name: source.count for name, (source, _) in sources.items()
    }
    assert [len(shots) for _, shots in sources.values()] == [68, 1, len(SPRUCE_DATES), 1]


def test_the_series_is_the_stored_one_pixel_for_pixel(folder, sources):
    shots = sources[vegetation.SERIES][1]
    for name, place in (("NDVI", "data"), ("CLP", "data"), ("CLM", "mask"), ("IS_VALID", "mask")):
        stored = np.load(folder / place / f"{name}.npy")[..., 0]
        ours = np.stack([layers(shot)[name] for shot in shots])
        np.testing.assert_array_equal(ours, stored)
    assert len({shot.id for shot in shots}) == 68
    assert shots[0].moment.isoformat() == "2015-07-11T10:00:08+00:00"


def test_what_upstream_computed_of_the_series_follows_from_it(sources):
    stacks = [layers(shot) for shot in sources[vegetation.SERIES][1]]
    summary = layers(sources[vegetation.SUMMARY][1][0])
    np.testing.assert_array_equal(np.max([stack["NDVI"] for stack in stacks], axis=0), summary["MAX_NDVI"])
    np.testing.assert_array_equal(np.sum([stack["IS_VALID"] for stack in stacks], axis=0), summary["VALID_COUNT"])


def test_the_grid_covers_the_stated_box(sources):
    grid = sources[vegetation.SERIES][1][0].grid
    assert grid.code == "EPSG:32633"
    np.testing.assert_allclose(grid.bounds, (465181.0522, 5079244.8912, 466180.5315, 5080254.6335), atol=1e-3)


def test_what_is_invented_says_so_and_what_is_real_too(sources):
    for name, (source, shots) in sources.items():
        invented = "dieback" in name
        assert source.collection.extra_fields["earthlab:simulated"] is invented
        assert source.collection.title.startswith("SIMULÉ – ") is invented
        assert all(shot.properties["title"].startswith("SIMULÉ – ") is invented for shot in shots)
        assert source.collection.license == ("CC0-1.0" if invented else "MIT")


def test_the_truth_is_what_was_planted(sources):
    truth = layers(sources[vegetation.SPRUCE_TRUTH][1][0])
    np.testing.assert_array_equal(truth["BEGINS"], planted_days())
    np.testing.assert_array_equal(truth["KIND"], planted_kinds())


def test_a_series_that_lacks_dates_is_refused(folder, tmp_path):
    for path in folder.rglob("*"):
        target = tmp_path / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy" and path.stem == "NDVI":
            np.save(target, np.load(path)[:9])
        elif path.is_file():
            target.symlink_to(path)
    with pytest.raises(SetupError, match="68 dates and holds NDVI 9"):
        list(vegetation.open_sources(tmp_path)[0].shots)
