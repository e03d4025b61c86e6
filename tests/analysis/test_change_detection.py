"""Object-based change: planted roofs that go, another light, holes, and chance that stays at its level."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from earthlab.analysis.change_detection import object_changes, segment
from earthlab.errors import BadRequest


def image(values, **attrs):
    size = values.shape[-1]
    coords = {"y": 8_000.0 - np.arange(values.shape[-2]), "x": 500.0 + np.arange(size)}
    names = ("red", "green", "nir")
    return xr.Dataset({name: (("y", "x"), layer, attrs) for name, layer in zip(names, values, strict=False)}, coords)


def village(seed=0, size=96, changed=True):
    """Two dates of grass with 16 roofs of 8 by 8 pixels, of which 5 go; and the truth."""
    generator = np.random.default_rng(seed)
    ground = np.stack([np.full((size, size), level) for level in (0.08, 0.10, 0.35)])
    roof, soil = np.array([0.30, 0.25, 0.28]), np.array([0.22, 0.16, 0.24])
    places = [(row, column) for row in range(8, size - 8, 24) for column in range(8, size - 8, 24)]
    for row, column in places:
        ground[:, row : row + 8, column : column + 8] = roof[:, None, None]
    later, truth = ground.copy(), np.zeros((size, size), bool)
    gone = generator.choice(len(places), 5, replace=False) if changed else []
    for row, column in (places[at] for at in gone):
        later[:, row : row + 8, column : column + 8] = soil[:, None, None]
        truth[row : row + 8, column : column + 8] = True
    noise = generator.normal(0, 0.012, (2, *ground.shape))
    return image(ground + noise[0]), image(later * 1.05 + 0.01 + noise[1]), truth


def test_planted_changes_are_found_whatever_the_light():
    before, after, truth = village()
    objects = segment(before, after, area=30.0)
    maps, table = object_changes(before, after, objects)
    found = maps.change.values == 1
    assert (found & truth).sum() / truth.sum() > 0.95
    assert (found & truth).sum() / found.sum() > 0.9
    assert table["area"].sum() == pytest.approx(96 * 96)
    assert table.loc[table["changed"], "area"].sum() == pytest.approx(found.sum())
    assert set(table.columns) == {"area", "score", "changed", "red", "green", "nir"}
    assert maps.change.dtype == "uint8"
    assert maps.score.attrs["units"] == "1"


def test_the_area_of_planted_changes_is_unbiased_over_many_scenes():
    shares = []
    for seed in range(30):
        before, after, truth = village(seed)
        maps, _ = object_changes(before, after, segment(before, after, area=30.0))
        shares.append((maps.change.values == 1).sum() / truth.sum())
    assert np.mean(shares) == pytest.approx(1, abs=0.1)


def test_where_nothing_changed_few_objects_say_so():
    false = []
    for seed in range(20):
        before, after, _ = village(seed, size=72, changed=False)
        _, table = object_changes(before, after, segment(before, after, area=30.0), level=0.99)
        false.append(table["changed"].mean())
    assert np.mean(false) < 0.05


def test_what_is_unknown_on_either_date_belongs_to_no_object():
    before, after, _ = village()
    before["red"][:10, :20] = np.nan
    after["nir"][40:45] = np.nan
    objects = segment(before, after, area=30.0)
    assert (objects[:10, :20] == 0).all()
    assert (objects[40:45] == 0).all()
    maps, table = object_changes(before.astype("float32"), after.chunk(y=30), objects)
    assert (maps.change[:10, :20] == 255).all()
    assert np.isnan(maps.score[42, 50])
    assert 0 not in table.index


def test_bands_may_be_chosen():
    before, after, _ = village()
    _, table = object_changes(before, after, segment(before, after, bands=["red"], area=30.0), bands=["red", "nir"])
    assert "green" not in table


BEFORE, AFTER, _TRUTH = village(size=72)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: segment(BEFORE, AFTER, bands=["blue"]), "no band blue on both dates"),
        (lambda: segment(BEFORE.red, AFTER.red), "two Datasets"),
        (lambda: segment(BEFORE, AFTER[["red"]].rename(red="blue")), "no band at all"),
        (lambda: segment(BEFORE, AFTER.isel(x=slice(0, 20))), "pixels along 'x'"),
        (lambda: segment(BEFORE, AFTER, area=0), "more than 0 of both"),
        (lambda: segment(BEFORE * np.nan, AFTER), "0 pixels known"),
        (lambda: segment(BEFORE.expand_dims(time=2), AFTER.expand_dims(time=2)), "expected y and x"),
        (lambda: object_changes(BEFORE, AFTER, segment(BEFORE, AFTER), level=99), "between 0 and 1"),
        (lambda: object_changes(BEFORE, AFTER, segment(BEFORE, AFTER, area=900.0)), "expected 20 or more"),
        (lambda: object_changes(BEFORE, AFTER, segment(BEFORE, AFTER)[1:]), "pixels along 'y'"),
        (
            lambda: segment(
                *(one.assign_coords(x=one.x.assign_attrs(units="degrees_east")) for one in (BEFORE, AFTER))
            ),
            "expected metres",
        ),
    ],
)
def test_images_that_cannot_be_compared_are_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_two_pictures_that_differ_by_light_alone_show_no_change():
    before, _, _ = village()
    for after in (before, before * 1.2 + 0.01, before.astype("float32")):
        _, table = object_changes(before, after, segment(before, after, area=30.0))
        assert not table["changed"].any()
    still = before.assign(flat=before.red * 0 + 1)
    gone = still.copy(deep=True)
    gone["red"][20:40, 20:40] += 0.2
    objects = segment(still, gone, area=30.0)
    maps, table = object_changes(still, gone, objects)
    assert 300 < (maps.change[18:42, 18:42] == 1).sum() < 600
    assert table["changed"].mean() < 0.2


def test_axes_holes_and_bands_may_come_as_files_have_them():
    before, after, _ = village()
    objects = segment(before, after, area=30.0)
    expected = object_changes(before, after, objects)[1]
    turned = [one.transpose("x", "y") for one in (before, after, objects)]
    pd.testing.assert_frame_equal(object_changes(*turned)[1], expected)
    files = [one.expand_dims(band=[1]) for one in (before, after, objects)]
    pd.testing.assert_frame_equal(object_changes(*files)[1], expected)
    pd.testing.assert_frame_equal(
        object_changes(before, after, objects.astype("float32").where(objects > 0))[1], expected
    )
    np.testing.assert_array_equal(segment(before, after, bands="red"), segment(before, after, bands=["red"]))
    stored = [(one * 10_000).round().astype("int16") for one in (before, after)]
    for one in stored:
        one["red"][:5] = -1
        one["red"].attrs["_FillValue"] = -1
    assert (segment(*stored, area=30.0)[:5] == 0).all()
