"""Land cover: the worked example of Olofsson et al. 2014 to the hectare, planted changes, coverage of intervals."""

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from earthlab.analysis.land_cover import (
    assess,
    change_matrix,
    class_changes,
    draw_sample,
    error_matrix,
    find_nomenclature,
    outline_classes,
    plan_sample,
    regroup,
)
from earthlab.analysis.stratified import estimate
from earthlab.errors import BadRequest

SURVEY = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
MAPPED = [200_000, 150_000, 3_200_000, 6_450_000]


def cover(values, *, pixel=100.0, crs=32632, corner=(0.0, 0.0)) -> xr.DataArray:
    values = np.asarray(values)
    box = GeoBox(values.shape, Affine(pixel, 0, corner[0], 0, -pixel, corner[1]), crs)
    return wrap_xr(values, box)


def vaud(shared_data, name) -> xr.DataArray:
    with rasterio.open(shared_data / "landcover_change_vaud" / name) as source:
        across, _, west, _, down, north = tuple(source.transform)[:6]
        height, width = source.shape
        axes = {"y": north + down * (np.arange(height) + 0.5), "x": west + across * (np.arange(width) + 0.5)}
        return xr.DataArray(source.read(1), dims=("y", "x"), coords=axes)


def test_areas_of_the_published_example_to_the_hectare():
    found = assess(SURVEY, MAPPED, pixel_area=900).classes
    assert found.area.round().astype(int).tolist() == [21_158, 11_686, 285_770, 581_386]
    assert found.area_error.round().astype(int).tolist() == [6_158, 3_756, 15_510, 16_282]


def test_accuracies_of_the_published_example():
    found = assess(SURVEY, MAPPED, pixel_area=900)
    assert found.overall == pytest.approx(0.9465, abs=5e-5)
    assert found.overall_error == pytest.approx(0.0185, abs=5e-5)
    np.testing.assert_allclose(found.classes.user, [0.88, 0.733, 0.927, 0.963], atol=5e-4)
    np.testing.assert_allclose(found.classes.producer, [0.749, 0.847, 0.935, 0.962], atol=5e-4)
    np.testing.assert_allclose(found.classes.user_error, [0.07, 0.10, 0.04, 0.02], atol=5e-3)
    np.testing.assert_allclose(found.classes.producer_error, [0.21, 0.25, 0.03, 0.02], atol=5e-3)


def test_sample_size_of_the_published_example():
    plan = plan_sample(MAPPED, [0.7, 0.6, 0.9, 0.95], least=100)
    assert plan.places.tolist()[:2] == [100, 100]
    assert plan.places.sum() == plan.proportional.sum() == 641
    assert plan.proportional.tolist() == [13, 10, 205, 413]


COMMON = np.array([[0.08, 0.01, 0.01], [0.02, 0.25, 0.03], [0.03, 0.05, 0.52]])
RARE = np.array([[0.018, 0.0, 0.002], [0.002, 0.35, 0.02], [0.004, 0.024, 0.58]])


def surveys(truth, places, number, seed):
    rng, weight = np.random.default_rng(seed), truth.sum(axis=1)
    drawn = [rng.multinomial(n, p, size=number) for n, p in zip(places, truth / weight[:, None], strict=True)]
    true = {
        "share": truth.sum(axis=0),
        "user": np.diag(truth) / weight,
        "overall": np.trace(truth),
        "producer": np.diag(truth) / truth.sum(axis=0),
    }
    return estimate(np.stack(drawn, axis=1).astype(float), weight)._asdict(), true


@pytest.mark.parametrize("name", ["share", "user", "overall", "producer"])
def test_intervals_cover_the_truth_in_200_surveys_without_bias(name):
    found, true = surveys(COMMON, [100, 150, 250], 200, seed=5)
    estimate, error = found[name], found[f"{name}_se"]
    bias = (estimate.mean(axis=0) - true[name]) / (estimate.std(axis=0) / np.sqrt(200))
    assert np.abs(bias).max() < 3.5
    covered = (np.abs(estimate - true[name]) <= 1.96 * error).mean(axis=0)
    assert np.min(covered) >= 0.89
    assert np.max(covered) <= 0.99


def test_errors_of_a_rare_class_with_few_places_are_too_narrow_as_the_notes_say():
    found, true = surveys(RARE, [75, 200, 300], 2000, seed=5)
    covered = (np.abs(found["share"] - true["share"]) <= 1.96 * found["share_se"]).mean(axis=0)
    assert 0.8 < covered[0] < 0.93 < covered[2]


