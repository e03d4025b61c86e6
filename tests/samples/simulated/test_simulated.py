"""The simulated archive: the same everywhere, and its truth can be found again in its pixels."""

import hashlib
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
import shapely

from earthlab.errors import BadRequest
from earthlab.samples import simulated
from earthlab.samples.simulated.noise import smooth_noise

_CLEAR = (4, 5, 6)


@pytest.fixture(scope="module")
def scenes():
    return {day: simulated.render_scene(day) for day in simulated.DATES}


def _ndvi(scene: simulated.Scene) -> np.ndarray:
    red, nir = (scene.counts[band] * simulated.SCALE + scene.offset for band in ("B04", "B08"))
    return np.where(np.isin(scene.classes, _CLEAR), (nir - red) / np.where(scene.classes, nir + red, 1), np.nan)


def _token(scene: simulated.Scene) -> str:
    digest = hashlib.sha256(scene.classes.tobytes())
    for band in simulated.BANDS:
        digest.update(scene.counts[band].tobytes())
    return digest.hexdigest()[:16]


def test_a_date_gives_the_same_pixels_each_time_whatever_was_rendered_before(scenes):
    day = date(2021, 4, 25)
    assert _token(simulated.render_scene(day)) == _token(scenes[day])


def test_the_pixels_are_these_on_every_machine(scenes):
    whole = hashlib.sha256("".join(map(_token, scenes.values())).encode()).hexdigest()[:16]
    assert whole == "9384138a23eae41e"


def test_there_are_28_dates_over_two_years_and_the_offset_changes_between_them(scenes):
    assert len(scenes) == 28
    assert [d.year for d in simulated.DATES].count(2021) == 14
    assert {scene.offset for day, scene in scenes.items() if day < date(2022, 1, 25)} == {0.0}
    assert {scene.offset for day, scene in scenes.items() if day >= date(2022, 1, 25)} == {-0.1}


@pytest.mark.parametrize("name", simulated.CLASSES)
def test_the_median_ndvi_of_clear_pixels_is_the_planted_curve(scenes, name):
    stable = simulated.truth().stable_mask(name)
    compared = 0
    for day, scene in scenes.items():
        seen = _ndvi(scene)[stable]
        if np.count_nonzero(~np.isnan(seen)) > 200:
            assert np.nanmedian(seen) == pytest.approx(simulated.truth().ndvi(name, day), abs=0.004)
            compared += 1
    assert compared > 15


def test_no_clear_pixel_is_further_from_the_truth_than_the_grain(scenes):
    for day, scene in scenes.items():
        assert np.nanmax(np.abs(_ndvi(scene) - simulated.truth().ndvi_map(day))) < 0.07


def test_the_clear_cut_shows_on_the_first_date_after_it(scenes):
    cut = simulated.truth().clear_cut
    assert cut.area_ha == 11.2
    before, after = date(2021, 9, 17), date(2021, 10, 12)
    assert before < cut.day < after
    assert np.nanmedian(_ndvi(scenes[before])[cut.mask]) > 0.7
    assert np.nanmedian(_ndvi(scenes[date(2022, 4, 5)])[cut.mask]) == pytest.approx(0.18 + 0.06 * 189 / 365, abs=0.005)


def test_the_clear_cut_s_polygon_encloses_exactly_its_pixels():
    cut = simulated.truth().clear_cut
    polygon = shapely.Polygon(cut.polygon)
    assert polygon.area / 10_000 == cut.area_ha
    pixel, _, left, _, _, top = simulated.TRANSFORM
    rows, columns = np.indices(simulated.SHAPE)
    inside = shapely.contains_xy(polygon, left + pixel * (columns + 0.5), top - pixel * (rows + 0.5))
    assert (inside == cut.mask).all()


def test_the_dieback_takes_its_loss_at_the_core_and_nothing_outside():
    dieback = simulated.truth().dieback
    assert dieback.ndvi_lost(dieback.begins).max() == 0
    assert dieback.ndvi_lost(dieback.ends).max() == pytest.approx(dieback.loss)
    halfway = dieback.ndvi_lost(date(2022, 2, 14)).max()
    assert 0.4 * dieback.loss < halfway < 0.6 * dieback.loss
    assert (dieback.ndvi_lost(dieback.ends)[dieback.severity == 0] == 0).all()


def test_the_lake_shrinks_from_each_date_to_the_next(scenes):
    areas = [simulated.truth().lake_area_ha(day) for day in simulated.DATES]
    assert all(later < earlier for earlier, later in pairwise(areas))
    clear = date(2021, 7, 4)
    assert (scenes[clear].classes == 6).sum() * 0.01 == pytest.approx(simulated.truth().lake_area_ha(clear))


def test_clouds_brighten_and_shadows_darken(scenes):
    day = date(2021, 4, 25)
    scene, blue = scenes[day], scenes[day].counts["B02"]
    clear = np.median(blue[np.isin(scene.classes, _CLEAR)])
    assert np.median(blue[scene.classes == 9]) > 5 * clear
    assert np.median(blue[scene.classes == 3]) < 0.7 * clear


def test_some_dates_are_clear_some_partly_and_some_nearly_hidden(scenes):
    covers = [scene.cloud_cover for scene in scenes.values()]
    assert sum(cover == 0 for cover in covers) >= 4
    assert sum(cover > 70 for cover in covers) == 2


def test_beyond_the_swath_every_band_is_nodata_and_nowhere_else(scenes):
    assert sum(scene.missing > 0 for scene in scenes.values()) == 4
    for scene in scenes.values():
        for counts in scene.counts.values():
            assert ((counts == simulated.NODATA) == (scene.classes == 0)).all()


def test_the_footprint_encloses_what_was_seen(scenes):
    pixel, _, left, _, _, top = simulated.TRANSFORM
    rows, columns = np.indices(simulated.SHAPE)
    x, y = left + pixel * (columns + 0.5), top - pixel * (rows + 0.5)
    for scene in scenes.values():
        footprint = shapely.Polygon(scene.footprint)
        assert footprint.exterior.is_ccw
        assert (shapely.intersects_xy(footprint, x, y) == (scene.classes != 0)).all()


def test_spring_comes_earlier_in_2022():
    truth = simulated.truth()
    assert truth.ndvi("deciduous", date(2022, 4, 5)) > truth.ndvi("deciduous", date(2021, 4, 5)) + 0.05


def test_the_truth_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        simulated.truth().classes[0, 0] = 0


def test_a_day_without_acquisition_gets_the_nearest():
    with pytest.raises(BadRequest, match=r"no scene on 2021-04-26.*Nearest: 2021-04-25"):
        simulated.render_scene(date(2021, 4, 26))


@pytest.mark.parametrize("ask", ["ndvi", "stable"])
def test_an_unknown_class_gets_the_nearest(ask):
    truth = simulated.truth()
    with pytest.raises(BadRequest, match="Nearest: meadow"):
        truth.ndvi("meadows", date(2021, 1, 1)) if ask == "ndvi" else truth.stable_mask("meadows")


def test_noise_stays_between_0_and_1_and_is_smooth():
    field = smooth_noise((1, 2), (100, 150), cell=32)
    assert field.shape == (100, 150)
    assert field.min() >= 0
    assert field.max() <= 1
    assert np.abs(np.diff(field, axis=0)).max() < 0.1
