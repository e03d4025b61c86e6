"""The invented stand of spruce: the same on every run, with its damage where and when it was planted."""

import itertools
from datetime import date

import numpy as np
import pytest

from earthlab.errors import BadRequest
from earthlab.samples.simulated import DAMAGES, SPRUCE_DATES, planted_days, planted_kinds, render_spruce
from earthlab.samples.simulated.spruce import FELLED, HEALTHY, SPRUCE_SHAPE, STRONG, WEAK


def pixels(damage) -> set[tuple[int, int]]:
    rows, columns = (range(part.start, part.stop) for part in (damage.rows, damage.columns))
    return set(itertools.product(rows, columns))


def crswir(day) -> np.ndarray:
    counts = {name: band.astype(float) for name, band in render_spruce(day).counts.items()}
    return counts["B11"] / (counts["B8A"] + (counts["B12"] - counts["B8A"]) * (1610.4 - 864) / (2185.7 - 864))


def test_patches_do_not_overlap_and_lie_within_the_stand():
    for one, other in itertools.combinations(DAMAGES, 2):
        assert not pixels(one) & pixels(other)
    assert (planted_kinds() != HEALTHY).sum() == sum(len(pixels(damage)) for damage in DAMAGES)
    assert ((planted_days() >= 0) == (planted_kinds() != HEALTHY)).all()


def test_a_scene_is_the_same_each_time():
    render_spruce.cache_clear()
    once = render_spruce(SPRUCE_DATES[5])
    render_spruce.cache_clear()
    again = render_spruce(SPRUCE_DATES[5])
    for name in once.counts:
        np.testing.assert_array_equal(once.counts[name], again.counts[name])
    assert once.clouds.shape == SPRUCE_SHAPE
    assert 0 <= once.cloud_cover <= 40


@pytest.mark.parametrize("damage", [damage for damage in DAMAGES if damage.kind in (WEAK, STRONG)])
def test_the_canopy_dries_from_the_planted_day_on(damage):
    before = max(day for day in SPRUCE_DATES if day < damage.begins)
    after = min(day for day in SPRUCE_DATES if day >= damage.begins)
    healthy = planted_kinds() == HEALTHY
    patch = np.zeros(SPRUCE_SHAPE, bool)
    patch[damage.rows, damage.columns] = True
    for day, drying in ((before, 0.0), (after, damage.drying)):
        clear = ~render_spruce(day).clouds
        apart = crswir(day)[patch & clear].mean() - crswir(day)[healthy & clear].mean()
        assert apart == pytest.approx(drying, abs=0.03)


def test_a_felled_patch_is_bright_soil_from_its_day_on():
    (felled,) = (damage for damage in DAMAGES if damage.kind == FELLED)
    after = min(day for day in SPRUCE_DATES if day >= felled.ends)
    scene = render_spruce(after)
    soil = scene.counts["B11"][felled.rows, felled.columns][~scene.clouds[felled.rows, felled.columns]]
    assert (soil == 2600).all()


def test_there_is_no_scene_of_another_day():
    with pytest.raises(BadRequest, match="no scene of 2015-01-01"):
        render_spruce(date(2015, 1, 1))