def test_intervals_of_an_assessment_hold_the_estimates_in_hectares():
    found = assess(SURVEY, MAPPED, pixel_area=900)
    classes, ends = found.classes, found.intervals
    assert list(ends) == ["area_low", "area_high", "user_low", "user_high", "producer_low", "producer_high"]
    for name in ("area", "user", "producer"):
        assert (ends[f"{name}_low"] < classes[name]).all()
        assert (classes[name] < ends[f"{name}_high"]).all()
    # Of a common class with many places they are those of the normal law.
    common = (ends.area_high - ends.area_low)[3] / 2
    assert common == pytest.approx(classes.area_error[3], rel=0.1)
    assert ends.area_high[1] - classes.area[1] > 1.5 * classes.area_error[1]
    assert found.overall_interval[0] < found.overall < found.overall_interval[1]
    assert ends.attrs["units"] == {"area_low": "ha", "area_high": "ha"}
    narrower = assess(SURVEY, MAPPED, pixel_area=900, level=0.8).intervals
    assert (narrower.area_low > ends.area_low).all()


def test_named_classes_are_joined_by_their_names():
    names = list("abcd")
    matrix = pd.DataFrame(SURVEY, names, names)
    expected = assess(matrix, MAPPED, pixel_area=900).classes
    pixels = pd.Series(MAPPED, names)
    for pixel_counts in (pixels[::-1], dict(pixels.iloc[[2, 0, 3, 1]]), pixels.reset_index(drop=True)):
        pd.testing.assert_frame_equal(assess(matrix, pixel_counts, pixel_area=900).classes, expected)
    pd.testing.assert_frame_equal(assess(matrix[names[::-1]], pixels, pixel_area=900).classes, expected)
    with pytest.raises(BadRequest, match="mapped is of the classes"):
        assess(matrix, pixels.rename({"a": "x"}), pixel_area=900)
    plan = plan_sample(pixels, {"d": 0.95, "c": 0.9, "b": 0.6, "a": 0.7})
    assert plan.places.tolist() == plan_sample(MAPPED, [0.7, 0.6, 0.9, 0.95]).places.tolist()


@settings(max_examples=60, deadline=None)
@given(arrays("int64", (3, 3), elements=st.integers(0, 40)), st.permutations([0, 1, 2]))
def test_the_order_of_classes_does_not_matter_and_areas_add_up(counts, order):
    counts = counts + 2 * np.eye(3, dtype=int)
    mapped = np.array([1000, 20_000, 500])
    straight = assess(counts, mapped, pixel_area=100).classes
    turned = assess(counts[np.ix_(order, order)], mapped[order], pixel_area=100).classes
    np.testing.assert_allclose(straight.to_numpy()[order], turned.to_numpy(), atol=1e-9)
    assert straight.area.sum() == pytest.approx(215)


def test_a_perfect_map_has_no_error():
    found = assess(np.diag([10, 20]), [500, 700], pixel_area=100)
    assert (found.overall, found.overall_error) == (1.0, 0.0)
    np.testing.assert_allclose(found.classes.area, found.classes.mapped)
    assert found.classes.area_error.tolist() == [0, 0]


def test_a_class_of_the_reference_that_was_never_seen_is_empty_and_not_an_error():
    found = assess([[5, 0, 0], [1, 9, 0], [0, 0, 0]], [50, 50, 0], pixel_area=100).classes
    assert found.area.iloc[2] == 0
    assert np.isnan(found.producer.iloc[2])


@pytest.mark.parametrize(
    ("matrix", "mapped", "area", "words"),
    [
        ([[1, 2]], [3], 900, "1 rows and 2 columns"),
        ([[4, 1], [0, 1]], [3, 4], 900, "row 1 has 1 places"),
        ([[4, -1], [0, 3]], [3, 4], 900, "negative"),
        ([[4, 1], [0, 3]], [3, 4, 5], 900, "3 mapped areas for 2 classes"),
        ([[4, 1], [0, 3]], [3, 4], 0, "pixel_area"),
        ([[4, np.nan], [0, 3]], [3, 4], 900, "missing"),
    ],
)
def test_a_survey_that_cannot_be_is_refused(matrix, mapped, area, words):
    with pytest.raises(BadRequest, match=words):
        assess(matrix, mapped, pixel_area=area)


def test_a_confidence_that_cannot_be_is_refused():
    with pytest.raises(BadRequest, match="level"):
        assess(SURVEY, MAPPED, pixel_area=900, level=95)


def test_changes_by_hand():
    matrix = change_matrix(cover([[1, 1, 2], [2, 2, 3]]), cover([[1, 2, 1], [2, 3, 3]]))
    assert matrix.to_numpy().tolist() == [[1, 1, 0], [1, 1, 1], [0, 0, 1]]
    assert matrix.attrs["units"] == "ha"
    found = class_changes(matrix)
    assert found.loc[2].to_dict() == {
        "before": 3, "after": 2, "persistence": 1, "gain": 1, "loss": 2, "net": -1, "swap": 2,
    }  # fmt: skip
    assert found.net.sum() == 0


LAND = arrays("uint8", (6, 7), elements=st.sampled_from([1, 2, 5, 9, 255]))


@settings(max_examples=60, deadline=None)
@given(LAND, LAND)
def test_changes_equal_a_plain_cross_table_and_dask(first, second):
    before, after = cover(first), cover(second)
    both = (first != 255) & (second != 255)
    if not both.any():
        with pytest.raises(BadRequest, match="no pixel"):
            change_matrix(before, after, nodata=[255])
        return
    matrix = change_matrix(before, after, nodata=[255])
    plain = pd.crosstab(first[both], second[both]).reindex(index=matrix.index, columns=matrix.columns, fill_value=0)
    np.testing.assert_allclose(matrix.to_numpy(), plain.to_numpy())
    lazy = change_matrix(before.chunk(y=4, x=3), after.chunk(y=3, x=7), nodata=[255])
    pd.testing.assert_frame_equal(matrix, lazy)
    assert class_changes(matrix).before.sum() == pytest.approx(class_changes(matrix).after.sum())


def test_floats_with_nan_and_a_chosen_order_of_classes():
    before = cover(np.array([[3, np.nan], [1, 3]], "float32"))
    matrix = change_matrix(before, cover(np.array([[1, 1], [1, np.nan]], "float32")), classes=[3, 1])
    assert matrix.to_numpy().tolist() == [[0, 1], [0, 1]]


def test_two_grids_are_refused_for_they_show_other_places(shared_data):
    before, after = vaud(shared_data, "ls100_06.tif"), vaud(shared_data, "ls100_12.tif")
    with pytest.raises(BadRequest, match="pixels apart"):
        change_matrix(before, after, nodata=[255])


def test_corine_of_vaud_on_one_grid(shared_data):
    before, after = vaud(shared_data, "ls250_06.tif"), vaud(shared_data, "ls250_12.tif")
    matrix = change_matrix(before, after, nodata=[255])
    both = (before.values != 255) & (after.values != 255)
    area = abs(float(before.x[1] - before.x[0]) * float(before.y[1] - before.y[0]))
    assert matrix.to_numpy().sum() == pytest.approx(both.sum() * area / 1e4)
    changed = matrix.to_numpy().sum() - np.trace(matrix)
    assert changed == pytest.approx((before.values != after.values)[both].sum() * area / 1e4)


@pytest.mark.parametrize(
    ("before", "after", "words", "more"),
    [
        (cover([[1, 2]] * 2), cover([[1, 2, 3]] * 2), "2 and 3 pixels", {}),
        (cover([[1, 2]] * 2), cover([[1, 2]] * 2, corner=(50.0, 0.0)), "0.5 pixels apart", {}),
        (cover([[1, 2]] * 2), cover([[1, 2]] * 2, crs=2154), "Lambert-93", {}),
        (cover([[1, 2]] * 2, crs=4326, pixel=0.1), cover([[1, 2]] * 2, crs=4326, pixel=0.1), "degree", {}),
        (cover([[1, 2.5]] * 2), cover([[1, 2]] * 2), "2.5", {}),
        (cover([[1, 2]] * 2), cover([[1, 7]] * 2), "value 7", {"classes": [1, 2]}),
        (cover([[1, 2]] * 2), cover([[1, 2]] * 2), "pixel_area", {"pixel_area": 0}),
        (cover([[255.0, np.nan]] * 2), cover([[1, 2]] * 2), "no pixel", {"nodata": [255]}),
    ],
)
def test_maps_that_cannot_be_compared_are_refused(before, after, words, more):
    with pytest.raises(BadRequest, match=words):
        change_matrix(before, after, **more)


def test_a_matrix_with_other_classes_in_rows_and_columns_is_refused():
    with pytest.raises(BadRequest, match="same classes"):
        class_changes(pd.DataFrame([[1, 2], [3, 4]], index=[1, 2], columns=[1, 3]))


def test_corine_is_regrouped_at_both_levels(shared_data):
    fine = vaud(shared_data, "ls100_12.tif")
    codes = {land.value: land.code for land in find_nomenclature("corine").classes}
    for level in (1, 2):
        coarse = regroup(fine, level)
        plain = np.array([int(codes[value][:level]) if value in codes else np.nan for value in range(256)])[fine.values]
        np.testing.assert_array_equal(coarse.values, plain)
        np.testing.assert_array_equal(regroup(fine.chunk(y=100), level).values, plain)
        assert set(np.unique(coarse.values[np.isfinite(coarse.values)])) <= set(
            find_nomenclature("corine", level).labels()
        )


def test_a_value_that_is_no_class_is_refused():
    with pytest.raises(BadRequest, match="46 is no class"):
        regroup(cover([[1, 46]] * 2), 1)


def test_nomenclatures_are_complete(shared_data):
    corine, oso = find_nomenclature("corine"), find_nomenclature("oso")
    assert [len(find_nomenclature("corine", level).classes) for level in (1, 2, 3)] == [5, 15, 44]
    assert list(corine.labels()) == list(range(1, 45))
    facts = pd.read_csv(shared_data / "oso_nomenclature" / "oso_23.csv").set_index("code")
    assert oso.colours() == facts.color.to_dict()
    for land in (*corine.classes, *oso.classes):
        assert land.fr
        assert land.en
        assert len(land.colour) == 7


@pytest.mark.parametrize(("name", "level", "words"), [("corin", None, "corine"), ("oso", 2, "one of 1")])
def test_an_unknown_nomenclature_is_refused(name, level, words):
    with pytest.raises(BadRequest, match=words):
        find_nomenclature(name, level)


def test_a_drawn_sample_is_of_the_class_and_never_twice():
    land = cover(np.arange(60).reshape(6, 10) % 3)
    drawn = draw_sample(land, {0: 8, 2: 99}, seed=1)
    assert drawn["class"].value_counts().to_dict() == {2: 20, 0: 8}
    assert not drawn.duplicated(["y", "x"]).any()
    at = land.sel(y=xr.DataArray(drawn.y.values), x=xr.DataArray(drawn.x.values)).values
    assert (at == drawn["class"]).all()
    pd.testing.assert_frame_equal(drawn, draw_sample(land, {0: 8, 2: 99}, seed=1))


def test_a_sample_of_a_class_that_is_not_there_is_refused():
    with pytest.raises(BadRequest, match="class 7"):
        draw_sample(cover([[1, 2]] * 2), {7: 3}, seed=0)
    with pytest.raises(BadRequest, match="Choose one date"):
        draw_sample(cover([[1, 2]] * 2).expand_dims(time=2), {1: 3}, seed=0)


def test_error_matrix_counts_and_leaves_out_what_is_missing():
    found = error_matrix([1, 1, 2, 3], [1, 2, 2, np.nan])
    assert found.to_numpy().tolist() == [[1, 1], [0, 1]]
    for first, second, words in (([1], [1, 2], "1 classes"), ([np.nan], [1], "no place")):
        with pytest.raises(BadRequest, match=words):
            error_matrix(first, second)


@pytest.mark.parametrize(
    ("mapped", "user", "more", "words"),
    [
        ([1, 2], [0.5], {}, "2 classes and 1"),
        ([1, 2], [0.5, 1.5], {}, "between 0 and 1"),
        ([0, 0], [0.5, 0.5], {}, "some above"),
        ([1, 2], [0.5, 0.5], {"standard_error": 0}, "standard_error"),
        ([1, 2], [0.5, 0.5], {"least": 1}, "least"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(mapped, user, more, words):
    with pytest.raises(BadRequest, match=words):
        plan_sample(mapped, user, **more)


def test_lazy_counting_does_not_need_both_maps_lazy():
    before, after = cover(np.array([[1, 2], [2, 2]])), cover(np.array([[1, 1], [2, 2]]))
    lazy = after.copy(data=da.from_array(after.values, chunks=1))
    pd.testing.assert_frame_equal(change_matrix(before, after), change_matrix(before, lazy))


def test_classes_become_areas_with_names():
    land = cover(np.array([[1, 1, 255], [2, 1, 2], [2, 2, np.nan]]))
    found = outline_classes(land, find_nomenclature("corine"))
    assert sorted(zip(found["class"], found.hectares, strict=True)) == [(1, 3.0), (2, 1.0), (2, 3.0)]
    assert set(found.name) == {"Tissu urbain continu", "Tissu urbain discontinu"}
    assert found.crs == land.odc.crs
    assert found.attrs["units"] == {"hectares": "ha"}
    assert set(outline_classes(land[:, :2]).name) == {"1", "2"}
    with pytest.raises(BadRequest, match="no reference system"):
        outline_classes(land.drop_vars("spatial_ref"))
    with pytest.raises(BadRequest, match="Choose one date"):
        outline_classes(land.expand_dims(time=2))


def test_what_a_map_declares_as_no_data_is_no_class():
    before = cover([[1, 1, 9], [2, 0, 2]]).assign_attrs(_FillValue=9)
    after = cover([[1, 2, 1], [2, 2, 9]]).assign_attrs(nodata=0)
    matrix = change_matrix(before, after)
    assert matrix.index.tolist() == [0, 1, 2, 9]
    assert matrix.to_numpy().sum() == 5
    pd.testing.assert_frame_equal(change_matrix(before.chunk(x=2), after.chunk(y=1)), matrix)
    assert 9 not in set(outline_classes(before)["class"])
    level = regroup(cover(np.array([[1, 200], [12, 44]], "uint8")).assign_attrs(_FillValue=200), 1)
    np.testing.assert_array_equal(level, [[1, np.nan], [2, 5]])
    assert "_FillValue" not in level.attrs


def test_a_file_of_one_band_is_a_map():
    one, other = cover([[1, 1, 2], [2, 2, 3]]), cover([[1, 2, 1], [2, 3, 3]])
    expected = change_matrix(one, other)
    pd.testing.assert_frame_equal(change_matrix(one.expand_dims(band=[1]), other.transpose("x", "y")), expected)
    assert len(outline_classes(one.expand_dims(band=[1]))) == len(outline_classes(one))
    pd.testing.assert_frame_equal(
        draw_sample(one.expand_dims(band=[1]), {1: 2}, seed=1), draw_sample(one, {1: 2}, seed=1)
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: change_matrix(np.ones((2, 2)), cover([[1, 1], [1, 1]])), "found ndarray"),
        (lambda: change_matrix(cover([[1]]).expand_dims(time=2), cover([[1]])), "Choose one date"),
        (lambda: outline_classes(cover([[1.5, 2], [1, 1]])), "value 1.5, expected whole numbers"),
        (lambda: draw_sample(cover([[1, 1], [1, 1]]), {1: -2}, seed=1), "-2 places for the class 1"),
        (lambda: draw_sample(cover([[1, 1], [1, 1]]), {1: 1.5}, seed=1), "expected a whole number"),
        (lambda: error_matrix([1.5, 2], [1, 2]), "value 1.5, expected whole numbers"),
    ],
)
def test_what_is_no_map_or_survey_is_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_corine_is_regrouped_from_its_codes_as_from_its_values():
    values, codes = cover(np.array([[1, 12], [24, 44]], "int16")), cover(np.array([[111, 211], [312, 523]], "int16"))
    for level in (1, 2):
        np.testing.assert_array_equal(regroup(values, level), regroup(codes, level))


def test_an_error_matrix_takes_names_and_joins_by_labels():
    found = error_matrix(["forest", "water", "forest", None], ["forest", "forest", "water", "water"])
    assert found.index.tolist() == ["forest", "water"]
    assert found.to_numpy().tolist() == [[1, 1], [1, 0]]
    assert (found.index.name, found.columns.name) == ("map", "reference")
    mapped, real = pd.Series([1, 2, 2], [7, 8, 9], dtype="Int64"), pd.Series([2, 2, 1], [9, 8, 7], dtype="category")
    assert error_matrix(mapped, real).to_numpy().tolist() == [[1, 0], [0, 2]]
    assert error_matrix(mapped, real.reset_index(drop=True)).to_numpy().tolist() == [[0, 1], [1, 1]]


def test_changes_of_a_plain_table_and_of_columns_in_another_order():
    table = pd.DataFrame([[5.0, 1], [2, 7]], list("ab"), list("ab"))
    expected = class_changes(table)
    pd.testing.assert_frame_equal(class_changes(table[["b", "a"]]), expected)
    np.testing.assert_array_equal(class_changes(table.to_numpy()), expected)


def test_a_class_without_pixels_gets_no_place():
    plan = plan_sample([0, 300, 9_700], [0.5, 0.8, 0.9])
    assert plan.places.tolist()[:2] == [0, 50]
    assert plan.places.sum() == plan.proportional.sum()
